# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from offroad_seg.camera import CameraModel
from offroad_seg.errors import CameraError, InputError
from offroad_seg.mapping.grid import GridSize
from offroad_seg.mapping.ground_plane import GroundPlaneProjector
from offroad_seg.transforms import Transform, camera_mount
from offroad_seg.types import UNLABELLED, Segmentation
from tests.helpers.box_world import Box, Scene, segmentation_of
from tests.helpers.terrain import BUSH, CAMERAS, DISTORTED, GRASS, PINHOLE, ROCK, SKY, TRACK, terrain_classes

ONTOLOGY = terrain_classes()
GROUND = (TRACK, GRASS)
SIZE = GridSize(12.0, 10.0, 0.1)
MOUNT = camera_mount(0.2, 0.05, 1.3, 0.0, 0.3, 0.0)


def project(scene: Scene, camera=DISTORTED, mount=MOUNT, pose=None, **options):
    """Render a scene, project it, and give the observation and which cells the boxes cover."""
    pose = pose or Transform.identity()
    view = scene.render(camera, pose @ mount)
    projector = GroundPlaneProjector(ONTOLOGY, SIZE, max_range=options.pop("max_range", 8.0), **options)
    observation = projector.project(segmentation_of(view.labels_HW, 5), camera, mount, pose)
    return observation, scene.occupied(observation.grid)


def at(observation, x: float, y: float) -> int:
    grid = observation.grid
    row, column = int((y - grid.origin_y) / grid.resolution), int((x - grid.origin_x) / grid.resolution)
    return int(observation.labels_HW[row, column])


@pytest.mark.parametrize("camera", CAMERAS, ids=["pinhole", "distorted", "fisheye"])
def test_ground_patches_come_to_lie_where_they_are(camera):
    scene = Scene(TRACK, SKY, patches=[Box(2.0, 4.0, -0.5, 0.5, 0, GRASS)])
    pose = Transform.from_rpy(0.06, -0.04, 0.5, (1.23, -0.77, 0.0))
    observation, _ = project(scene, camera, pose=pose)
    grid = observation.grid
    x = grid.origin_x + (np.arange(grid.width) + 0.5) * grid.resolution
    y = grid.origin_y + (np.arange(grid.height) + 0.5) * grid.resolution
    # Cells whose centre lies a pixel's width from the patch's edge may go either way.
    inner = (np.abs(x - 3.0) < 0.95)[None, :] & (np.abs(y) < 0.45)[:, None]
    outer = ~((np.abs(x - 3.0) < 1.05)[None, :] & (np.abs(y) < 0.55)[:, None])
    seen = observation.labels_HW != UNLABELLED
    assert (seen & inner).sum() > 100
    assert (observation.labels_HW[seen & inner] == GRASS).all()
    assert (seen & outer).sum() > 1000
    assert (observation.labels_HW[seen & outer] == TRACK).all()
    assert (observation.evidence_HW[seen] > 0).all()
    assert (observation.evidence_HW[~seen] == 0).all()


def test_a_standing_thing_marks_its_foot_and_hides_what_lies_behind():
    scene = Scene(TRACK, SKY, boxes=[Box(3.0, 3.4, -0.3, 0.3, 0.8, ROCK)])
    observation, _ = project(scene)
    assert {at(observation, 3.05, y) for y in (-0.25, 0.0, 0.25)} == {ROCK}
    marked_rows, marked_columns = np.nonzero(observation.labels_HW == ROCK)
    x = observation.grid.origin_x + (marked_columns + 0.5) * 0.1
    y = observation.grid.origin_y + (marked_rows + 0.5) * 0.1
    # The front face and the side that the camera (0.05 to the left) cannot see past; nothing behind.
    assert x.max() < 3.45
    assert np.abs(y).max() < 0.36
    assert (np.abs(x - 3.05) < 0.06).mean() > 0.7
    for behind in (3.6, 4.5, 5.9):
        assert at(observation, behind, 0.0) == UNLABELLED
    assert at(observation, 2.7, 0.0) == TRACK
    assert at(observation, 5.9, 1.5) == TRACK


