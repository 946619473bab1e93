# SPDX-License-Identifier: Apache-2.0
"""The messages that Nav2's layers take, held against Nav2's own arithmetic and the camera model."""

from __future__ import annotations

import array

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from offroad_seg.mapping.cloud import POINT
from offroad_seg.ros.camera_info import CalibrationCache
from offroad_seg.ros.cloud_message import CloudWriter
from offroad_seg.ros.costmap_messages import CostmapWriter
from offroad_seg.ros.messages import ImageWriter, header_message
from offroad_seg.sensor_messages import camera_from_info
from offroad_seg.types import Costmap, GridSpec
from tests.helpers.native import kernels


def nav2_occupancy(raw: int) -> int:
    """What nav2_costmap_2d's Costmap2DPublisher makes of a raw cost (its cost_translation_table, whole numbers)."""
    special = {0: 0, 253: 99, 254: 100, 255: -1}
    return special[raw] if raw in special else 1 + 97 * (raw - 1) // 251


@pytest.mark.parametrize("wanted", [False, True], ids=["numpy", "kernels"])
def test_a_raw_costmap_says_the_same_in_nav2s_units(wanted):
    nav2 = pytest.importorskip("nav2_msgs.msg", reason="nav2_msgs is not built: make interfaces")
    values = np.array([-1, *range(101)], np.int8).reshape(6, 17)
    costmap = Costmap(values, GridSpec(17, 6, 0.25, -1.0, 2.0), "odom", 5_000_000_007)
    with kernels(wanted):
        message = CostmapWriter(nav2.Costmap).raw(costmap)
    assert [nav2_occupancy(v) for v in message.data] == values.ravel().tolist()
    data = message.metadata
    assert (data.size_x, data.size_y, data.resolution) == (17, 6, 0.25)
    assert (data.origin.position.x, data.origin.position.y, data.origin.orientation.w) == (-1.0, 2.0, 1.0)
    assert message.header.frame_id == "odom"
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (5, 7)
    assert data.update_time == message.header.stamp


def test_a_cloud_is_organised_and_its_fields_lie_where_they_are_said_to():
    points = np.zeros((3, 5), POINT)
    points["x"], points["z"] = np.arange(15).reshape(3, 5), np.nan
    points["label"], points["confidence"] = 7, 200
    message = CloudWriter().message(points, header_message(12, "camera_optical_frame"))
    assert (message.height, message.width, message.point_step, message.row_step) == (3, 5, 16, 80)
    assert not message.is_dense
    assert not message.is_bigendian
    fields = {f.name: f for f in message.fields}
    assert [f.offset for f in message.fields] == [0, 4, 8, 12, 13]
    raw = np.frombuffer(message.data, np.uint8).reshape(3, 5, 16)
    assert raw[1, 2, fields["x"].offset :][:4].tobytes() == np.float32(7).tobytes()
    assert np.isnan(np.frombuffer(raw[1, 2, fields["z"].offset :][:4].tobytes(), np.float32)[0])
    assert (raw[..., fields["label"].offset] == 7).all()
    assert (raw[..., fields["confidence"].offset] == 200).all()


def info(**changes):
    message = CameraInfo(header=header_message(3, "camera_optical_frame"), width=640, height=400)
    message.distortion_model, message.d = "plumb_bob", [-0.2, 0.05, 0.001, -0.002, 0.0]
    message.k = [310.0, 0.0, 322.0, 0.0, 305.0, 190.0, 0.0, 0.0, 1.0]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [290.0, 0.0, 330.0, -29.0, 0.0, 295.0, 180.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"binning_x": 2, "binning_y": 2},
        {"roi": RegionOfInterest(x_offset=40, y_offset=20, width=480, height=320)},
    ],
    ids=["plain", "binning", "roi"],
)
def test_the_calibration_of_the_labels_maps_points_to_the_same_places(changes):
    message = info(**changes)
    camera = camera_from_info(message)
    cache = CalibrationCache()
    cache.put(message)
    cache.model(camera.height, camera.width)
    height, width = camera.height // 2, camera.width // 4  # not the same in both directions
    scaled = cache.scaled_info(height, width, header_message(9, "camera_optical_frame"))
    assert (scaled.height, scaled.width) == (height, width)
    assert scaled.header.stamp.nanosec == 9
    assert (scaled.binning_x, scaled.roi.width) == (0, 0)  # both are in the numbers already
    points = np.random.default_rng(0).uniform((-1, -0.8, 3), (1, 0.8, 6), (200, 3))
    full, seen = camera.project(points)
    small, seen_small = camera_from_info(scaled).project(points)
    both = seen & seen_small
    assert both.sum() > 100
    ratio = np.array([width / camera.width, height / camera.height])
    np.testing.assert_allclose(small[both] + 0.5, (full[both] + 0.5) * ratio, atol=1e-6)


def test_the_rectified_matrix_is_scaled_alike():
    cache = CalibrationCache()
    cache.put(info())
    cache.model(400, 640)
    p = np.array(cache.scaled_info(200, 160, header_message(0, "c")).p).reshape(3, 4)
    original = np.array(info().p).reshape(3, 4)
    for point in np.random.default_rng(1).uniform((-1, -1, 2, 1), (1, 1, 5, 1), (20, 4)):
        point[3] = 1.0
        u, v, w = original @ point
        small = p @ point
        assert small[0] / small[2] + 0.5 == pytest.approx((u / w + 0.5) * 0.25)
        assert small[1] / small[2] + 0.5 == pytest.approx((v / w + 0.5) * 0.5)


def test_without_a_usable_calibration_there_is_none():
    cache = CalibrationCache()
    assert cache.scaled_info(10, 10, header_message(0, "c")) is None


def test_a_cloud_that_lies_in_an_array_is_not_copied():
    data = array.array("B", bytes(6 * POINT.itemsize))
    points_HW = np.frombuffer(data, POINT).reshape(2, 3)
    points_HW["x"] = 1.5
    message = CloudWriter().message(points_HW, Header(frame_id="camera"))
    assert message.data is data
    part = CloudWriter().message(points_HW[:1], Header())
    assert part.data is not data
    assert bytes(part.data) == points_HW[:1].tobytes()


def test_an_image_is_handed_over_without_a_copy():
    writer = ImageWriter("mono8")
    first = writer.message(np.zeros((2, 3), np.uint8), Header())
    second = writer.message(np.full((2, 3), 7, np.uint8), Header())
    assert first.data is second.data
    assert bytes(second.data) == bytes([7] * 6)
