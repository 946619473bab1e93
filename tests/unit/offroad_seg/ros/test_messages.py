# SPDX-License-Identifier: Apache-2.0
"""numpy → messages and messages → transforms, with the real message classes."""

from __future__ import annotations

import math
import threading
import time
from contextlib import ExitStack

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, Image

from offroad_seg.errors import CameraError, TransformError
from offroad_seg.mapping.buffers import message_array
from offroad_seg.ros.camera_info import CalibrationCache
from offroad_seg.ros.costmap_messages import CostmapWriter
from offroad_seg.ros.dds import VARIABLES, use_large_image_profile
from offroad_seg.ros.messages import ImageWriter, header_message, owned_bytes
from offroad_seg.ros.settings import Settings
from offroad_seg.ros.transform_source import TransformSource
from offroad_seg.sensor_messages import image_to_rgb, stamp_ns
from offroad_seg.types import Costmap, GridSpec
from tests.helpers.ros_process import own_domain

S = 1_000_000_000


def costmap(shape=(3, 5), **changes):
    cost = np.arange(math.prod(shape), dtype=np.int8).reshape(shape) - 1
    values = {
        "cost_HW": cost,
        "grid": GridSpec(5, 3, 0.25, -1.5, 2.0),
        "frame_id": "odom",
        "stamp_ns": 7 * S + 5,
    }
    return Costmap(**{**values, **changes})


@pytest.mark.parametrize(("encoding", "shape"), [("mono8", (4, 7)), ("rgb8", (4, 7, 3))])
def test_images_survive_the_wire(encoding, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    writer = ImageWriter(encoding)
    writer.message(image[:2], header_message(1, "a"))  # another size before: the buffer follows
    message = writer.message(image, header_message(3 * S + 9, "camera"))
    back = deserialize_message(serialize_message(message), Image)
    rgb = image if encoding == "rgb8" else np.repeat(image[..., None], 3, axis=2)
    np.testing.assert_array_equal(image_to_rgb(back), rgb)
    assert (back.width, back.height) == (7, 4)
    assert stamp_ns(back.header) == 3 * S + 9
    assert back.header.frame_id == "camera"


def test_an_image_in_the_writers_buffer_is_not_copied_and_others_are():
    writer = ImageWriter("mono8")
    kept = writer.buffer((4, 7))
    kept[:] = 5
    message = writer.message(kept, header_message(1, "a"))
    assert message.data is owned_bytes(kept)
    other = np.full((4, 7), 9, np.uint8)
    assert list(writer.message(other, header_message(1, "a")).data) == [9] * 28
    # What a message array holds goes out without a copy; a part of it, turned or not, does not.
    whole = message_array((6, 7))
    whole[:] = np.arange(42).reshape(6, 7)
    assert writer.message(whole, header_message(1, "a")).data is owned_bytes(whole)
    for part in (whole[1:5], whole[:, ::-1], whole.T):
        assert owned_bytes(part) is None
        assert list(writer.message(part, header_message(1, "a")).data) == part.ravel().tolist()


def test_what_was_published_does_not_change_with_the_buffer():
    context, got = Context(), []
    with own_domain() as domain, ExitStack() as stack:
        rclpy.init(context=context, domain_id=domain)
        stack.callback(lambda: rclpy.try_shutdown(context=context))
        node = rclpy.create_node("kept", context=context)
        stack.callback(node.destroy_node)
        executor = SingleThreadedExecutor(context=context)
        stack.callback(executor.shutdown)
        executor.add_node(node)
        publisher = node.create_publisher(Image, "picture", 10)
        node.create_subscription(Image, "picture", lambda m: got.append(bytes(m.data)), 10)
        deadline = time.monotonic() + 60.0
        while publisher.get_subscription_count() == 0 and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.1)
        writer, kept = ImageWriter("mono8"), message_array((300, 400))
        for value in range(1, 5):
            kept[:] = value
            publisher.publish(writer.message(kept, header_message(value, "camera")))
        kept[:] = 99
        while len(got) < 4 and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.1)
    assert [set(data) for data in got] == [{1}, {2}, {3}, {4}]


