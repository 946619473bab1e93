# SPDX-License-Identifier: Apache-2.0
"""Whatever is seen from wherever: unknown is never free, and nothing behind what stands is."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offroad_seg.mapping.grid import GridSize
from offroad_seg.mapping.ground_plane import GroundPlaneProjector
from offroad_seg.transforms import Transform, camera_mount
from offroad_seg.types import UNLABELLED, Segmentation
from tests.helpers.box_world import segmentation_of
from tests.helpers.terrain import (
    BUSH,
    CAMERAS,
    DISTORTED,
    GRASS,
    PINHOLE,
    POSES,
    ROCK,
    SKY,
    TRACK,
    class_blocks,
    mounts,
    terrain_classes,
)

ONTOLOGY = terrain_classes()
GROUND = (TRACK, GRASS)
SIZE = GridSize(12.0, 10.0, 0.1)


def _blocks(seed: int, block: int, shape: tuple[int, int]) -> np.ndarray:
    """Random classes in square blocks."""
    classes = [TRACK, GRASS, ROCK, BUSH, SKY, UNLABELLED]
    return class_blocks(np.random.default_rng(seed), classes, block, shape)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    block=st.integers(1, 40),
    camera=st.sampled_from(CAMERAS),
    mount=mounts(ahead=1, aside=1, yaw=3),
    pose=POSES,
    shadow=st.sampled_from(["ray", "object"]),
)
@example(seed=1, block=9, camera=PINHOLE, mount=(0, 0, 1.2, 0, 0.3, 0), pose=(0, 0, 0, 0, 0), shadow="ray")
def test_unknown_is_never_free(seed, block, camera, mount, pose, shadow):
    """A cell that is not unknown: its centre is in sight, and its own pixel has that class, or something stands there."""
    labels = _blocks(seed, block, (camera.height, camera.width))
    confidence = np.random.default_rng(seed).integers(0, 256, labels.shape).astype(np.uint8)
    odom_T_base = Transform.from_rpy(pose[0], pose[1], pose[2], (pose[3], pose[4], 0.7))
    base_T_camera = camera_mount(*mount)
    height = (odom_T_base @ base_T_camera).translation_3[2] - 0.7 + 0.2
    if height < 0.1:
        return
    projector = GroundPlaneProjector(
        ONTOLOGY, SIZE, max_range=6.0, min_confidence=0.4, ground_height=0.2, shadow=shadow, min_standing_px=1
    )
    segmentation = Segmentation(labels, confidence, 0, "c", 0.5)
    observation = projector.project(segmentation, camera, base_T_camera, odom_T_base)
    grid = observation.grid
    rows, columns = np.nonzero(np.isin(observation.labels_HW, GROUND))
    centres = np.stack(
        [
            grid.origin_x + (columns + 0.5) * grid.resolution,
            grid.origin_y + (rows + 0.5) * grid.resolution,
            np.full(len(rows), 0.7 - 0.2),
        ],
        axis=1,
    )
    optical = (odom_T_base @ base_T_camera).inverse().apply(centres)
    uv, _ = camera.project(optical)
    # float32 against float64: within 1/20 of a pixel either neighbour is right.
    fits = np.zeros(len(rows), bool)
    for du in (-0.05, 0.05):
        for dv in (-0.05, 0.05):
            with np.errstate(invalid="ignore"):
                u, v = np.rint(uv[:, 0] + du), np.rint(uv[:, 1] + dv)
                inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
            u, v = np.where(inside, u, 0).astype(int), np.where(inside, v, 0).astype(int)
            same = labels[v, u] == observation.labels_HW[rows, columns]
            fits |= inside & same & (confidence[v, u] >= 0.4 * 255)
    assert fits.all()
    reach = np.hypot(*(centres[:, :2] - (odom_T_base @ base_T_camera).translation_3[:2]).T)
    assert (reach <= 6.0 + 1e-4).all()
    known = observation.labels_HW != UNLABELLED
    assert set(np.unique(observation.labels_HW[known])) <= {TRACK, GRASS, ROCK, BUSH}
    assert (observation.evidence_HW[known] >= 0).all()
    assert (observation.evidence_HW[~known] == 0).all()
    assert observation.evidence_HW.max() <= 1.0 + 1e-6


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    block=st.integers(12, 40),
    pitch=st.floats(0.1, 0.6),
    roll=st.floats(-0.2, 0.2),
)
def test_no_ground_behind_anything_that_stands(seed, block, pitch, roll):
    """With ray shadows: from the camera's foot to a ground cell, no sight line goes through the body of a thing."""
    labels = _blocks(seed, block, (180, 320))
    mount = camera_mount(0.0, 0.0, 1.3, 0.0, pitch, 0.0)
    pose = Transform.from_rpy(roll, 0.0, 0.4)
    projector = GroundPlaneProjector(ONTOLOGY, SIZE, max_range=6.0, shadow="ray")
    observation = projector.project(segmentation_of(labels), DISTORTED, mount, pose)
    grid = observation.grid
    rows, columns = np.nonzero(np.isin(observation.labels_HW, GROUND))
    x = grid.origin_x + (columns + 0.5) * grid.resolution
    y = grid.origin_y + (rows + 0.5) * grid.resolution
    camera_3 = (pose @ mount).translation_3
    reach = np.hypot(x - camera_3[0], y - camera_3[1])
    standing = np.isin(labels, (ROCK, BUSH))
    # The body of a thing: two pixels inside its outline.
    body = standing.copy()
    for axis in (0, 1):
        for shift in (-2, -1, 1, 2):
            body &= np.roll(standing, shift, axis)
    body[:2], body[-2:], body[:, :2], body[:, -2:] = False, False, False, False
    violations = 0
    for share in np.linspace(0.05, 1.0, 60):
        # Two cells before the ground cell still belong to it.
        at_m = share * np.maximum(reach - 0.3, 0.0) / np.maximum(reach, 1e-6)
        points = np.stack(
            [
                camera_3[0] + at_m * (x - camera_3[0]),
                camera_3[1] + at_m * (y - camera_3[1]),
                np.zeros(len(x)),
            ],
            axis=1,
        )
        uv, valid = DISTORTED.project((pose @ mount).inverse().apply(points))
        u, v = np.rint(uv[valid]).astype(int).T
        violations += int(body[v.clip(0, 179), u.clip(0, 319)].sum())
    assert violations == 0
