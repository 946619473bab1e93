# SPDX-License-Identifier: Apache-2.0
"""The kernel for clouds does what numpy does, to the last bit."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.camera import CameraModel
from offroad_seg.mapping.cloud import POINT, GroundCloud
from offroad_seg.mapping.rays import RayTable
from offroad_seg.native.cloud import CloudKernel
from offroad_seg.spread import Spread
from offroad_seg.transforms import Transform, camera_mount
from offroad_seg.types import UNLABELLED, Segmentation
from tests.helpers.native import kernels, twins
from tests.helpers.terrain import track_rock_sky

ONTOLOGY = track_rock_sky()
LENSES = (
    ("plumb_bob", ()),
    ("plumb_bob", (-0.3, 0.09, 0.001, -0.001, -0.01)),
    ("equidistant", (-0.02, 0.006, -0.003, 0.0004)),
)


@given(
    seed=st.integers(0, 2**31),
    size=st.tuples(st.integers(1, 40), st.one_of(st.integers(1, 60), st.integers(1, 12).map(lambda n: 8 * n))),
    network=st.one_of(st.none(), st.tuples(st.integers(1, 50), st.integers(1, 70))),
    lens=st.sampled_from(LENSES),
    focal=st.floats(0.1, 3.0),
    pitch=st.floats(-0.4, 1.57),
    lean=st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)),
    max_range=st.sampled_from([0.5, 3.0, 10.0, 1e4]),
    coarse=st.booleans(),
)  # fmt: skip
def test_cloud_twins(seed, size, network, lens, focal, pitch, lean, max_range, coarse):
    """Every lens; labels at the image's size or the network's; all classes, unknown values and doubts among them.

    Widths of whole eights are worked out otherwise.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    camera = CameraModel.from_info(
        width, height, *lens, (focal * width, 0, width / 2.1, 0, focal * width, height / 1.9, 0, 0, 1)
    )
    values = np.array([0, 0, 0, 1, 1, 2, 9, UNLABELLED], np.uint8)

    def said(h, w):
        labels = rng.choice(values, (max(1, h // 5), max(1, w // 5)) if coarse else (h, w))
        labels = cv2.resize(labels, (w, h), interpolation=cv2.INTER_NEAREST)
        confidence = rng.choice(np.array([0, 76, 77, 255], np.uint8), (h, w), p=[0.05, 0.05, 0.4, 0.5])
        return Segmentation(np.asarray(labels), confidence, 0, "camera", 0.5)

    large, small = said(height, width), said(*network) if network else None
    mount, pose = (
        camera_mount(0.2, 0.05, 1.3, 0.0, pitch, 0.0),
        Transform.from_rpy(*lean, 0.5, (1.0, -2.0, 0.0)),
    )

    def work():
        cloud = GroundCloud(ONTOLOGY, max_range=max_range, min_confidence=0.3)
        return cloud.points(large, camera, mount, pose, network=small).view(np.uint32).copy()

    numpy, native = twins(work)
    np.testing.assert_array_equal(numpy, native)


def test_memory_that_begins_at_an_odd_place_is_left_to_numpy():
    """The kernel writes whole points at a time, at multiples of their size."""
    data = np.frombuffer(array.array("B", bytes(16 * 7)), np.uint8)
    begin = (8 - data.ctypes.data) % 16
    points_HW = data[begin:][: 16 * 6].view(POINT).reshape(2, 3)
    assert points_HW.ctypes.data % 16 == 8
    nothing = np.zeros((2, 3), np.uint8)
    rays = RayTable.of(CameraModel.pinhole(3, 2, 4.0))
    kernel = CloudKernel(np.zeros(256, np.uint8), 0, Spread((2, 3), (2, 3)), rays, (3, 2), points_HW)
    assert not kernel.fill(nothing, nothing, (1.0,) * 8)


@pytest.mark.parametrize(("min_confidence", "points"), [(0.0, 6), (1.0, 6), (1.001, 0), (2.0, 0)])
def test_a_bound_that_nothing_can_meet_leaves_no_point(min_confidence, points):
    """Not one that comes round to a small number: unsure ground would be believed."""
    ground, sure = np.zeros((2, 3), np.uint8), np.full((2, 3), 255, np.uint8)
    cloud = GroundCloud(ONTOLOGY, max_range=50.0, min_confidence=min_confidence)
    with kernels(True):
        found = cloud.points(
            Segmentation(ground, sure, 0, "camera", 1.0),
            CameraModel.pinhole(3, 2, 30.0),
            camera_mount(0.0, 0.0, 1.0, 0.0, 0.6, 0.0),
        )
    assert np.isfinite(found["z"]).sum() == points