def test_images_and_grids_are_made_in_a_few_milliseconds():
    """The slow way (ndarray into a message field) takes hundreds."""
    image = np.zeros((720, 1280, 3), np.uint8)
    grid = costmap((400, 400), cost_HW=np.zeros((400, 400), np.int8), grid=GridSpec(400, 400, 0.1, 0, 0))
    writer = ImageWriter("rgb8")
    writer.message(image, header_message(0, ""))
    for make in (lambda: writer.message(image, header_message(0, "")), lambda: CostmapWriter().grid(grid)):
        best = math.inf
        for _ in range(50):
            started = time.perf_counter()
            make()
            best = min(best, time.perf_counter() - started)
            if best < 0.02:
                break
        assert best < 0.02


def test_grid_message():
    back = deserialize_message(serialize_message(CostmapWriter().grid(costmap())), OccupancyGrid)
    assert list(back.data) == list(range(-1, 14))
    assert (back.info.width, back.info.height, back.info.resolution) == (5, 3, 0.25)
    assert (back.info.origin.position.x, back.info.origin.position.y) == (-1.5, 2.0)
    assert back.info.origin.orientation.w == 1.0
    assert back.header.frame_id == "odom"
    assert stamp_ns(back.header) == 7 * S + 5


def test_kept_messages_hold_nothing_of_the_costmap_before():
    """Another size, place, time and frame: as if it were the first."""
    nav2 = pytest.importorskip("nav2_msgs.msg", reason="nav2_msgs is not built: make interfaces")
    kept = CostmapWriter(nav2.Costmap)
    before = Costmap(np.full((4, 2), 100, np.int8), GridSpec(2, 4, 0.5, 9.0, 8.0), "base_link", 3 * S)
    for shape in ((4, 2), (3, 5)):
        made = before if shape == (4, 2) else costmap()
        for name in ("grid", "raw"):
            found = getattr(kept, name)(made)
            assert serialize_message(found) == serialize_message(
                getattr(CostmapWriter(nav2.Costmap), name)(made)
            )


@pytest.mark.parametrize(
    "changes",
    [
        {"frame_id": ""},
        {"stamp_ns": -1},
        {"grid": GridSpec(5, 3, math.nan, 0, 0)},
        {"grid": GridSpec(5, 3, 0.0, 0, 0)},
        {"grid": GridSpec(5, 3, 0.1, math.inf, 0)},
        {"grid": GridSpec(3, 5, 0.1, 0, 0)},
    ],
)
def test_grids_that_nav2_would_refuse_are_not_made(changes):
    with pytest.raises(ValueError, match="costmap"):
        CostmapWriter().grid(costmap(**changes))


def odometry(stamp, x=0.0, w=1.0, child="base_link"):
    message = Odometry(child_frame_id=child)
    message.header = header_message(stamp, "odom")
    message.pose.pose.position.x = x
    message.pose.pose.orientation.w = w
    return message


def settings(**changes):
    return Settings(**{"mount_z": 1.0, **changes})


