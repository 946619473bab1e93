# SPDX-License-Identifier: Apache-2.0
"""Images, calibrations and odometry that cannot be used: the node lives, says why, and never calls anything free."""

from __future__ import annotations

import array
import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from geometry_msgs.msg import PoseWithCovariance
from sensor_msgs.msg import CameraInfo

from offroad_seg.camera import CameraModel
from tests.helpers import scene
from tests.helpers.node_fixtures import node_arguments
from tests.helpers.ros_client import Client, cells, set_header
from tests.helpers.ros_process import running_node

pytestmark = pytest.mark.usefixtures("maps")


@pytest.fixture(scope="module")
def client(domain, bundle, tmp_path_factory):
    log = tmp_path_factory.mktemp("node") / "log"
    # Neither is the subject here, however slow the machine.
    arguments = node_arguments(bundle, "max_age=10", "stall_timeout=30")
    with running_node(arguments, log), Client() as client:
        client.connect()
        yield client


BAD_IMAGES = {
    "step too small": {"step": scene.WIDTH * 3 - 1},
    "step does not fit the data": {"step": scene.WIDTH * 3 + 1},
    "short data": {"data": array.array("B", bytes(scene.WIDTH * 3 * scene.HEIGHT - 1))},
    "no data": {"data": array.array("B")},
    "no rows": {"height": 0},
    "no columns": {"width": 0},
    "huge": {"height": 2**31, "width": 2**31, "step": 2**31},
    "unknown encoding": {"encoding": "32FC1"},
    "made-up encoding": {"encoding": "ultraviolet"},
}


@pytest.mark.parametrize("fault", BAD_IMAGES)
def test_bad_images_are_dropped_counted_and_explained(client, image, maps, fault):
    sent, (_, message, values) = client.refused(
        lambda: client.send_image(image, **BAD_IMAGES[fault]),
        maps,
        "camera",
        "bad_image",
        more=3,
        again_s=0.05,
    )
    assert values["dropped.bad_image.reason"] in message
    assert client.answer("labels", sent) is None


def nan_k():
    k = scene.CAMERA.K_33.ravel()
    k[0] = math.nan
    return k


BAD_CALIBRATIONS = {
    "NaN in K": ({"k": nan_k()}, "finite"),
    "zero focal length": ({"k": np.zeros(9)}, "focal length"),
    "infinite distortion": ({"d": [0.0, math.inf, 0.0, 0.0]}, "finite"),
    "unknown model": ({"distortion_model": "mei"}, "mei"),
    "other size": ({"width": scene.WIDTH * 2}, "400"),
}


def no_costmap_with(client, image, send_info, reason):
    """With the calibration that ``send_info(stamp)`` sends there are labels, the reason is told, and no costmap."""

    def send(*, with_info=False):
        stamp = client.now_ns()
        if with_info:
            send_info(stamp)
        client.send_odometry(stamp)
        return client.send_image(image, stamp)

    def told():
        level, message, _ = client.status().get("costmap", (0, "", {}))
        return level >= 1 and reason in message

    # Its own way is another than the images': it counts from when the node says so.
    client.until(lambda: send(with_info=True), told)
    before = client.drops_by_now("costmap", "bad_camera_info")
    sent = set()
    client.until(
        lambda: sent.add(send()),
        lambda: (
            client.drops("costmap", "bad_camera_info") >= before + 3
            and client.answer("labels", sent) is not None
        ),
    )
    assert client.answer("costmap", sent) is None
    assert told()


@pytest.mark.parametrize("fault", BAD_CALIBRATIONS)
def test_bad_calibration_stops_the_costmap_but_not_the_labels(client, image, fault):
    changes, reason = BAD_CALIBRATIONS[fault]
    no_costmap_with(client, image, lambda stamp: client.send_info(scene.CAMERA, stamp, **changes), reason)


def test_calibration_without_a_frame_stops_the_costmap(client, image):
    def send_nameless_info(stamp):
        message = CameraInfo(width=scene.WIDTH, height=scene.HEIGHT, distortion_model="plumb_bob")
        message.k = scene.CAMERA.K_33.ravel()
        set_header(message, stamp, "")
        client.info.publish(message)

    no_costmap_with(client, image, send_nameless_info, "frame_id")


def test_a_calibration_that_changes_counts_from_the_next_frame_on(client, image):
    """A wider lens sees cells beside the vehicle that the other cannot."""
    place = iter(range(300, 3000, 100))  # where no other frame has been

    def width_at_4_m(camera):
        x = float(next(place))
        client.send_info(camera)
        client.state()  # when the node has answered this, it has the calibration
        for _ in range(20):
            grid = client.reply(image, camera, "costmap", x)
            column = int((x + 4.0 - grid.info.origin.position.x) / grid.info.resolution)
            count = int((cells(grid)[:, column] >= 0).sum())
            if count:
                return count
        raise AssertionError(client.status())

    narrow = width_at_4_m(scene.CAMERA)
    wide = width_at_4_m(CameraModel.pinhole(scene.WIDTH, scene.HEIGHT, 80.0))
    assert wide > 1.3 * narrow
    assert width_at_4_m(scene.CAMERA) == pytest.approx(narrow, abs=2)


def test_without_odometry_at_the_stamp_there_is_no_costmap(client, image, maps):
    sent, (_, message, _) = client.refused(
        lambda: client.send_image(image), maps, "costmap", "no_transform", "odom", more=3, again_s=1.0
    )
    assert "base_link" in message
    assert client.answer("labels", sent) is not None


@pytest.mark.parametrize("fault", ["NaN", "no unit quaternion", "no frame"])
def test_bad_odometry_is_refused(client, image, maps, fault):
    changes = {"child_frame_id": ""} if fault == "no frame" else {}
    pose = PoseWithCovariance()
    pose.pose.orientation.w = 0.5 if fault == "no unit quaternion" else 1.0
    pose.pose.position.x = math.nan if fault == "NaN" else 0.0

    def send():
        stamp = client.now_ns()
        client.send_odometry(stamp, pose=pose, **changes)
        client.send_info(scene.CAMERA, stamp)
        return client.send_image(image, stamp)

    client.refused(send, maps, "costmap", "bad_transform")
