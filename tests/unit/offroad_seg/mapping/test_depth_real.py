# SPDX-License-Identifier: Apache-2.0
"""Depth against the plane on real frames: a gravel road between a hedge and a wood, completed lidar depth.

The frames have no labels. Here every pixel is ground, as a network would have it that has failed altogether: what the
map then still refuses, it refuses by shape alone.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from offroad_seg.camera import CameraModel
from offroad_seg.mapping.depth_projector import DepthProjector
from offroad_seg.mapping.grid import GridSize
from offroad_seg.mapping.ground_plane import GroundPlaneProjector
from offroad_seg.ontology import load_ontology
from offroad_seg.transforms import camera_mount
from offroad_seg.types import OBSTACLE, UNLABELLED
from tests.helpers.box_world import segmentation_of
from tests.helpers.orfd import (
    CAMERA_HEIGHT_M,
    CAMERA_PITCH_RAD,
    CAMERA_ROLL_RAD,
    orfd_frames,
    read_calibration,
)

ONTOLOGY = load_ontology("duality_desert")
LANDSCAPE = ONTOLOGY.id_of("Landscape")
MOUNT = camera_mount(0.0, 0.0, CAMERA_HEIGHT_M, CAMERA_ROLL_RAD, CAMERA_PITCH_RAD, 0.0)
SIZE, RANGE = GridSize(64.0, 48.0, 0.2), 30.0
NETWORK = (266, 473)


@pytest.fixture(scope="module")
def maps(shared_data):
    """Labels of the plane's and of depth's cells for every frame."""
    folder = shared_data / "orfd_sequence"
    plane = GroundPlaneProjector(ONTOLOGY, SIZE, max_range=RANGE)
    by_depth = DepthProjector(ONTOLOGY, SIZE, max_range=RANGE)
    segmentation = segmentation_of(np.full(NETWORK, LANDSCAPE, np.uint8))
    pairs = []
    for stamp in orfd_frames(folder):
        raw = cv2.imread(str(folder / "dense_depth" / f"{stamp}.png"), cv2.IMREAD_UNCHANGED)
        depth_HW = np.where(raw > 0, raw / np.float32(256), np.nan).astype(np.float32)
        k = read_calibration(folder, stamp)
        camera = CameraModel.from_info(raw.shape[1], raw.shape[0], "plumb_bob", (), k).scaled(*NETWORK)
        flat = plane.project(segmentation, camera, MOUNT).labels_HW.copy()
        pairs.append(
            (flat, by_depth.project(segmentation, camera, MOUNT, depth_HW=depth_HW).labels_HW.copy())
        )
    return pairs


def part(labels_HW: np.ndarray, x: tuple[float, float], y: tuple[float, float]) -> np.ndarray:
    """Cells of a rectangle, metres ahead and to the left of the camera's foot."""
    columns = slice(round((x[0] + 32.0) / 0.2), round((x[1] + 32.0) / 0.2))
    return labels_HW[slice(round((y[0] + 24.0) / 0.2), round((y[1] + 24.0) / 0.2)), columns]


@pytest.mark.shared_data
def test_the_road_is_ground_by_plane_and_by_depth(maps):
    assert len(maps) == 6
    for plane, depth in maps:
        assert (part(depth, (5.0, 10.0), (-1.5, 1.5)) == LANDSCAPE).mean() > 0.95
        for x, y in (((4.0, 12.0), (-1.5, 1.5)), ((12.0, 20.0), (2.0, 4.0))):
            assert (part(plane, x, y) == LANDSCAPE).mean() > 0.8
            road = part(depth, x, y)
            assert (road == LANDSCAPE).mean() > 0.6
            assert not (road == OBSTACLE).any()


@pytest.mark.shared_data
def test_hedge_and_wood_are_free_by_the_plane_and_not_by_depth(maps):
    for plane, depth in maps:
        assert (part(depth, (22.0, 28.0), (-9.0, -5.0)) == OBSTACLE).mean() > 0.5
        for y in ((-9.0, -5.0), (8.0, 11.0)):
            seen = part(depth, (22.0, 28.0), y)
            assert (seen == LANDSCAPE).mean() < 0.15, y
            assert (part(plane, (22.0, 28.0), y) == LANDSCAPE).mean() > 0.75, y


@pytest.mark.shared_data
def test_neighbouring_frames_agree(maps):
    for (_, before), (_, after) in pairwise(maps):
        both = (before != UNLABELLED) & (after != UNLABELLED)
        assert (before == after)[both].mean() > 0.97
