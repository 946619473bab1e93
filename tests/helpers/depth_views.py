# SPDX-License-Identifier: Apache-2.0
"""Solids seen by a depth camera on a vehicle, and the map made of that."""

from __future__ import annotations

import numpy as np

from offroad_seg.camera import CameraModel
from offroad_seg.mapping.depth_projector import DepthProjector
from offroad_seg.mapping.grid import GridSize
from offroad_seg.transforms import Transform, camera_mount
from tests.helpers.box_world import segmentation_of
from tests.helpers.solid_world import below, between_x, look
from tests.helpers.terrain import SKY, TRACK, terrain_classes

ONTOLOGY = terrain_classes(soft_grass=True)
SIZE = GridSize(16.0, 12.0, 0.1)
CAMERA = CameraModel.from_info(
    400, 224, "plumb_bob", (-0.2, 0.05, 0.001, -0.001, -0.005), (250.0, 0, 198.0, 0, 252.0, 110.0, 0, 0, 1)
)
MOUNT = camera_mount(0.3, 0.0, 1.3, 0.0, 0.2, 0.0)
FLAT = below(TRACK)


def project(solids, camera=CAMERA, pose=None, depth=None, **options):
    """Look at the solids and project what is seen; ``depth`` changes the depth image."""
    pose = pose or Transform.identity()
    labels, depth_HW = look(solids, camera, pose @ MOUNT, SKY)
    if depth is not None:
        depth_HW = depth(depth_HW)
    projector = DepthProjector(ONTOLOGY, SIZE, max_range=options.pop("max_range", 8.0), **options)
    return projector.project(segmentation_of(labels, 7), camera, MOUNT, pose, depth_HW=depth_HW)


def cells(observation, x: tuple[float, float], y: tuple[float, float] = (-0.3, 0.3)) -> np.ndarray:
    """Labels of the cells whose centres lie in a rectangle of odom."""
    grid = observation.grid
    at_x = grid.origin_x + (np.arange(grid.width) + 0.5) * grid.resolution
    at_y = grid.origin_y + (np.arange(grid.height) + 0.5) * grid.resolution
    return observation.labels_HW[np.ix_((at_y > y[0]) & (at_y < y[1]), (at_x > x[0]) & (at_x < x[1]))]


def ramp(degrees: float, label: int = TRACK):
    """Level ground, and from x = 3 m on a slope."""
    return [between_x(FLAT, x1=3.0), between_x(below(label, 0.0, degrees, 3.0), x0=3.0)]


def ledge(height: float, x: float = 4.0):
    """Level ground, and from x on higher or lower ground."""
    return [between_x(FLAT, x1=x), between_x(below(TRACK, height), x0=x)]


def ditch(x0: float, x1: float, floor: float):
    return [between_x(FLAT, x1=x0), between_x(below(TRACK, floor), x0=x0, x1=x1), between_x(FLAT, x0=x1)]
