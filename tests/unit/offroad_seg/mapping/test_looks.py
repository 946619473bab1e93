# SPDX-License-Identifier: Apache-2.0
"""The confidence that a cell of the ground plane gets: that of what it took its label from."""

from __future__ import annotations

import numpy as np
import pytest

from offroad_seg.mapping.grid import GridSize
from offroad_seg.mapping.ground_plane import GroundPlaneProjector
from offroad_seg.transforms import camera_mount
from offroad_seg.types import UNLABELLED, Segmentation
from tests.helpers.box_world import Box, Scene
from tests.helpers.native import kernels
from tests.helpers.terrain import CAMERAS, GRASS, PINHOLE, ROCK, SKY, TRACK, terrain_classes

ONTOLOGY = terrain_classes()
SIZE = GridSize(16.0, 12.0, 0.1)
MOUNT = camera_mount(0.2, 0.05, 1.3, 0.0, 0.3, 0.0)


@pytest.fixture(params=[False, True], ids=["numpy", "kernels"], autouse=True)
def _both_ways(request):
    with kernels(request.param):
        yield


@pytest.mark.parametrize("camera", CAMERAS, ids=["pinhole", "distorted", "fisheye"])
def test_ground_has_the_confidence_of_its_centre_s_pixel(camera):
    """A picture whose confidence is its own column: every cell says in which column it was seen."""
    labels = np.full((camera.height, camera.width), TRACK, np.uint8)
    confidence = np.tile((np.arange(camera.width) % 256).astype(np.uint8), (camera.height, 1))
    segmentation = Segmentation(labels, confidence, 0, "c", 0.5)
    found = GroundPlaneProjector(ONTOLOGY, SIZE, max_range=6.0).project(segmentation, camera, MOUNT)
    rows, columns = np.nonzero(found.labels_HW == TRACK)
    assert rows.size > 1000
    x = found.grid.origin_x + (columns + 0.5) * 0.1
    y = found.grid.origin_y + (rows + 0.5) * 0.1
    uv, _ = camera.project(MOUNT.inverse().apply(np.stack([x, y, np.zeros(rows.size)], axis=1)))
    away = np.abs(found.confidence_HW[rows, columns] - uv[:, 0]) % 256
    assert np.minimum(away, 256 - away).max() < 0.55
    assert (found.confidence_HW[found.labels_HW != TRACK] == 0).all()


@pytest.mark.parametrize("contact_slope", [0.0, 2.0])
def test_marked_cells_have_the_confidence_of_the_thing(contact_slope):
    scene = Scene(TRACK, SKY, boxes=[Box(3.0, 3.4, -0.3, 0.3, 0.8, ROCK)])
    labels = scene.render(PINHOLE, MOUNT).labels_HW
    confidence = np.where(labels == ROCK, 180, 90).astype(np.uint8)
    projector = GroundPlaneProjector(ONTOLOGY, SIZE, max_range=6.0, contact_slope=contact_slope)
    found = projector.project(Segmentation(labels, confidence, 0, "c", 0.5), PINHOLE, MOUNT)
    assert (found.labels_HW == ROCK).sum() > 5
    assert set(found.confidence_HW[found.labels_HW == ROCK].tolist()) == {180}
    assert set(found.confidence_HW[found.labels_HW == TRACK].tolist()) == {90}
    assert set(found.confidence_HW[found.labels_HW == UNLABELLED].tolist()) == {0}


def test_unknown_has_none_and_seen_without_a_label_has_its_own():
    labels = np.full((180, 320), UNLABELLED, np.uint8)
    segmentation = Segmentation(labels, np.full((180, 320), 77, np.uint8), 0, "c", 0.5)
    silent = GroundPlaneProjector(ONTOLOGY, SIZE).project(segmentation, PINHOLE, MOUNT)
    assert not silent.confidence_HW.any()
    telling = GroundPlaneProjector(ONTOLOGY, SIZE, keep_unlabelled=True)
    found = telling.project(segmentation, PINHOLE, MOUNT)
    np.testing.assert_array_equal(found.confidence_HW, np.where(found.evidence_HW > 0, 77, 0))
    assert (found.evidence_HW > 0).any()


def test_doubtful_things_leave_unknown_cells_without_confidence():
    scene = Scene(TRACK, SKY, boxes=[Box(3.0, 3.4, -0.3, 0.3, 0.8, ROCK)])
    labels = scene.render(PINHOLE, MOUNT).labels_HW
    confidence = np.where(labels == ROCK, 60, 200).astype(np.uint8)
    projector = GroundPlaneProjector(ONTOLOGY, SIZE, max_range=6.0, min_confidence=0.5)
    found = projector.project(Segmentation(labels, confidence, 0, "c", 0.5), PINHOLE, MOUNT)
    assert set(found.confidence_HW[found.labels_HW == UNLABELLED].tolist()) == {0}
    assert set(found.confidence_HW[found.labels_HW == TRACK].tolist()) == {200}


def test_confidence_lasts_until_the_next_but_one_call():
    projector = GroundPlaneProjector(ONTOLOGY, SIZE)
    labels = np.full((180, 320), GRASS, np.uint8)
    first, second, third = (
        projector.project(Segmentation(labels, np.full_like(labels, k), 0, "c", 0.5), PINHOLE, MOUNT)
        for k in (10, 20, 30)
    )
    assert second.confidence_HW.max() == 20
    assert third.confidence_HW is first.confidence_HW
    assert third.confidence_HW.max() == 30
