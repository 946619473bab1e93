# SPDX-License-Identifier: Apache-2.0
"""The measured point of each pixel: aligned with the labels, where it really is, and NaN where nothing was measured."""

from __future__ import annotations

import numpy as np
import pytest

from offroad_seg.camera import CameraModel
from offroad_seg.errors import CameraError, DepthError
from offroad_seg.mapping.cloud import POINT, GroundCloud
from offroad_seg.mapping.depth_cloud import DepthCloud
from offroad_seg.mapping.settings import PipelineSettings
from offroad_seg.ontology import load_ontology
from offroad_seg.transforms import Transform, camera_mount
from offroad_seg.types import UNLABELLED, Segmentation
from tests.helpers.box_world import segmentation_of
from tests.helpers.solid_world import below, block, look

ONTOLOGY = load_ontology("duality_desert")
LANDSCAPE, SKY, ROCKS, TREES = (ONTOLOGY.id_of(n) for n in ("Landscape", "Sky", "Rocks", "Trees"))
CAMERA = CameraModel.from_info(
    320, 180, "plumb_bob", (-0.2, 0.05, 0.001, -0.001, -0.005), (200.0, 0, 158.0, 0, 202.0, 88.0, 0, 0, 1)
)
MOUNT = camera_mount(0.3, 0.1, 1.3, 0.02, 0.2, -0.1)
POSE = Transform.from_rpy(0.08, -0.06, 0.7, (30.0, -20.0, 0.4))
SLOPE = below(LANDSCAPE, -0.2, 5.0, 30.0)


def scene():
    """A slope, a rock on it, and a crown that hangs over it."""
    trunk = (POSE @ MOUNT).apply(np.array([[0.5, 0.3, 4.0]]))[0]
    x, y = trunk[0], trunk[1]
    return [
        SLOPE,
        block(ROCKS, (x, x + 0.5), (y, y + 0.5), (-2.0, 0.8)),
        block(TREES, (x + 1.0, x + 3.0), (y + 0.5, y + 2.5), (2.2, 3.0)),
    ]


def cloud_of(solids, *, depth=None, labels=None, confidence=255, camera=CAMERA, **options):
    seen, depth_HW = look(solids, CAMERA, POSE @ MOUNT, SKY)
    seen = seen if labels is None else labels(seen.copy())
    depth_HW = depth_HW if depth is None else depth(depth_HW.copy())
    cloud = DepthCloud(ONTOLOGY, **{"max_range": 15.0, "min_confidence": 0.35, **options})
    return seen, depth_HW, cloud.points(segmentation_of(seen, 0, confidence), camera, depth_HW, MOUNT, POSE)


def xyz(points):
    return np.stack([points[name] for name in "xyz"], axis=-1).astype(np.float64)


def test_every_point_is_seen_at_its_pixel_and_lies_on_what_is_there():
    labels, depth_HW, points = cloud_of(scene())
    assert points.dtype == POINT
    assert points.shape == labels.shape
    np.testing.assert_array_equal(points["label"], labels)
    there = np.isfinite(points["z"])
    assert {LANDSCAPE, ROCKS, TREES} <= set(np.unique(labels[there]).tolist())
    np.testing.assert_array_equal(points["z"][there], depth_HW[there])
    uv, seen = CAMERA.project(xyz(points)[there])
    assert seen.all()
    rows, columns = np.nonzero(there)
    np.testing.assert_allclose(uv, np.stack([columns, rows], axis=1), atol=0.02)
    # In odom the ground's points lie on the slope, and the rock's are where the rock is.
    ground = (POSE @ MOUNT).apply(xyz(points)[there & (labels == LANDSCAPE)])
    np.testing.assert_allclose(
        ground[:, 2], -0.2 + np.tan(np.radians(5.0)) * (ground[:, 0] - 30.0), atol=2e-3
    )
    rock = (POSE @ MOUNT).apply(xyz(points)[there & (labels == ROCKS)])
    (x0, x1), (y0, y1) = ((rock[:, k].min(), rock[:, k].max()) for k in (0, 1))
    assert max(x1 - x0, y1 - y0) < 0.505
    # A crown's points hang where it hangs: by the plane they would lie far behind.
    crown = (POSE @ MOUNT).apply(xyz(points)[there & (labels == TREES)])
    assert crown[:, 2].min() > 2.19


