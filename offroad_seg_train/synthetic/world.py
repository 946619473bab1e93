# SPDX-License-Identifier: Apache-2.0
"""One world: style, terrain, everything that stands on it, and the triangles that rays are cast against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg_train.synthetic.mesh import Mesh, join
from offroad_seg_train.synthetic.noise import smoothstep
from offroad_seg_train.synthetic.raycast import RayScene
from offroad_seg_train.synthetic.scatter import Things, populate
from offroad_seg_train.synthetic.style import Style, random_style
from offroad_seg_train.synthetic.terrain import HALF, RASTER, Terrain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology

    F32 = NDArray[np.float32]

GROUND = 0
PLANT = 1
SOLID = 2
_SOLID_CLASSES = ("Rocks", "Logs", "Ground Clutter")


@dataclass(frozen=True)
class World:
    """A world, ready to be looked at.

    Attributes:
        seed: What it was made from.
        style: Light, colours, densities.
        terrain: The ground.
        things: Everything that stands or lies on the ground.
        ontology: Gives the class ids.
        mesh: All triangles; the ground's come first.
        triangle_class_F: Class id of each triangle; for the ground, see ``ground_classes``.
        triangle_kind_F: GROUND, PLANT or SOLID.
        scene: The triangles for rays.
        raster_HW2: Distance to the trail's middle (metres, up to 3) and openness to the sky (0–1), cells of
            ``RASTER`` metres from (−HALF, −HALF), row = y.
    """

    seed: tuple[int, ...]
    style: Style
    terrain: Terrain
    things: Things
    ontology: Ontology
    mesh: Mesh
    triangle_class_F: NDArray[np.uint8]
    triangle_kind_F: NDArray[np.uint8]
    scene: RayScene
    raster_HW2: F32

    def raster(self, x_N: NDArray[np.floating], y_N: NDArray[np.floating]) -> F32:
        """``raster_HW2`` at places, shape (N, 2); outside the square (3, 1)."""
        u = ((x_N + HALF) / RASTER - 0.5).astype(np.float32)
        v = ((y_N + HALF) / RASTER - 0.5).astype(np.float32)
        n = u.size
        rows = max(1, -(-n // 2048))
        maps = np.full((2, rows * 2048), -9.0, np.float32)
        maps[0, :n], maps[1, :n] = u, v
        maps = maps.reshape(2, rows, 2048)
        out = cv2.remap(
            self.raster_HW2,
            maps[0],
            maps[1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(3.0, 1.0),
        )
        return np.asarray(out.reshape(-1, 2)[:n])

    def ground_cover(self, x_N: NDArray[np.floating], y_N: NDArray[np.floating]) -> F32:
        """Grass, stones and flowers on the ground, shape (N, 3), as ``Terrain.cover``."""
        off_trail = smoothstep(0.9, 1.9, self.raster(x_N, y_N)[:, 0])
        return self.terrain.cover(x_N, y_N, off_trail)

    def ground_classes(self, cover_N3: F32) -> NDArray[np.uint8]:
        """Class ids of the bare ground for its cover: grassland, stony ground, else landscape."""
        ids = np.full(len(cover_N3), self.ontology.id_of("Landscape"), np.uint8)
        ids[cover_N3[:, 1] > 0.5] = self.ontology.id_of("Ground Clutter")
        ids[cover_N3[:, 0] > 0.5] = self.ontology.id_of("Dry Grass")
        return ids


def begin(seed: tuple[int, ...], *, flat: bool = False) -> tuple[np.random.Generator, Style, Terrain]:
    """The quick part of a world, enough to know where the trail runs: the generator after it, style, terrain."""
    rng = np.random.default_rng(list(seed))
    style = random_style(rng)
    return rng, style, Terrain(rng, style, flat=flat)


def build_world(seed: tuple[int, ...], ontology: Ontology, *, flat: bool = False) -> World:
    """Build the world of a seed: the same seed gives the same world.

    Args:
        seed: Any tuple of integers ≥ 0.
        ontology: ``duality_desert`` or one with the same class names.
        flat: Without relief, to tell errors of a ground plane from others.
    """
    rng, style, terrain = begin(seed, flat=flat)
    things = populate(rng, style, terrain)
    vertices, normals, faces = terrain.mesh()
    ground = Mesh(vertices, normals, np.ones_like(vertices), faces)
    mesh = join([ground, *(part for _, part in things.parts)])
    classes = [np.full(len(faces), ontology.id_of("Landscape"), np.uint8)]
    kinds = [np.full(len(faces), GROUND, np.uint8)]
    for name, part in things.parts:
        classes.append(np.full(len(part.faces_M3), ontology.id_of(name), np.uint8))
        kinds.append(np.full(len(part.faces_M3), SOLID if name in _SOLID_CLASSES else PLANT, np.uint8))
    return World(
        seed=seed,
        style=style,
        terrain=terrain,
        things=things,
        ontology=ontology,
        mesh=mesh,
        triangle_class_F=np.concatenate(classes),
        triangle_kind_F=np.concatenate(kinds),
        scene=RayScene(mesh.vertices_N3, mesh.faces_M3),
        raster_HW2=_raster(terrain, things),
    )


def _raster(terrain: Terrain, things: Things) -> F32:
    n = len(terrain.trail_HW)
    # Things keep the sky's light from the ground around them.
    shade = np.zeros((n, n), np.float32)
    grass = ((things.grass_xy_K2 + HALF) / RASTER).astype(int)
    inside = ((grass >= 0) & (grass < n)).all(1)
    np.add.at(shade, (grass[inside, 1], grass[inside, 0]), 1.1)
    for x, y, radius in things.obstacles_K3:
        centre = (round((x + HALF) / RASTER), round((y + HALF) / RASTER))
        if -20 < centre[0] < n + 20 and -20 < centre[1] < n + 20:
            cv2.circle(shade, centre, max(1, round(radius * 0.8 / RASTER)), 1.6, thickness=-1)
    openness = 1.0 - 0.62 * np.clip(cv2.GaussianBlur(shade, (0, 0), 1.4), 0, 1)
    return np.ascontiguousarray(
        np.stack([np.minimum(terrain.trail_HW, 3.0), openness], -1).astype(np.float32)
    )