def test_ground_seen_over_a_low_rock_counts_only_with_object_shadows():
    scene = Scene(TRACK, SKY, boxes=[Box(3.0, 3.3, -0.3, 0.3, 0.2, ROCK)])
    # The rock hides up to 3.3 − 0.2 + 3.1 · 0.2 / 1.1 ≈ 3.9 m.
    over, _ = project(scene, shadow="object")
    assert at(over, 3.5, 0.0) == UNLABELLED
    assert at(over, 5.0, 0.0) == TRACK
    ray, _ = project(scene, shadow="ray")
    assert at(ray, 5.0, 0.0) == UNLABELLED
    plain, _ = project(scene, shadow="none")
    assert at(plain, 3.5, 0.0) == ROCK


@pytest.mark.parametrize("roll", [0.0, np.pi / 2, np.pi, -np.pi / 2])
def test_a_camera_on_its_side_or_head_sees_the_same(roll):
    scene = Scene(TRACK, SKY, boxes=[Box(3.0, 3.4, -0.3, 0.3, 0.8, BUSH), Box(4.0, 4.2, 1.0, 1.2, 2.0, ROCK)])
    camera = CameraModel.pinhole(301, 301, 150.0)
    upright, _ = project(scene, camera, camera_mount(0.2, 0.05, 1.3, 0.0, 0.3, 0.0))
    turned, _ = project(scene, camera, camera_mount(0.2, 0.05, 1.3, roll, 0.3, 0.0))
    agree = upright.labels_HW == turned.labels_HW
    assert agree.mean() > 0.995
    assert (turned.labels_HW == BUSH).sum() == pytest.approx((upright.labels_HW == BUSH).sum(), abs=2)
    assert (turned.labels_HW == ROCK).sum() == pytest.approx((upright.labels_HW == ROCK).sum(), abs=2)


def test_thin_things_between_cell_centres_are_not_stepped_over():
    """A 3 cm pole in 20 cm cells: no centre and no corner sees it."""
    scene = Scene(TRACK, SKY, boxes=[Box(3.29, 3.32, 0.49, 0.52, 1.5, ROCK)])
    size = GridSize(12.0, 10.0, 0.2)
    camera = CameraModel.pinhole(640, 360, 400.0)
    view = scene.render(camera, MOUNT)
    projector = GroundPlaneProjector(ONTOLOGY, size, max_range=8.0)
    observation = projector.project(segmentation_of(view.labels_HW), camera, MOUNT, Transform.identity())
    assert (observation.labels_HW == ROCK).any()
    rows, columns = np.nonzero(observation.labels_HW == ROCK)
    x, y = observation.grid.origin_x + columns * 0.2, observation.grid.origin_y + rows * 0.2
    # Its cell, and at most the one right behind.
    assert x.min() == pytest.approx(3.2, abs=0.01)
    assert x.max() <= 3.41
    assert y == pytest.approx(0.4, abs=0.01)


def test_specks_mark_nothing_but_their_cell_is_not_free():
    labels = Scene(TRACK, SKY).render(PINHOLE, MOUNT).labels_HW
    clean = GroundPlaneProjector(ONTOLOGY, SIZE, max_range=8.0, min_standing_px=1)
    before = clean.project(segmentation_of(labels), PINHOLE, MOUNT).labels_HW.copy()
    labels[130, 160] = ROCK
    strict = clean.project(segmentation_of(labels), PINHOLE, MOUNT).labels_HW
    assert (strict == ROCK).sum() == 1
    tolerant = GroundPlaneProjector(ONTOLOGY, SIZE, max_range=8.0, min_standing_px=2)
    after = tolerant.project(segmentation_of(labels), PINHOLE, MOUNT).labels_HW
    assert not (after == ROCK).any()
    changed = after != before
    assert changed.sum() <= 2
    assert (after[changed] == UNLABELLED).all()