def test_poses_are_interpolated_at_the_stamp():
    source = TransformSource(settings())
    source.add_odometry(odometry(1 * S, 0.0))
    source.add_odometry(odometry(2 * S, 4.0))
    poses = source.poses("camera", S + S // 4, 0.0)
    assert poses.odom_T_base.translation_3[0] == pytest.approx(1.0)
    np.testing.assert_allclose(poses.base_T_camera.translation_3, [0, 0, 1.0])
    assert source.newest_ns() == 2 * S


def test_a_pose_that_comes_later_is_waited_for_but_not_for_ever():
    source = TransformSource(settings())
    source.add_odometry(odometry(1 * S))
    started = time.monotonic()
    with pytest.raises(TransformError, match="odom"):
        source.poses("camera", 2 * S, 0.1)
    assert 0.09 < time.monotonic() - started < 60.0
    threading.Timer(0.1, source.add_odometry, (odometry(3 * S, 2.0),)).start()
    assert source.poses("camera", 2 * S, 60.0).odom_T_base.translation_3[0] == pytest.approx(1.0)


def test_closing_ends_a_wait():
    source = TransformSource(settings())
    threading.Timer(0.05, source.close).start()
    started = time.monotonic()
    with pytest.raises(TransformError):
        source.poses("camera", 2 * S, 600.0)
    assert time.monotonic() - started < 60.0


def test_without_mount_the_camera_is_nowhere_until_tf_says():
    source = TransformSource(Settings())
    source.add_odometry(odometry(1 * S))
    with pytest.raises(TransformError, match="camera"):
        source.poses("camera", 1 * S, 0.0)
    static = TransformStamped(header=header_message(0, "/base_link"), child_frame_id="camera")
    static.transform.translation.z = 2.0
    assert source.add_transforms([static], static=True) == []
    assert source.poses("camera", 1 * S, 0.0).base_T_camera.translation_3[2] == 2.0
    source.clear()  # time ran back: static ones stay
    source.add_odometry(odometry(S // 2))
    assert source.poses("camera", S // 2, 0.0).base_T_camera.translation_3[2] == 2.0


def test_a_costmap_in_the_base_frame_needs_no_odometry():
    source = TransformSource(settings(costmap_frame="base_link"))
    assert source.poses("camera", 1 * S, 0.0).odom_T_base is None
    source.add_odometry(odometry(1 * S, 3.0))
    assert source.poses("camera", 1 * S, 0.0).odom_T_base.translation_3[0] == 3.0


def test_a_history_of_another_time_does_not_keep_new_poses_out():
    source = TransformSource(settings())
    source.add_odometry(odometry(1000 * S))
    source.add_odometry(odometry(5 * S, 1.5))
    assert source.poses("camera", 5 * S, 0.0).odom_T_base.translation_3[0] == 1.5


@pytest.mark.parametrize("bad", [odometry(S, x=math.nan), odometry(S, w=0.5), odometry(S, child="")])
def test_bad_odometry(bad):
    with pytest.raises(TransformError):
        TransformSource(settings()).add_odometry(bad)


def test_bad_transforms_are_refused_one_by_one():
    source = TransformSource(Settings())
    good = TransformStamped(header=header_message(S, "odom"), child_frame_id="base_link")
    bad = TransformStamped(header=header_message(S, "odom"), child_frame_id="base_link")
    bad.transform.rotation.w = math.nan
    assert len(source.add_transforms([bad, good], static=False)) == 1
    assert source.newest_ns() == S


def camera_info(**changes):
    message = CameraInfo(width=320, height=240, distortion_model="plumb_bob", d=[0.1, 0.0, 0.0, 0.0, 0.0])
    message.k = [200.0, 0, 160, 0, 200, 120, 0, 0, 1]
    message.header.frame_id = "camera"
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def test_calibration_is_read_again_only_when_it_changes():
    cache = CalibrationCache()
    with pytest.raises(CameraError, match="no CameraInfo"):
        cache.model(240, 320)
    assert cache.put(camera_info())
    first = cache.model(240, 320)
    assert not cache.put(camera_info(header=header_message(99, "camera")))  # only the stamp
    assert cache.model(240, 320) is first
    assert cache.put(camera_info(d=[0.2, 0.0, 0.0, 0.0, 0.0]))
    assert cache.model(240, 320).D[0] == 0.2
    with pytest.raises(CameraError, match="640"):
        cache.model(480, 640)
    assert cache.model(240, 320).D[0] == 0.2
    nan = camera_info(k=[math.nan] * 9)
    assert cache.put(nan)
    assert not cache.put(nan)
    with pytest.raises(CameraError, match="finite"):
        cache.model(240, 320)


def test_the_dds_profile_is_set_unless_the_user_has_one():
    environment: dict[str, str] = {}
    path = use_large_image_profile(environment)
    assert path.endswith("fastdds_large_images.xml")
    assert environment == dict.fromkeys(VARIABLES, path)
    own = {VARIABLES[0]: "/own.xml"}
    assert use_large_image_profile(own) == "/own.xml"
    assert own == {VARIABLES[0]: "/own.xml"}
