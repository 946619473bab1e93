# SPDX-License-Identifier: Apache-2.0
"""Simulated time, compressed images, no odometry, a network that fails: each with a node of its own."""

from __future__ import annotations

import array
import itertools

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage

from offroad_seg.sensor_messages import stamp_ns
from tests.helpers import scene
from tests.helpers.bundles import make_color_bundle
from tests.helpers.ros_client import OPTICAL, RELIABLE, Client, cells, pixels, set_header
from tests.helpers.ros_process import running_node

SECOND = 1_000_000_000


def parameters(**values):
    return [word for name, value in values.items() for word in ("--param", f"{name}={value}")]


def test_simulated_time(domain, bundle, image, tmp_path):
    """Time 0: it waits and says so. Time runs: it works. Time jumps: the past is cleared; back, with one warning."""
    arguments = [
        "--bundle",
        str(bundle.path),
        *scene.mount_parameters(),
        *parameters(use_sim_time="true", tf_timeout=1),
    ]
    with running_node(arguments, tmp_path / "log") as node, Client() as client:
        client.connect()

        def waits():
            level, message, values = client.status().get("camera", (0, "", {}))
            return level == 1 and "/clock" in message and int(values.get("dropped.no_clock", 0)) > 0

        client.until(lambda: client.send_frame(image, scene.CAMERA), waits)
        assert not client.got["labels"]
        clock = client.node.create_publisher(Clock, "/clock", RELIABLE)
        assert client.spin_until(lambda: clock.get_subscription_count() > 0)
        sent = []

        def answered(begin):
            """Frames of that time, of newer and newer stamps, until one maps."""
            stamps = itertools.count(begin, SECOND // 200)

            def send():
                stamp = next(stamps)
                tick = Clock()
                tick.clock.sec, tick.clock.nanosec = divmod(stamp - SECOND // 100, SECOND)
                clock.publish(tick)
                client.spin(0.05)
                client.send_info(scene.CAMERA, stamp)
                client.send_odometry(stamp)
                sent.append(stamp)
                return client.send_image(image, stamp)

            return client.answered(send)

        assert (cells(answered(1000 * SECOND)) >= 0).any()
        assert (cells(answered(1000 * SECOND + SECOND // 2)) >= 0).any()
        client.clear()
        assert (cells(answered(500 * SECOND)) >= 0).any()
        assert (cells(answered(500 * SECOND + SECOND // 2)) >= 0).any()
        # What was known of the old time was declared unknown before anything of the new time came.
        new = [
            500 * SECOND <= stamp_ns(m.header) < 502 * SECOND and (cells(m) >= 0).any()
            for m in client.got["costmap"]
        ]
        assert (cells(client.got["costmap"][new.index(True) - 1]) == -1).all()
        assert new.index(True) > 0
        assert node.log.read_text().count("time ran back") == 1
        # An hour forward: the node goes on, and nothing that was known before is told as if it were new.
        client.clear()
        before = set(sent)
        assert (cells(answered(4100 * SECOND)) >= 0).any()
        told = {stamp_ns(m.header) for m in client.got["costmap"] if (cells(m) >= 0).any()}
        assert {stamp // SECOND for stamp in told - before} == {4100}


def test_compressed_images_and_a_costmap_without_odometry(domain, bundle, image, ontology, tmp_path):
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
        picture = cv2.imencode(".png", image[..., ::-1])[1].tobytes()

        def send(data=picture):
            stamp = client.now_ns()
            message = CompressedImage(format="rgb8; png compressed bgr8", data=array.array("B", data))
            set_header(message, stamp, OPTICAL)
            client.send_info(scene.CAMERA, stamp)
            publisher.publish(message)
            return stamp

        labels = client.answered(send, "labels")
        np.testing.assert_array_equal(pixels(labels), scene.scene_labels(ontology))
        grid = client.answered(send)
        assert grid.header.frame_id == "base_link"
        assert {-1, 5, 100} <= set(np.unique(cells(grid)).tolist())
        for rubbish, words in (
            (b"", "without data"),
            (b"\xff\xd8\xff", "picture"),
            (picture[:40], "picture"),
        ):
            client.refused(
                lambda data=rubbish: send(data),
                lambda: client.answered(send),
                "camera",
                "bad_image",
                words,
                again_s=0.1,
            )
        # stall_action stop: the error is told, but no grid of unknown cells comes.
        client.wait_status("camera", lambda level, m, _v: level == 2 and "no usable image" in m)
        assert client.answered(send)
        assert client.answered(send, "labels")
        assert not [m for m in client.got["costmap"] if (cells(m) == -1).all()]


def test_a_network_that_gives_nan_is_refused_by_configure(domain, ontology, tmp_path):
    broken = make_color_bundle(tmp_path / "nan", ontology, 96, 160, sharpness=float("nan"))
    with running_node(["--bundle", str(broken.path)], tmp_path / "log", ready="configure failed") as node:
        assert "not finite" in node.log.read_text()


def test_a_network_that_breaks_on_some_images(domain, ontology, image, tmp_path):
    """A frame whose logits are not finite is dropped and counted; ten in a row, and the node deactivates itself."""
    broken = make_color_bundle(tmp_path / "nan", ontology, 96, 160, poison=True)
    bad = np.full_like(image, 255)
    bad[:20] = 0  # what is all white shows nothing, and never reaches the network
    arguments = ["--bundle", str(broken.path), *scene.mount_parameters()]
    with running_node(arguments, tmp_path / "log") as node, Client() as client:
        client.connect()
        client.reply(image, scene.CAMERA)
        sent, (level, message, _) = client.refused(
            lambda: client.send_frame(bad, scene.CAMERA),
            lambda: client.reply(image, scene.CAMERA),
            "inference",
            "engine_error",
            "not finite",
        )
        assert level == 2
        assert "not finite" in message
        client.wait_status("inference", lambda level, *_: level == 0)
        client.until(
            lambda: sent.add(client.send_frame(bad, scene.CAMERA)),
            lambda: "deactivating" in node.log.read_text(),
            again_s=0.05,
        )
        assert client.answer("labels", sent) is None
        assert client.state() == "inactive"
        client.wait_status("node", lambda level, m, _v: level == 2 and "not finite" in m)


def test_without_a_mount_or_tf_there_are_labels_but_no_costmap(domain, bundle, image, tmp_path):
    """Never identity: a camera whose place is not known maps nothing."""
    qos = ["-p", "qos_overrides./image.subscription.reliability:=reliable"]
    with (
        running_node(["--bundle", str(bundle.path), "--ros-args", *qos], tmp_path / "log"),
        Client() as client,
    ):
        client.connect()

        def reliabilities():
            infos = client.node.get_subscriptions_info_by_topic("/image")
            return [i.qos_profile.reliability.name for i in infos if i.node_name == "perception"]

        assert client.spin_until(lambda: bool(reliabilities()))
        assert reliabilities() == ["RELIABLE"]
        # The very first frames may be told to have no CameraInfo yet.
        sent, (_, message, _) = client.refused(
            lambda: client.send_frame(image, scene.CAMERA),
            lambda: client.reply(image, scene.CAMERA),
            "costmap",
            "no_transform",
            OPTICAL,
            more=3,
            again_s=0.2,
        )
        assert OPTICAL in message
        assert "camera_mount" in message
        assert client.answer("labels", sent) is not None
        assert not [m for m in client.got["costmap"] if (cells(m) >= 0).any()]


def test_tf_gives_the_mount_and_the_pose(domain, bundle, image, tmp_path):
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

        def send():
            stamp = client.now_ns()
            base = Transform.from_rpy(0, 0, 0, (7.0, 0, 0))
            moving.publish(TFMessage(transforms=[stamped("odom", "base_link", stamp, base)]))
            client.send_info(scene.CAMERA, stamp)
            return client.send_image(image, stamp)

        grid = client.answered(send)
        assert {-1, 5, 100} <= set(np.unique(cells(grid)).tolist())
        assert grid.info.origin.position.x == pytest.approx(7.0 - 10.0, abs=0.1)
