# SPDX-License-Identifier: Apache-2.0
"""``attitude: imu``: roll and pitch come from the IMU, or there is no costmap for that frame; never from elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip(
    "tf2_msgs.msg", reason="tf2_msgs is not installed (make test builds it where a C++ compiler is there)"
)

from geometry_msgs.msg import PoseWithCovariance, TransformStamped
from sensor_msgs.msg import Imu
from tf2_msgs.msg import TFMessage

from offroad_seg.sensor_messages import stamp_ns
from offroad_seg.transforms import Transform
from tests.helpers import scene
from tests.helpers.node_fixtures import node_arguments
from tests.helpers.ros_client import LATCHED, RELIABLE, Client, cells, set_header
from tests.helpers.ros_process import running_node

# How the IMU sits in the base frame: on its side, turned to the left.
MOUNT = Transform.from_rpy(math.pi / 2, 0.0, math.radians(80), (0.2, 0.1, 0.4))
DIPS = 0.2


def imu_message(stamp, world_R_base, frame="imu_link", mount=MOUNT, **changes):
    """What an IMU that is mounted so measures; its heading is its own affair."""
    compass = Transform.from_rpy(0.0, 0.0, 1.234)
    message = Imu()
    set_header(message, stamp, frame)
    q = message.orientation
    q.x, q.y, q.z, q.w = (compass @ world_R_base @ mount).quaternion_xyzw().tolist()
    for name, value in changes.items():
        setattr(message, name, value)
    return message


class Vehicle(Client):
    """Each frame lies where no other has been; the odometry says that the vehicle leans, which nobody may heed."""

    def __init__(self, namespace: str = "") -> None:
        super().__init__(namespace=namespace)
        self.imu = self.node.create_publisher(Imu, "imu", RELIABLE)
        self.static = self.node.create_publisher(TFMessage, "/tf_static", LATCHED)
        self.x = 1000.0

    def connect(self) -> None:
        super().connect()
        publishers = (self.imu, self.static)
        assert self.spin_until(lambda: all(p.get_subscription_count() > 0 for p in publishers))

    def mount(self, frame="imu_link"):
        message = TransformStamped(child_frame_id=frame)
        set_header(message, 0, "base_link")
        t, q = message.transform.translation, message.transform.rotation
        t.x, t.y, t.z = MOUNT.translation_3.tolist()
        q.x, q.y, q.z, q.w = MOUNT.quaternion_xyzw().tolist()
        self.static.publish(TFMessage(transforms=[message]))

    def shoot(self, image, *imu_messages, odom_pitch=-0.3):
        """A frame, and what the IMU says; its stamp."""
        stamp = self.now_ns()
        self.x += 50.0
        pose = PoseWithCovariance()
        pose.pose.position.x = self.x
        pose.pose.orientation.y, pose.pose.orientation.w = math.sin(odom_pitch / 2), math.cos(odom_pitch / 2)
        self.send_info(scene.CAMERA, stamp)
        self.send_odometry(stamp, pose=pose)
        self.send_image(image, stamp)
        for make in imu_messages:
            self.imu.publish(make(stamp))
        return stamp

    def nearest_m(self, image, *imu_messages):
        """How far ahead of the base frame the nearest known ground is."""
        places: dict[int, float] = {}

        def send():
            stamp = self.shoot(image, *imu_messages)
            places[stamp] = self.x
            return stamp

        grid = self.answered(send)
        column = np.flatnonzero((cells(grid) >= 0).any(axis=0))[0]
        x = places[stamp_ns(grid.header)]
        return grid.info.origin.position.x + (column + 0.5) * grid.info.resolution - x


def expected_m(pitch):
    """The image's lowest row looks 0.3 rad + atan(59.5 / 120) down; the camera is 0.5 m ahead and 1.5 m up."""
    ahead = 0.5 * math.cos(pitch) + 1.5 * math.sin(pitch)
    up = 1.5 * math.cos(pitch) - 0.5 * math.sin(pitch)
    return ahead + up / math.tan(pitch + 0.3 + math.atan(59.5 / 120))


def leaning(pitch, **changes):
    return lambda stamp: imu_message(stamp, Transform.from_rpy(0.0, pitch, 0.0), **changes)


LEVEL = leaning(0.0)


@pytest.fixture(scope="module")
def client(domain, bundle, tmp_path_factory):
    log = tmp_path_factory.mktemp("node") / "log"
    arguments = node_arguments(bundle, "attitude=imu", "tf_timeout=0.3", "stall_timeout=30", "max_age=10")
    with running_node(arguments, log), Vehicle() as client:
        client.connect()
        client.mount()
        yield client


@pytest.fixture(autouse=True)
def works(request, image):
    """Before each test and after it, a good IMU gives a costmap."""
    if "client" not in request.fixturenames:
        yield
        return
    client = request.getfixturevalue("client")
    client.nearest_m(image, LEVEL)
    yield
    client.nearest_m(image, LEVEL)


