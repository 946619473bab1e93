# SPDX-License-Identifier: Apache-2.0
"""The true cost of driving over each cell of a world, from the same triangles that the camera sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.types import Costmap, GridSpec
from offroad_seg_train.synthetic.raycast import RayScene
from offroad_seg_train.synthetic.terrain import HALF
from offroad_seg_train.synthetic.world import GROUND

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg_train.synthetic.world import World

VEHICLE_HEIGHT = 2.0
RESOLUTION = 0.1
# Places of the four rays in a cell, in shares of its side.
_RAYS = (0.25, 0.75)


def below_vehicle_height(world: World) -> NDArray[np.bool_]:
    """Triangles that a vehicle could touch: those that begin below ``VEHICLE_HEIGHT`` over the ground."""
    faces = world.mesh.faces_M3
    touch = np.ones(len(faces), bool)
    # Only trees are higher; a rock that begins below the height is solid up to its top.
    tall = np.flatnonzero(world.triangle_class_F == world.ontology.id_of("Trees"))
    corners = world.mesh.vertices_N3[faces[tall]]
    ground = world.terrain.height(corners[..., 0], corners[..., 1])
    touch[tall] = (corners[..., 2] - ground).min(1) < VEHICLE_HEIGHT
    return touch


def true_costmap(world: World, resolution: float = RESOLUTION) -> Costmap:
    """Cost of every cell of the detailed square, in the world frame, rows along y.

    Four rays from above meet each cell; the dearest thing that they hit counts, so that a thin trunk is not missed.
    Crowns above ``VEHICLE_HEIGHT`` are driven under. Slopes cost what their class costs.
    """
    cells = round(2 * HALF / resolution)
    touch = below_vehicle_height(world)
    scene = RayScene(world.mesh.vertices_N3, world.mesh.faces_M3[touch])
    class_of = world.triangle_class_F[touch]
    is_ground = world.triangle_kind_F[touch] == GROUND
    costs = world.ontology.costs_256
    top = np.float32(world.mesh.vertices_N3[:, 2].max() + 1.0)
    cost = np.full((cells, cells), -1, np.int8)
    centres = -HALF + (np.arange(cells) + 0.5) * resolution
    # A strip of rows at a time keeps the rays in a few tens of megabytes.
    for rows in np.array_split(np.arange(cells), max(1, cells // 100)):
        gx, gy = np.meshgrid(centres, centres[rows])
        shape = gx.shape
        ground_cost = costs[world.ground_classes(world.ground_cover(gx.ravel(), gy.ravel()))]
        worst = np.full(gx.size, -1, np.int8)
        for dx in _RAYS:
            for dy in _RAYS:
                origins = np.empty((gx.size, 3), np.float32)
                origins[:, 0] = gx.ravel() + (dx - 0.5) * resolution
                origins[:, 1] = gy.ravel() + (dy - 0.5) * resolution
                origins[:, 2] = top
                down = np.broadcast_to(np.array([0, 0, -1], np.float32), origins.shape)
                triangle = scene.cast(origins, down).triangle_N
                hit = np.maximum(triangle, 0)
                value = np.where(is_ground[hit], ground_cost, costs[class_of[hit]])
                worst = np.maximum(worst, np.where(triangle >= 0, value, -1))
        cost[rows] = worst.reshape(shape)
    spec = GridSpec(width=cells, height=cells, resolution=resolution, origin_x=-HALF, origin_y=-HALF)
    return Costmap(cost_HW=cost, grid=spec, frame_id="world", stamp_ns=0)
