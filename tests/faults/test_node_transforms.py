# SPDX-License-Identifier: Apache-2.0
"""/tf that is absent, late, broken or of another time: no costmap for that frame, and the reason names the frames."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip(
    "tf2_msgs.msg", reason="tf2_msgs is not installed (make test builds it where a C++ compiler is there)"
)

from geometry_msgs.msg import TransformStamped
from tf2_msgs.msg import TFMessage

from offroad_seg.transforms import Transform, camera_mount
from tests.helpers import scene
from tests.helpers.node_fixtures import node_arguments
from tests.helpers.ros_client import LATCHED, RELIABLE, Client, cells, image_message, set_header
from tests.helpers.ros_process import running_node

MOUNT = camera_mount(*scene.MOUNT.values())
LEVEL = Transform.from_rpy(0, 0, 0, (0.0, 0.0, 0.0))


def stamped(parent, child, stamp, transform):
    message = TransformStamped(child_frame_id=child)
    set_header(message, stamp, parent)
    t, q = message.transform.translation, message.transform.rotation
    t.x, t.y, t.z = transform.translation_3.tolist()
    q.x, q.y, q.z, q.w = transform.quaternion_xyzw().tolist()
    return TFMessage(transforms=[message])


class Vehicle(Client):
    """Poses come by /tf; each test has a camera of its own name."""

    def __init__(self) -> None:
        super().__init__()
        self.static = self.node.create_publisher(TFMessage, "/tf_static", LATCHED)
        self.moving = self.node.create_publisher(TFMessage, "/tf", RELIABLE)

    def connect(self) -> None:
        super().connect()
        publishers = (self.static, self.moving)
        assert self.spin_until(lambda: all(p.get_subscription_count() > 0 for p in publishers))

    def shoot(self, image, frame):
        """One image of a camera, with the vehicle's pose; its stamp."""
        stamp = self.now_ns()
        info = {"header": image_message(image, stamp).header}
        info["header"].frame_id = frame
        self.send_info(scene.CAMERA, stamp, **info)
        self.moving.publish(stamped("odom", "base_link", stamp, LEVEL))
        self.send_image(image, stamp, **info)
        return stamp

    def maps(self, image, frame="good"):
        """Send images of this camera until one gives a costmap; whether that knows something."""
        return (cells(self.answered(lambda: self.shoot(image, frame))) >= 0).any()


@pytest.fixture(scope="module")
def client(domain, bundle, tmp_path_factory):
    log = tmp_path_factory.mktemp("node") / "log"
    arguments = node_arguments(bundle, "tf_timeout=0.3", "stall_timeout=30", "max_age=10", mounted=False)
    with running_node(arguments, log), Vehicle() as client:
        client.connect()
        client.static.publish(stamped("base_link", "good", 0, MOUNT))
        yield client


@pytest.fixture(autouse=True)
def works(client, image):
    """Before each test and after it, the camera that is known maps."""
    assert client.maps(image, "good")
    yield
    assert client.maps(image, "good")


def refused(client, image, frame, words=""):
    """Images of this camera give labels but no costmap; what diagnostics say, with these words."""
    sent, (_, message, _) = client.refused(
        lambda: client.shoot(image, frame), lambda: client.maps(image), "costmap", "no_transform", words
    )
    assert client.answer("labels", sent) is not None
    return message


def test_a_camera_that_tf_does_not_know_maps_nothing(client, image):
    assert "nowhere" in refused(client, image, "nowhere", "nowhere")


def test_a_broken_chain_is_no_transform(client, image):
    client.static.publish(stamped("mast", "on_the_mast", 0, MOUNT))  # and nobody says where the mast is
    message = refused(client, image, "on_the_mast", "on_the_mast")
    assert "base_link" in message
    client.static.publish(stamped("base_link", "mast", 0, LEVEL))
    assert client.maps(image, "on_the_mast")


def test_a_transform_of_the_future_is_not_taken_for_one_of_now(client, image):
    client.moving.publish(stamped("base_link", "early", client.now_ns() + 5_000_000_000, MOUNT))
    # Of a frame that tf does not know it would say that it is not connected.
    assert "early" in refused(client, image, "early", "no transform from 'early' to 'base_link' at ")


def test_a_transform_of_the_past_is_not_taken_for_one_of_now(client, image):
    client.moving.publish(stamped("base_link", "stale", client.now_ns() - 1_000_000_000, MOUNT))
    assert "stale" in refused(client, image, "stale", "no transform from 'stale' to 'base_link' at ")


def test_a_transform_that_comes_a_little_late_is_waited_for(client, image):
    frames = (f"late_{number}" for number in itertools.count())

    def send():
        frame = next(frames)
        stamp = client.shoot(image, frame)
        client.spin_until(lambda: client.answer("labels", {stamp}) is not None, 2.0)
        assert client.answer("costmap", {stamp}) is None
        client.static.publish(stamped("base_link", frame, 0, MOUNT))
        return stamp

    assert client.answered(send)


def test_a_transform_that_is_not_finite_is_refused(client, image):
    before = client.drops_by_now("costmap", "bad_transform")
    message = stamped("base_link", "mad", 0, MOUNT)
    message.transforms[0].transform.rotation.w = math.nan
    client.static.publish(message)
    client.wait_status("costmap", lambda _lv, _m, v: int(v.get("dropped.bad_transform", 0)) > before)
    assert "mad" in refused(client, image, "mad", "mad")


def test_the_plane_is_levelled_by_the_attitude_in_tf(client, image):
    """A vehicle that dips its nose sees nearer ground, and does not take it for ground farther away."""

    def nearest_m(pitch, x):
        def send():
            stamp = client.now_ns()
            info = {"header": image_message(image, stamp).header}
            info["header"].frame_id = "good"
            client.send_info(scene.CAMERA, stamp, **info)
            base = Transform.from_rpy(0.0, pitch, 0.0, (x, 0.0, 0.0))
            client.moving.publish(stamped("odom", "base_link", stamp, base))
            return client.send_image(image, stamp, **info)

        grid = client.answered(send)
        column = np.flatnonzero((cells(grid) >= 0).any(axis=0))[0]
        return grid.info.origin.position.x + (column + 0.5) * grid.info.resolution - x

    assert nearest_m(0.0, 600.0) == pytest.approx(2.08, abs=0.15)
    assert nearest_m(0.2, 700.0) == pytest.approx(1.75, abs=0.15)
