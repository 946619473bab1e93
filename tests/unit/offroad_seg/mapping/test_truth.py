# SPDX-License-Identifier: Apache-2.0
"""The whole mapping against an exact world: a flat plane with boxes, a vehicle that pitches and rolls, a real lens.

Measured within 10 m of the camera. Free precision: of the cells that the map calls passable, the share that no box
covers. Lethal recall: of the box cells whose foot (lowest 10 cm) is in sight, and not behind another box, the share that
the map calls lethal, in that cell or one beside it.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from offroad_seg.camera import CameraModel
from offroad_seg.mapping.grid import GridSize
from offroad_seg.mapping.ground_plane import GroundPlaneProjector
from offroad_seg.mapping.rolling import RollingCostmap
from offroad_seg.mapping.slope import GroundSlope
from offroad_seg.ontology import load_ontology
from offroad_seg.transforms import Transform, camera_mount
from tests.helpers.box_world import Box, Scene, View, segmentation_of

ONTOLOGY = load_ontology("duality_desert")
LANDSCAPE, SKY, ROCKS, TREES = (ONTOLOGY.id_of(n) for n in ("Landscape", "Sky", "Rocks", "Trees"))
CAMERA = CameraModel.from_info(
    480, 270, "plumb_bob", (-0.25, 0.08, 0.001, -0.0005, -0.01), (285.0, 0, 241.0, 0, 286.0, 133.0, 0, 0, 1)
)
MOUNT = camera_mount(0.3, 0.0, 1.4, 0.0, 0.15, 0.0)
SIZE = GridSize(24.0, 24.0, 0.1)
FRAMES = 16


def world() -> Scene:
    rng = np.random.default_rng(5)
    boxes = []
    for _ in range(32):
        x, y = rng.uniform(3, 18), rng.uniform(-7, 7)
        if abs(y) < 1.5:
            continue
        tree = rng.random() < 0.4
        side = rng.uniform(0.15, 0.4) if tree else rng.uniform(0.3, 1.2)
        top = rng.uniform(2, 4) if tree else rng.uniform(0.25, 0.9)
        boxes.append(Box(x, x + side, y, y + side * rng.uniform(0.7, 1.3), top, TREES if tree else ROCKS))
    return Scene(LANDSCAPE, SKY, boxes=boxes)


@pytest.fixture(scope="module")
def drive():
    """Poses with pitch and roll as on rough ground, views, and the cells of feet in sight."""
    scene = world()
    steps = []
    for k in range(FRAMES):
        pose = Transform.from_rpy(
            math.radians(3) * math.sin(1.7 * k),
            math.radians(4) * math.sin(2.3 * k + 1),
            0.1 * math.sin(0.4 * k),
            (0.35 * k, 0.0, 0.0),
        )
        view = scene.render(CAMERA, pose @ MOUNT)
        steps.append((pose, view.labels_HW, _feet(view, (pose @ MOUNT).translation_3)))
    return scene, steps


def score(drive, *, slope_time: float = 1.0, **options) -> tuple[float, float]:
    scene, steps = drive
    projector = GroundPlaneProjector(ONTOLOGY, SIZE, max_range=12.0, **options)
    costmap, slope = RollingCostmap(ONTOLOGY, SIZE), GroundSlope(slope_time)
    free = wrong = feet = found = 0
    for k, (pose, labels_HW, foot_N2) in enumerate(steps):
        stamp_ns = k * 100_000_000
        observation = projector.project(
            segmentation_of(labels_HW, stamp_ns),
            CAMERA,
            MOUNT,
            pose,
            ground_up_3=slope.update(pose, stamp_ns),
        )
        result = costmap.update(observation, pose)
        grid = result.grid
        camera = (pose @ MOUNT).translation_3
        x = grid.origin_x + (np.arange(grid.width) + 0.5) * grid.resolution - camera[0]
        y = grid.origin_y + (np.arange(grid.height) + 0.5) * grid.resolution - camera[1]
        near = np.hypot(x[None, :], y[:, None]) <= 10.0
        passable = near & (result.cost_HW >= 0) & (result.cost_HW < 50)
        free += int(passable.sum())
        wrong += int((passable & _under_boxes(scene, grid)).sum())
        seen = np.zeros_like(near)
        cells = np.floor((foot_N2 - (grid.origin_x, grid.origin_y)) / grid.resolution).astype(int)
        cells = cells[((cells >= 0) & (cells < (grid.width, grid.height))).all(axis=1)]
        seen[cells[:, 1], cells[:, 0]] = True
        lethal = cv2.dilate((result.cost_HW == 100).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        feet += int((seen & near).sum())
        found += int((seen & near & lethal).sum())
    assert free > 50_000
    assert feet > 400
    return 1 - wrong / free, found / feet


def _feet(view: View, camera_3: np.ndarray) -> np.ndarray:
    """Points (N, 2) of the boxes' feet in sight with no other box's foot nearer in that direction."""
    foot = (view.boxes_HW >= 0) & (view.points_HW3[..., 2] < 0.1)
    points, box = view.points_HW3[foot][:, :2], view.boxes_HW[foot]
    offset = points - camera_3[:2]
    reach = np.hypot(offset[:, 0], offset[:, 1])
    at = np.round(np.degrees(np.arctan2(offset[:, 1], offset[:, 0])) * 2).astype(int)
    first = np.ones(len(points), bool)
    for other in np.unique(box):
        nearest = np.full(721 + 4, np.inf)
        np.minimum.at(nearest, at[box == other] + 362, reach[box == other])
        nearest = np.minimum.reduce([np.roll(nearest, shift) for shift in (-2, -1, 0, 1, 2)])
        first &= (box == other) | (nearest[at + 362] > reach)
    return points[first]


def _under_boxes(scene: Scene, grid) -> np.ndarray:
    """Cells whose centre a box covers."""
    x = grid.origin_x + (np.arange(grid.width) + 0.5) * grid.resolution
    y = grid.origin_y + (np.arange(grid.height) + 0.5) * grid.resolution
    out = np.zeros((grid.height, grid.width), bool)
    for b in scene.boxes:
        out |= ((y > b.y0) & (y < b.y1))[:, None] & ((x > b.x0) & (x < b.x1))[None, :]
    return out


def test_free_is_free_and_what_stands_is_lethal(drive):
    free_precision, lethal_recall = score(
        drive,
    )
    assert free_precision >= 0.99
    assert lethal_recall >= 0.95


def test_the_horizontal_plane_is_exact_here(drive):
    free_precision, lethal_recall = score(drive, slope_time=math.inf)
    assert free_precision >= 0.995
    assert lethal_recall >= 0.95


def test_each_part_is_worth_its_place(drive):
    """Ablations: the plane that bounces with the vehicle, and no occlusion, are worse."""
    _, levelled = score(drive)
    _, bouncing = score(drive, slope_time=0.0)
    assert bouncing < levelled - 0.1
    scene, steps = drive
    pose, labels_HW, _ = steps[3]
    known = []
    for shadow in ("ray", "none"):
        projector = GroundPlaneProjector(ONTOLOGY, SIZE, max_range=12.0, shadow=shadow)
        observation = projector.project(segmentation_of(labels_HW), CAMERA, MOUNT, pose)
        lethal = np.isin(observation.labels_HW, (ROCKS, TREES))
        covered = cv2.dilate(scene.occupied(observation.grid).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        known.append((lethal & covered).sum() / lethal.sum())
    assert known[0] > 0.9
    assert known[1] < 0.5
