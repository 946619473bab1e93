# SPDX-License-Identifier: Apache-2.0
"""A camera that stops, sends rubbish, or gives nothing to the costmap: what was known does not stay free for ever."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from offroad_seg.sensor_messages import stamp_ns
from tests.helpers import scene
from tests.helpers.node_fixtures import node_arguments
from tests.helpers.ros_client import Client, cells
from tests.helpers.ros_process import running_node

STALL_S = 0.6
pytestmark = pytest.mark.usefixtures("maps")


@pytest.fixture(scope="module")
def client(domain, bundle, tmp_path_factory):
    log = tmp_path_factory.mktemp("node") / "log"
    arguments = node_arguments(bundle, "max_age=10", f"stall_timeout={STALL_S}")
    with running_node(arguments, log), Client() as client:
        client.connect()
        yield client


def is_unknown(grid):
    return (cells(grid) == -1).all()


def test_a_stalled_camera_makes_everything_unknown_once(client, image):
    client.wait_status("camera", lambda level, m, _v: level == 2 and "no usable image" in m)
    assert client.spin_until(lambda: is_unknown(client.got["costmap"][-1]))
    newest = max(stamp_ns(m.header) for m in client.got["costmap"] if not is_unknown(m))
    unknown = client.got["costmap"][-1]
    assert stamp_ns(unknown.header) > newest  # a new statement, not old data stamped anew
    count = len(client.got["costmap"])
    client.spin(2 * STALL_S)
    client.wait_status("camera", lambda level, *_: level == 2)  # the node has lived on all the while
    assert len(client.got["costmap"]) == count
    assert sum(stamp_ns(m.header) > newest for m in client.got["costmap"]) == 1
    with Client(listen=()) as late:  # who comes later learns the same
        assert late.spin_until(lambda: bool(late.got["costmap"]))
        assert is_unknown(late.got["costmap"][-1])
    client.clear()
    client.until(
        lambda: client.send_frame(image, scene.CAMERA),
        lambda: bool(client.status()) and client.status()["camera"][0] == client.status()["costmap"][0] == 0,
        again_s=0.1,
    )
    assert not is_unknown(client.reply(image, scene.CAMERA, "costmap"))


def test_a_camera_that_sends_only_rubbish_is_dead_too(client, image):
    def dead():
        level, message, _ = client.status().get("camera", (0, "", {}))
        return is_unknown(client.got["costmap"][-1]) and level == 2 and "ultraviolet" in message

    client.until(lambda: client.send_image(image, encoding="ultraviolet"), dead, again_s=0.05)


def test_a_camera_that_is_nowhere_makes_everything_unknown(client, image):
    """Images go on, but no odometry comes."""
    client.clear()
    sent = set()

    def unknown():
        grids = client.got["costmap"]
        return bool(grids) and is_unknown(grids[-1]) and client.answer("labels", sent) is not None

    client.until(lambda: sent.add(client.send_image(image)), unknown, again_s=0.12)
    client.wait_status("costmap", lambda level, m, _v: level >= 1 and "odom" in m and "base_link" in m)
    assert client.answer("costmap", sent) is None


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_covered_lens_is_a_dead_camera_until_it_is_clear_again(client, image, grey):
    """Frames go on, with calibration and odometry, and the network would label them."""
    noise = np.random.default_rng(grey).normal(grey, 10, image.shape)
    covered = np.clip(noise, 0, 255).astype(np.uint8)

    def dead():
        level, message, values = client.status().get("camera", (0, "", {}))
        told = level == 2 and "no usable image" in message and "the picture shows nothing" in message
        return is_unknown(client.got["costmap"][-1]) and told and int(values.get("dropped.blind", 0)) > 0

    client.until(lambda: client.send_frame(covered, scene.CAMERA), dead, again_s=0.05)
    # Before the first look at the covered lens some were labelled; no later one is.
    client.clear()
    late: set[int] = set()
    client.until(
        lambda: late.add(client.send_frame(covered, scene.CAMERA)), lambda: len(late) > 20, again_s=0.05
    )
    client.wait_status("camera", lambda level, m, _v: level == 2 and "no usable image" in m)
    assert client.answer("labels", late) is None
    assert client.answer("costmap", late) is None
    assert all(is_unknown(grid) for grid in client.got["costmap"])
    client.until(
        lambda: client.send_frame(image, scene.CAMERA),
        lambda: bool(client.status()) and client.status()["camera"][0] == client.status()["costmap"][0] == 0,
        again_s=0.1,
    )
    assert not is_unknown(client.reply(image, scene.CAMERA, "costmap"))