def test_in_the_synthetic_desert_the_ground_is_the_terrain():
    pytest.importorskip("embreex", reason="embreex is not installed")
    from offroad_seg_train.synthetic.dataset import cached_world
    from offroad_seg_train.synthetic.drive import Drive, base_T_optical
    from offroad_seg_train.synthetic.render import default_camera, render

    world, camera = cached_world((3, 0)), default_camera(160, 90)
    pose = Drive(world.terrain).poses(np.array([2.0]))[0]
    picture = render(world, camera, pose @ base_T_optical(), (0,))
    labels = picture.labels_HW
    cloud = DepthCloud(world.ontology, max_range=15.0, min_confidence=0.35)
    points = cloud.points(segmentation_of(labels), camera, picture.depth_HW, base_T_optical(), pose)
    there = np.isfinite(points["z"])
    assert 0.2 < there.mean() < 0.9
    assert not there[labels == world.ontology.id_of("Sky")].any()
    at = (pose @ base_T_optical()).apply(xyz(points)[there & (labels == world.ontology.id_of("Landscape"))])
    assert len(at) > 500
    above = at[:, 2] - world.terrain.height(at[:, 0], at[:, 1])
    assert np.abs(above).max() < 0.05


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, -2.0])
def test_where_depth_is_absent_there_is_no_point(value):
    def punch(depth_HW):
        depth_HW[:, 100:180] = value
        return depth_HW

    _, _, points = cloud_of(scene(), depth=punch)
    assert not np.isfinite(xyz(points)[:, 100:180]).any()
    assert np.isfinite(xyz(points)[140:, :100]).all()


def test_what_says_nothing_about_the_ground_has_no_point():
    def some(labels):
        labels[:, :100] = SKY
        labels[:, 200:] = UNLABELLED
        return labels

    _, _, points = cloud_of([SLOPE], labels=some)
    assert not np.isfinite(points["z"][:, :100]).any()
    assert not np.isfinite(points["z"][:, 200:]).any()
    assert np.isfinite(points["z"][120:, 100:200]).all()
    assert not np.isfinite(cloud_of([SLOPE], confidence=80)[2]["z"]).any()


def test_the_range_is_measured_along_the_ground():
    _, depth_HW, points = cloud_of([below(LANDSCAPE, -0.9)], max_range=5.0)
    there = np.isfinite(points["z"])
    view = POSE @ MOUNT
    level = np.hypot(*(view.apply(xyz(points)[there]) - view.translation_3)[:, :2].T)
    assert 4.8 < level.max() <= 5.0
    assert np.nanmax(depth_HW) > 10.0


def test_millimetres_and_other_resolutions():
    _, metres, expected = cloud_of(scene())
    mm = lambda d: np.nan_to_num(np.rint(d * 1000)).clip(0, 65535).astype(np.uint16)  # noqa: E731
    _, _, points = cloud_of(scene(), depth=mm)
    both = np.isfinite(expected["z"]) & np.isfinite(points["z"])
    assert both.sum() > 0.99 * np.isfinite(expected["z"]).sum()
    np.testing.assert_allclose(points["z"][both], expected["z"][both], atol=6e-4)
    _, _, doubled = cloud_of(scene(), depth=lambda d: np.kron(d, np.ones((2, 2), np.float32)))
    np.testing.assert_array_equal(doubled["z"], expected["z"])
    assert metres.shape == points.shape


def test_what_does_not_fit_is_refused():
    cloud = DepthCloud(ONTOLOGY, max_range=15.0, min_confidence=0.0)
    labels, depth_HW = look([SLOPE], CAMERA, MOUNT, SKY)
    with pytest.raises(DepthError, match="another view"):
        cloud.points(segmentation_of(labels), CAMERA, depth_HW[:, :180], MOUNT)
    with pytest.raises(CameraError, match="camera is 320×180"):
        cloud.points(Segmentation(labels[:90], labels[:90], 0, "c", 1.0), CAMERA, depth_HW, MOUNT)


def test_the_projection_says_which_cloud():
    assert isinstance(PipelineSettings(projection="depth").cloud(ONTOLOGY), DepthCloud)
    assert isinstance(PipelineSettings().cloud(ONTOLOGY), GroundCloud)
