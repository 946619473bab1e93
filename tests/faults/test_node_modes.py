# SPDX-License-Identifier: Apache-2.0
"""Simulated time, compressed images, no odometry, a network that fails: each with a node of its own."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage

from offroad_seg.sensor_messages import stamp_ns
from tests.helpers import scene
from tests.helpers.bundles import make_color_bundle
from tests.helpers.node_fixtures import bundle, domain, ontology  # noqa: F401
from tests.helpers.ros_client import OPTICAL, RELIABLE, Client, cells, pixels, set_header
from tests.helpers.ros_process import running_node

SECOND = 1_000_000_000


@pytest.fixture
def image(ontology):  # noqa: F811
    return scene.scene_image(ontology)


def parameters(**values):
    return [word for name, value in values.items() for word in ("--param", f"{name}={value}")]


def test_simulated_time(domain, bundle, image, tmp_path):  # noqa: F811
    """Time 0: it waits and says so. Time runs: it works. Time jumps: the past is cleared; back, with one warning."""
    arguments = ["--bundle", str(bundle.path), *scene.mount_parameters(), *parameters(use_sim_time="true")]
    with running_node(arguments, tmp_path / "log") as node, Client() as client:
        client.connect()
        client.send_frame(image, scene.CAMERA)
        client.wait_status("camera", lambda level, m, _v: level == 1 and "/clock" in m)
        assert not client.got["labels"]
        clock = client.node.create_publisher(Clock, "/clock", RELIABLE)
        assert client.spin_until(lambda: clock.get_subscription_count() > 0)

        def answered(stamp):
            for _ in range(20):
                tick = Clock()
                tick.clock.sec, tick.clock.nanosec = divmod(stamp - SECOND // 100, SECOND)
                clock.publish(tick)
                client.spin(0.05)
                client.send_info(scene.CAMERA, stamp)
                client.send_odometry(stamp)
                client.send_image(image, stamp)
                if client.spin_until(lambda: client.answer("costmap", {stamp}) is not None, 0.3):
                    return client.answer("costmap", {stamp})
            raise AssertionError(client.status())

        assert (cells(answered(1000 * SECOND)) >= 0).any()
        assert (cells(answered(1000 * SECOND + SECOND // 10)) >= 0).any()
        client.clear()
        assert (cells(answered(500 * SECOND)) >= 0).any()
        assert (cells(answered(500 * SECOND + SECOND // 10)) >= 0).any()
        # What was known of the old time was declared unknown before anything of the new time came.
        assert (cells(client.got["costmap"][0]) == -1).all()
        assert node.log.read_text().count("time ran back") == 1
        # An hour forward: the node goes on, and nothing that was known before is told as if it were new.
        client.clear()
        assert (cells(answered(4100 * SECOND)) >= 0).any()
        told = [m for m in client.got["costmap"] if (cells(m) >= 0).any()]
        assert {m.header.stamp.sec for m in told} == {4100}


def test_compressed_images_and_a_costmap_without_odometry(domain, bundle, image, ontology, tmp_path):  # noqa: F811
    options = parameters(
        image_transport="compressed", costmap_frame="base_link", stall_timeout=0.5, stall_action="stop"
    )
    arguments = [
        "--bundle",
        str(bundle.path),
        *scene.mount_parameters(),
        *options,
        "--remap",
        "image:=front/image",
    ]
    with running_node(arguments, tmp_path / "log"), Client() as client:
        publisher = client.node.create_publisher(CompressedImage, "front/image/compressed", RELIABLE)
        assert client.spin_until(lambda: publisher.get_subscription_count() > 0)
        _, data = cv2.imencode(".png", image[..., ::-1])

        def send(data):
            stamp = client.now_ns()
            message = CompressedImage(format="rgb8; png compressed bgr8", data=array.array("B", data))
            set_header(message, stamp, OPTICAL)
            client.send_info(scene.CAMERA, stamp)
            publisher.publish(message)
            client.spin_until(lambda: client.answer("costmap", {stamp}) is not None, 0.4)
            return stamp

        sent = {send(data.tobytes()) for _ in range(5)}
        np.testing.assert_array_equal(pixels(client.answer("labels", sent)), scene.scene_labels(ontology))
        grid = client.answer("costmap", sent)
        assert grid.header.frame_id == "base_link"
        assert {-1, 5, 100} <= set(np.unique(cells(grid)).tolist())
        for rubbish in (b"", b"\xff\xd8\xff", data.tobytes()[:40]):
            client.clear()
            send(rubbish)
            client.wait_status("camera", lambda _lv, m, _v: "picture" in m or "without data" in m)
        # stall_action stop: the error is told, but no grid of unknown cells comes.
        client.clear()
        client.wait_status("camera", lambda level, *_: level == 2)
        assert not client.got["costmap"]
        assert send(data.tobytes()) in {stamp_ns(m.header) for m in client.got["labels"]}


def test_a_network_that_gives_nan_is_refused_by_configure(domain, ontology, tmp_path):  # noqa: F811
    broken = make_color_bundle(tmp_path / "nan", ontology, 96, 160, sharpness=float("nan"))
    with running_node(["--bundle", str(broken.path)], tmp_path / "log", ready="configure failed") as node:
        assert "not finite" in node.log.read_text()


def test_a_network_that_breaks_on_some_images(domain, ontology, image, tmp_path):  # noqa: F811
    """A frame whose logits are not finite is dropped and counted; ten in a row, and the node deactivates itself."""
    broken = make_color_bundle(tmp_path / "nan", ontology, 96, 160, poison=True)
    bad = np.full_like(image, 255)
    arguments = ["--bundle", str(broken.path), *scene.mount_parameters()]
    with running_node(arguments, tmp_path / "log") as node, Client() as client:
        client.connect()
        client.reply(image, scene.CAMERA)
        sent = set()
        for _ in range(3):
            sent.add(client.send_frame(bad, scene.CAMERA))
            client.spin(0.05)
        _, message, values = client.wait_status("inference", lambda level, *_: level == 2)
        assert "not finite" in message
        assert int(values["dropped.engine_error"]) >= 1
        client.reply(image, scene.CAMERA)
        client.wait_status("inference", lambda level, *_: level == 0)
        for _ in range(100):
            sent.add(client.send_frame(bad, scene.CAMERA))
            client.spin(0.05)
            if "deactivating" in node.log.read_text():
                break
        assert client.answer("labels", sent) is None
        assert client.state() == "inactive"
        _, message, _ = client.wait_status("node", lambda level, *_: level == 2)
        assert "not finite" in message


def test_without_a_mount_or_tf_there_are_labels_but_no_costmap(domain, bundle, image, tmp_path):  # noqa: F811
    """Never identity: a camera whose place is not known maps nothing."""
    qos = ["-p", "qos_overrides./image.subscription.reliability:=reliable"]
    with (
        running_node(["--bundle", str(bundle.path), "--ros-args", *qos], tmp_path / "log"),
        Client() as client,
    ):
        client.connect()
        client.reply(image, scene.CAMERA)

        def reliabilities():
            infos = client.node.get_subscriptions_info_by_topic("/image")
            return [i.qos_profile.reliability.name for i in infos if i.node_name == "perception"]

        assert client.spin_until(lambda: bool(reliabilities()))
        assert reliabilities() == ["RELIABLE"]
        _, message, _ = client.wait_status("costmap", lambda level, *_: level >= 1)
        assert OPTICAL in message
        assert "camera_mount" in message
        assert not [m for m in client.got["costmap"] if (cells(m) >= 0).any()]


def test_tf_gives_the_mount_and_the_pose(domain, bundle, image, tmp_path):  # noqa: F811
    TFMessage = pytest.importorskip(
        "tf2_msgs.msg", reason="tf2_msgs is not installed (make test builds it where a C++ compiler is there)"
    ).TFMessage
    from geometry_msgs.msg import TransformStamped

    from offroad_seg.transforms import Transform, camera_mount
    from tests.helpers.ros_client import LATCHED

    def stamped(parent, child, stamp, transform):
        message = TransformStamped(child_frame_id=child)
        set_header(message, stamp, parent)
        t, q = message.transform.translation, message.transform.rotation
        t.x, t.y, t.z = transform.translation_3.tolist()
        q.x, q.y, q.z, q.w = transform.quaternion_xyzw().tolist()
        return message

    mount = camera_mount(*scene.MOUNT.values())
    with running_node(["--bundle", str(bundle.path)], tmp_path / "log"), Client() as client:
        client.connect()
        static = client.node.create_publisher(TFMessage, "/tf_static", LATCHED)
        moving = client.node.create_publisher(TFMessage, "/tf", RELIABLE)
        assert client.spin_until(
            lambda: static.get_subscription_count() * moving.get_subscription_count() > 0
        )
        static.publish(TFMessage(transforms=[stamped("base_link", OPTICAL, 0, mount)]))
        sent = set()
        for _ in range(20):
            stamp = client.now_ns()
            base = Transform.from_rpy(0, 0, 0, (7.0, 0, 0))
            moving.publish(TFMessage(transforms=[stamped("odom", "base_link", stamp, base)]))
            client.send_info(scene.CAMERA, stamp)
            sent.add(client.send_image(image, stamp))
            if client.spin_until(lambda: client.answer("costmap", sent) is not None, 0.3):
                break
        grid = client.answer("costmap", sent)
        assert {-1, 5, 100} <= set(np.unique(cells(grid)).tolist())
        assert grid.info.origin.position.x == pytest.approx(7.0 - 10.0, abs=0.1)
