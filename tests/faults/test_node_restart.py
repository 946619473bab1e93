# SPDX-License-Identifier: Apache-2.0
"""The process is killed and started again; a subscriber is slow; images are huge: what the planner sees."""

from __future__ import annotations

import array
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy
from sensor_msgs.msg import Image

from offroad_seg.sensor_messages import stamp_ns
from tests.helpers import scene
from tests.helpers.node_fixtures import node_arguments
from tests.helpers.ros_client import OPTICAL, RELIABLE, Client, cells, set_header
from tests.helpers.ros_process import PATIENCE_S, NodeProcess, running_node


@pytest.fixture(scope="module")
def arguments(bundle):
    # So that nothing but the start itself takes back what was said before.
    return node_arguments(bundle, "max_age=10", "stall_timeout=60")


@pytest.fixture(scope="module")
def planner(domain):
    """It holds the newest costmap, whoever published it, as Nav2's static layer does."""
    with Client() as client:
        yield client


@pytest.fixture(scope="module")
def second(planner, arguments, ontology, tmp_path_factory):
    """A node that takes over from one that was killed while it mapped."""
    folder = tmp_path_factory.mktemp("restart")
    first = NodeProcess(arguments, folder / "first")
    try:
        first.wait_for("configured:")
        planner.connect()
        planner.reply(scene.scene_image(ontology), scene.CAMERA, "costmap")
        first.process.kill()
        first.process.wait(PATIENCE_S)
        planner.spin(0.5)
        # Nobody is there to take it back: a consumer that must know asks how old it is.
        assert (cells(planner.got["costmap"][-1]) >= 0).any()
        with Client(listen=()) as late:
            late.spin(1.0)
            assert not late.got["costmap"]  # what the dead node had latched died with it
    finally:
        first.end(signal.SIGKILL)
    planner.clear()
    with running_node(arguments, folder / "second") as node:
        yield node


def test_a_node_that_takes_over_first_takes_back_what_the_dead_one_said(second, planner):
    assert planner.spin_until(lambda: bool(planner.got["costmap"]))
    assert (cells(planner.got["costmap"][0]) == -1).all()
    assert len(planner.got["costmap"]) == 1


def test_without_a_calibration_there_are_labels_but_no_costmap(second, planner, image):
    """The node that took over has heard none yet."""
    planner.connect()

    def send():
        stamp = planner.now_ns()
        planner.send_odometry(stamp)
        return planner.send_image(image, stamp)

    def labelled():
        planner.answered(send, "labels")

    sent, (_, message, _) = planner.refused(
        send, labelled, "costmap", "bad_camera_info", "no CameraInfo yet", again_s=0.2
    )
    assert "no CameraInfo yet" in message
    assert planner.answer("labels", sent) is not None
    assert not [m for m in planner.got["costmap"] if (cells(m) >= 0).any()]


def test_a_slow_subscriber_slows_nobody_down(second, planner, image):
    """A reliable subscriber that never takes anything: the node drops what it cannot hold, and grows not."""

    def resident_mib():
        status = Path(f"/proc/{second.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    context = rclpy.Context()
    rclpy.init(context=context)
    sleeper = rclpy.create_node("sleeper", context=context)
    for topic in ("labels", "overlay", "confidence"):
        sleeper.create_subscription(Image, topic, lambda _m: None, RELIABLE)  # and no executor
    try:
        big = np.repeat(np.repeat(image, 4, axis=0), 4, axis=1)
        planner.clear()
        sent, before = [], 0.0
        for i in range(60):
            if i == 20:
                before = resident_mib()
            sent.append(planner.send_image(big))
            planner.spin_until(lambda s=sent[-1]: planner.answer("labels", {s}) is not None, 5.0)
        answered = {stamp_ns(m.header) for m in planner.got["labels"]}
        assert len(answered & set(sent)) >= 54
        assert resident_mib() - before < 40.0
    finally:
        sleeper.destroy_node()
        rclpy.try_shutdown(context=context)


def test_an_8k_image_is_labelled_like_any_other(second, planner, image):
    height, width = 4320, 7680
    camera = scene.CAMERA.scaled(height, width)
    message = Image(height=height, width=width, encoding="mono8", step=width)
    grey = cv2.resize(
        cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (width, height), interpolation=cv2.INTER_NEAREST
    )
    message.data = array.array("B", grey.tobytes())
    planner.clear()

    def send():
        stamp = planner.now_ns()
        set_header(message, stamp, OPTICAL)
        planner.send_info(camera, stamp)
        planner.send_odometry(stamp)
        planner.image.publish(message)
        return stamp

    labels = planner.answers(send, "labels", "costmap", again_s=8.0)["labels"]
    assert (labels.width, labels.height) == (width, height)
    planner.clear()


def test_sigterm_takes_the_costmap_back_before_the_process_ends(second, planner, image):
    planner.clear()
    assert (cells(planner.reply(image, scene.CAMERA, "costmap")) >= 0).any()
    second.process.send_signal(signal.SIGTERM)
    assert second.process.wait(PATIENCE_S) == 0
    assert planner.spin_until(lambda: (cells(planner.got["costmap"][-1]) == -1).all())