def test_the_worst_class_wins_a_cell():
    # Two poles in one cell, the bush nearer to the camera's axis, the rock beside it.
    scene = Scene(
        TRACK, SKY, boxes=[Box(3.02, 3.05, 0.01, 0.04, 1.0, BUSH), Box(3.02, 3.05, 0.06, 0.09, 1.0, ROCK)]
    )
    observation, _ = project(scene, CameraModel.pinhole(640, 360, 400.0))
    assert at(observation, 3.05, 0.05) == ROCK


def test_sky_range_confidence_and_the_images_edge_are_unknown():
    camera, pose = PINHOLE, Transform.identity()
    labels = Scene(TRACK, SKY).render(camera, pose @ MOUNT).labels_HW
    confidence = np.full(labels.shape, 255, np.uint8)
    confidence[:, :100] = 127
    projector = GroundPlaneProjector(ONTOLOGY, SIZE, max_range=4.0, min_confidence=0.5)
    observation = projector.project(Segmentation(labels, confidence, 0, "c", 1.0), camera, MOUNT, pose)
    grid = observation.grid
    x, y = np.meshgrid(
        grid.origin_x + (np.arange(grid.width) + 0.5) * 0.1,
        grid.origin_y + (np.arange(grid.height) + 0.5) * 0.1,
    )
    seen = observation.labels_HW != UNLABELLED
    assert np.hypot(x[seen] - 0.2, y[seen] - 0.05).max() <= 4.0
    assert x[seen].min() > 0.2
    # The left third of the image, which is the vehicle's left, is below confidence.
    uv, inside = camera.project(
        MOUNT.inverse().apply(np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1))
    )
    low = (inside & (uv[:, 0] < 99)).reshape(x.shape)
    assert low.any()
    assert not seen[low].any()
    assert not seen[~inside.reshape(x.shape)].any()
    all_sky = np.full_like(labels, SKY)
    blind = projector.project(segmentation_of(all_sky), camera, MOUNT, pose)
    assert (blind.labels_HW == UNLABELLED).all()
    assert (blind.evidence_HW == 0).all()


def test_standing_things_of_low_confidence_are_unknown_and_still_hide():
    scene = Scene(TRACK, SKY, boxes=[Box(3.0, 3.4, -0.3, 0.3, 0.8, ROCK)])
    labels = scene.render(PINHOLE, MOUNT).labels_HW
    confidence = np.where(labels == ROCK, 60, 255).astype(np.uint8)
    projector = GroundPlaneProjector(ONTOLOGY, SIZE, max_range=8.0, min_confidence=0.5)
    observation = projector.project(Segmentation(labels, confidence, 0, "c", 1.0), PINHOLE, MOUNT)
    assert not (observation.labels_HW == ROCK).any()
    assert at(observation, 3.05, 0.0) == UNLABELLED
    assert at(observation, 5.0, 0.0) == UNLABELLED


def test_evidence_falls_with_distance_confidence_and_mixed_cells():
    labels = Scene(TRACK, SKY).render(PINHOLE, MOUNT).labels_HW
    projector = GroundPlaneProjector(ONTOLOGY, SIZE, max_range=8.0, slope_uncertainty=0.0)
    full = projector.project(segmentation_of(labels), PINHOLE, MOUNT)
    row = full.grid.height // 2
    line = full.evidence_HW[row]
    near, far = line[int((1.6 + 6) / 0.1)], line[int((5.5 + 6) / 0.1)]
    assert near == pytest.approx(1.0, abs=0.01)
    # A cell of 0.1 m at 5.3 m from a camera 1.3 m up: f h / z² = 150 · 1.3 · 0.1 / 5.5² ≈ 0.65 pixels.
    assert far == pytest.approx(0.65, abs=0.06)
    assert (np.diff(line[line > 0][2:-1]) < 1e-6).all()
    near_before = float(near)
    half = projector.project(segmentation_of(labels, confidence=128), PINHOLE, MOUNT)
    assert half.evidence_HW[row, int((1.6 + 6) / 0.1)] == pytest.approx(near_before * 128 / 255, abs=1e-3)
    patch = Scene(TRACK, SKY, patches=[Box(1.55, 9.0, -9.0, 9.0, 0, GRASS)]).render(PINHOLE, MOUNT).labels_HW
    mixed = projector.project(segmentation_of(patch), PINHOLE, MOUNT)
    # The edge runs through the cells' middle: two of their four corners are of another class.
    assert mixed.evidence_HW[row, int((1.5 + 0.05 + 6) / 0.1)] == pytest.approx(0.6, abs=0.01)