def test_the_plane_is_levelled_by_the_imu_and_not_by_the_odometry(client, image):
    assert client.nearest_m(image, LEVEL) == pytest.approx(expected_m(0.0), abs=0.15)
    assert client.nearest_m(image, leaning(DIPS)) == pytest.approx(expected_m(DIPS), abs=0.15)
    assert expected_m(DIPS) < expected_m(0.0) - 0.3


def test_between_two_messages_the_attitude_is_interpolated(client, image):
    step = 10_000_000
    around = (lambda s: leaning(0.0)(s - step), lambda s: leaning(2 * DIPS)(s + step))
    client.spin(0.05)
    assert client.nearest_m(image, *around) == pytest.approx(expected_m(DIPS), abs=0.15)


def test_an_imu_in_the_base_frame_needs_no_tf(client, image):
    level = leaning(DIPS, frame="base_link", mount=Transform.identity())
    assert client.nearest_m(image, level) == pytest.approx(expected_m(DIPS), abs=0.15)


def _orientation(x=0.0, y=0.0, z=0.0, w=1.0):
    q = Imu().orientation
    q.x, q.y, q.z, q.w = x, y, z, w
    return q


BAD = {
    "without an orientation": (
        leaning(0.0, orientation_covariance=[-1.0] + [0.0] * 8),
        "bad_transform",
        "orientation_covariance[0] is -1",
    ),
    "NaN": (leaning(0.0, orientation=_orientation(x=math.nan)), "bad_transform", "IMU"),
    "all zero": (leaning(0.0, orientation=_orientation(w=0.0)), "bad_transform", "IMU"),
    "no unit quaternion": (leaning(0.0, orientation=_orientation(w=2.0)), "bad_transform", "norm 2"),
    "without a frame": (leaning(0.0, frame=""), "bad_transform", "frame_id"),
    "of a frame that tf does not know": (leaning(0.0, frame="elsewhere"), "no_transform", "elsewhere"),
    "absent": (None, "no_transform", "no attitude from the IMU"),
    "old": (lambda s: LEVEL(s - 40_000_000), "no_transform", "no attitude from the IMU"),
}


@pytest.mark.parametrize("fault", BAD)
def test_without_a_usable_imu_labels_go_on_and_there_is_no_costmap(client, image, fault):
    message, cause, words = BAD[fault]

    def send():
        client.spin(0.1)  # the good attitude before is too old for this image
        return client.shoot(image, *([message] if message else []))

    sent, _ = client.refused(send, lambda: client.nearest_m(image, LEVEL), "costmap", cause, words)
    assert client.answer("labels", sent) is not None


def test_an_imu_of_the_future_is_not_taken_for_one_of_now(client, image):
    def send():
        another = imu_message(client.now_ns(), Transform.identity(), frame="base_link")
        client.imu.publish(another)  # what the one of before said is forgotten
        client.spin(0.1)
        return client.shoot(image, lambda s: LEVEL(s + 100_000_000))

    def maps_again():
        client.spin(0.2)  # until that time has come
        client.nearest_m(image, LEVEL)

    sent, _ = client.refused(send, maps_again, "costmap", "no_transform", "no attitude from the IMU")
    assert client.answer("labels", sent) is not None


def test_an_imu_that_comes_a_little_late_is_waited_for(client, image):
    def send():
        stamp = client.shoot(image)
        client.spin(0.1)
        assert client.answer("costmap", {stamp}) is None
        client.imu.publish(LEVEL(stamp))
        return stamp

    assert client.answered(send)


def test_an_imu_that_stops_makes_the_costmap_unknown_and_one_that_returns_brings_it_back(
    domain,
    bundle,
    image,
    tmp_path,
):
    """And with the costmap in the base frame the IMU alone levels the plane: no odometry is there."""
    arguments = node_arguments(bundle, "attitude=imu", "costmap_frame=base_link", "stall_timeout=0.6")
    with running_node([*arguments, "--namespace", "other"], tmp_path / "log"), Vehicle("other") as client:
        client.connect()
        client.mount()

        def frame(make=None):
            stamp = client.now_ns()
            client.send_info(scene.CAMERA, stamp)
            client.send_image(image, stamp)
            if make:
                client.imu.publish(make(stamp))

        def nearest():
            known = (cells(client.got["costmap"][-1]) >= 0).any(axis=0) if client.got["costmap"] else []
            return -10.0 + 0.1 * (np.flatnonzero(known)[0] + 0.5) if np.any(known) else math.nan

        def until(condition, make=None):
            client.until(lambda: frame(make), condition, again_s=0.1)

        until(lambda: abs(nearest() - expected_m(DIPS)) < 0.15, leaning(DIPS))
        until(lambda: math.isnan(nearest()))  # images go on
        assert client.got["labels"]
        until(lambda: abs(nearest() - expected_m(0.0)) < 0.15, LEVEL)
