# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import cv2
import numpy as np
import pytest

from offroad_seg.errors import CameraError
from offroad_seg.mapping.cloud import POINT, GroundCloud
from offroad_seg.transforms import Transform, camera_mount
from offroad_seg.types import UNLABELLED
from tests.helpers.box_world import Box, Scene, segmentation_of
from tests.helpers.terrain import CAMERAS, track_rock_sky

ONTOLOGY = track_rock_sky()
TRACK, ROCK, SKY = range(3)
MOUNT = camera_mount(0.2, 0.05, 1.3, 0.0, 0.3, 0.0)
POSE = Transform.from_rpy(0.06, -0.04, 0.5, (1.23, -0.77, 0.0))
MAX_RANGE = 8.0


def cloud(camera=CAMERAS[0], min_confidence=0.3, **options):
    return GroundCloud(ONTOLOGY, max_range=MAX_RANGE, min_confidence=min_confidence, **options)


def in_odom(points_HW, camera_pose):
    xyz = np.stack([points_HW[name].ravel() for name in "xyz"], axis=1).astype(np.float64)
    return camera_pose.apply(xyz).reshape(*points_HW.shape, 3)


@pytest.mark.parametrize("camera", CAMERAS, ids=["pinhole", "distorted", "fisheye"])
def test_ground_pixels_lie_where_their_rays_meet_the_ground(camera):
    view = Scene(TRACK, SKY).render(camera, POSE @ MOUNT)
    points = cloud().points(segmentation_of(view.labels_HW), camera, MOUNT, POSE)
    assert points.dtype == POINT
    assert points.shape == view.labels_HW.shape
    found, truth = in_odom(points, POSE @ MOUNT), view.points_HW3
    near = np.hypot(*(truth - (POSE @ MOUNT).translation_3)[..., :2].transpose(2, 0, 1)) < MAX_RANGE - 0.01
    near &= view.labels_HW == TRACK
    assert near.sum() > 10_000
    np.testing.assert_allclose(found[near], truth[near], atol=2e-3)
    far = np.hypot(*(truth - (POSE @ MOUNT).translation_3)[..., :2].transpose(2, 0, 1)) > MAX_RANGE + 0.01
    assert np.isnan(found[far | (view.labels_HW == SKY)]).all()
    np.testing.assert_array_equal(points["label"], view.labels_HW)
    assert (points["confidence"] == 255).all()


def test_of_what_stands_only_the_foot_has_points_and_they_are_at_its_foot():
    camera = CAMERAS[0]
    view = Scene(TRACK, SKY, boxes=[Box(4.0, 4.6, -0.5, 0.5, 1.0, ROCK)]).render(camera, MOUNT)
    points = cloud().points(segmentation_of(view.labels_HW), camera, MOUNT)
    rock = view.labels_HW == ROCK
    has_point = np.isfinite(points["z"])
    columns = rock.any(axis=0)
    feet = (has_point & rock).sum(axis=0)[columns]
    assert feet.max() == 1
    assert feet.sum() >= columns.sum() - 4  # but for its sides, which lean outwards in the image
    foot = in_odom(points, MOUNT)[rock & has_point]
    assert len(foot) > 20
    np.testing.assert_allclose(foot[:, 0], 4.0, atol=0.1)  # not at its far side, let alone behind it
    np.testing.assert_allclose(foot[:, 2], 0.0, atol=1e-3)


def test_doubtful_and_unlabelled_pixels_have_no_point():
    camera = CAMERAS[1]
    labels = np.full((camera.height, camera.width), TRACK, np.uint8)
    labels[:, :100] = UNLABELLED
    segmentation = segmentation_of(labels, confidence=100)
    segmentation.confidence_HW[:, 200:] = 60  # below 0.3 · 255
    points = cloud().points(segmentation, camera, MOUNT)
    assert np.isfinite(points["x"][-1, 100:200]).all()
    for name in "xyz":
        assert np.isnan(points[name][:, :100]).all()
        assert np.isnan(points[name][:, 200:]).all()


def test_a_thing_that_leaves_the_image_at_the_bottom_has_no_foot():
    labels = np.full((180, 320), ROCK, np.uint8)
    points = cloud().points(segmentation_of(labels), CAMERAS[0], MOUNT)
    assert np.isnan(points["z"]).all()


def test_a_tilted_vehicle_is_levelled():
    camera = CAMERAS[0]
    tilt = Transform.from_rpy(0.1, 0.15, 0.0, (0.0, 0.0, 0.4))
    view = Scene(TRACK, SKY).render(camera, tilt @ MOUNT)
    points = cloud(ground_height=0.4).points(segmentation_of(view.labels_HW), camera, MOUNT, tilt)
    found = in_odom(points, tilt @ MOUNT)
    assert np.isfinite(found).any()
    np.testing.assert_allclose(found[..., 2][np.isfinite(found[..., 2])], 0.0, atol=5e-3)


def test_a_camera_of_another_size_is_refused():
    with pytest.raises(CameraError, match="320×180"):
        cloud().points(segmentation_of(np.zeros((90, 160), np.uint8)), CAMERAS[0], MOUNT)


@pytest.mark.parametrize("size", [(48, 97), (180, 320), (333, 250)], ids=["smaller", "same", "larger"])
@pytest.mark.parametrize("camera", CAMERAS, ids=["pinhole", "distorted", "fisheye"])
def test_the_networks_own_pixels_give_the_same_cloud(camera, size):
    rng = np.random.default_rng(3)
    coarse = rng.choice(np.array([TRACK, TRACK, TRACK, ROCK, SKY, UNLABELLED], np.uint8), (9, 16))
    small = segmentation_of(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_NEAREST))
    small.confidence_HW[:] = rng.choice(np.array([20, 220, 220, 220], np.uint8), size)
    large = segmentation_of(np.empty((camera.height, camera.width), np.uint8))
    for source, target in ((small.labels_HW, large.labels_HW), (small.confidence_HW, large.confidence_HW)):
        cv2.resize(source, target.shape[::-1], dst=target, interpolation=cv2.INTER_NEAREST_EXACT)
    from_large = cloud().points(large, camera, MOUNT, POSE).copy()
    from_small = cloud().points(large, camera, MOUNT, POSE, network=small)
    assert np.isfinite(from_large["z"]).sum() > 1000
    for name in POINT.names:
        np.testing.assert_array_equal(from_small[name], from_large[name])


def test_of_the_image_before_nothing_is_left():
    camera = CAMERAS[0]
    labels = np.full((180, 320), TRACK, np.uint8)
    labels[:, 100:140] = ROCK
    labels[120:, 100:140] = TRACK
    kept, fresh = cloud(), cloud()
    kept.points(segmentation_of(labels), camera, MOUNT)
    after = segmentation_of(np.where(np.arange(320) < 200, TRACK, SKY).astype(np.uint8)[None].repeat(180, 0))
    after.labels_HW[:60] = SKY
    up = camera_mount(0.2, 0.05, 1.3, 0.0, -0.1, 0.0)
    for mount in (up, MOUNT):
        again, expected = kept.points(after, camera, mount), fresh.points(after, camera, mount)
        for name in POINT.names:
            np.testing.assert_array_equal(again[name], expected[name])
    assert np.isnan(again["z"][:60]).all()
    assert np.isfinite(again["z"][-1, :200]).all()