def test_far_cells_are_worth_less_the_less_the_plane_is_trusted():
    labels = Scene(TRACK, SKY).render(PINHOLE, MOUNT).labels_HW

    def worth(slope_uncertainty, distance):
        projector = GroundPlaneProjector(ONTOLOGY, SIZE, max_range=8.0, slope_uncertainty=slope_uncertainty)
        observation = projector.project(segmentation_of(labels), PINHOLE, MOUNT)
        return float(observation.evidence_HW[observation.grid.height // 2, int((distance + 0.2 + 6) / 0.1)])

    for distance in (2.0, 4.0):
        # 2° over 4 m from 1.3 m up: 0.035 · 16 / 1.3 = 0.43 m beside, worth 1 / (1 + (0.43 / 0.3)²).
        spread = np.radians(2.0) * distance**2 / 1.3
        assert worth(2.0, distance) / worth(0.0, distance) == pytest.approx(
            1 / (1 + (spread / 0.3) ** 2), rel=0.12
        )


def test_unlabelled_pixels_count_as_seen_only_where_asked_for():
    labels = np.full((180, 320), UNLABELLED, np.uint8)
    silent = GroundPlaneProjector(ONTOLOGY, SIZE).project(segmentation_of(labels), PINHOLE, MOUNT)
    assert (silent.evidence_HW == 0).all()
    telling = GroundPlaneProjector(ONTOLOGY, SIZE, keep_unlabelled=True)
    observation = telling.project(segmentation_of(labels), PINHOLE, MOUNT)
    assert (observation.labels_HW == UNLABELLED).all()
    assert (observation.evidence_HW > 0).sum() > 500


def test_results_last_until_the_next_but_one_call():
    track, grass = (np.full((180, 320), label, np.uint8) for label in GROUND)
    projector = GroundPlaneProjector(ONTOLOGY, SIZE)
    first = projector.project(segmentation_of(track), PINHOLE, MOUNT)
    copy = first.labels_HW.copy()
    projector.project(segmentation_of(grass), PINHOLE, MOUNT)
    np.testing.assert_array_equal(first.labels_HW, copy)
    assert TRACK in copy


def test_the_window_follows_the_vehicle_in_whole_cells():
    labels = Scene(TRACK, SKY, boxes=[Box(14.0, 14.4, 3.0, 3.5, 1.0, ROCK)])
    for x in (10.0, 10.73):
        pose = Transform.from_rpy(0, 0, 0.1, (x, 2.8, 0.0))
        observation, occupied = project(labels, PINHOLE, pose=pose)
        assert observation.grid == SIZE.around(x, 2.8)
        marked = observation.labels_HW == ROCK
        assert marked.sum() >= 5
        # Half a pixel beyond the corner is a cell beyond it, at most.
        assert (marked & ~occupied).sum() <= 1


def test_labels_of_another_size_than_the_camera_are_refused():
    projector = GroundPlaneProjector(ONTOLOGY, SIZE)
    with pytest.raises(CameraError, match="camera is 320×180, the labels 180×320"):
        projector.project(segmentation_of(np.zeros((320, 180), np.uint8)), PINHOLE, MOUNT)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"max_range": 0.0}, "max_range"),
        ({"max_range": float("nan")}, "max_range"),
        ({"min_confidence": 1.5}, "min_confidence"),
        ({"ground_height": float("inf")}, "ground_height"),
        ({"slope_uncertainty": -1.0}, "slope_uncertainty"),
        ({"shadow": "tree"}, "shadow"),
        ({"min_standing_px": 0}, "min_standing_px"),
        ({"min_standing_px": 9}, "min_standing_px"),
    ],
)
def test_numbers_out_of_bounds_are_refused(options, named):
    with pytest.raises(InputError, match=named):
        GroundPlaneProjector(ONTOLOGY, SIZE, **options)
