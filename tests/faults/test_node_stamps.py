# SPDX-License-Identifier: Apache-2.0
"""Stamps that are old, of the future, twice the same, out of order or run back; more frames than can be worked on."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from offroad_seg.sensor_messages import stamp_ns
from tests.helpers import scene
from tests.helpers.node_fixtures import node_arguments
from tests.helpers.ros_client import Client
from tests.helpers.ros_process import running_node

MAX_AGE_S = 10.0
MILLISECOND = 1_000_000
pytestmark = pytest.mark.usefixtures("maps")


@pytest.fixture(scope="module")
def node(domain, bundle, tmp_path_factory):
    log = tmp_path_factory.mktemp("node") / "log"
    arguments = node_arguments(bundle, f"max_age={MAX_AGE_S}", "stall_timeout=30")
    with running_node(arguments, log) as node:
        yield node


@pytest.fixture(scope="module")
def client(node):
    with Client() as client:
        client.connect()
        yield client


@pytest.mark.parametrize(("off_s", "cause"), [(-MAX_AGE_S - 2.0, "too_old"), (60.0, "from_future")])
def test_old_and_future_frames_are_dropped_and_counted(client, image, maps, off_s, cause):
    sent, _ = client.refused(
        lambda: client.send_image(image, client.now_ns() + round(off_s * 1e9)),
        maps,
        "camera",
        cause,
        more=3,
        again_s=0.05,
    )
    assert client.answer("labels", sent) is None


def test_a_frame_with_the_same_stamp_is_not_used_twice(client, image, maps):
    stamp = stamp_ns(client.reply(image, scene.CAMERA).header)
    before = client.drops_by_now("camera", "out_of_order")
    client.until(
        lambda: client.send_image(image, stamp), lambda: client.drops("camera", "out_of_order") > before
    )
    maps()
    assert sum(stamp_ns(m.header) == stamp for m in client.got["labels"]) == 1


def test_a_frame_that_comes_after_a_newer_one_is_dropped(client, image, maps):
    """By some milliseconds, as a network gives them out of order: it must not undo what came later."""
    newer = stamp_ns(client.reply(image, scene.CAMERA, "costmap").header)
    earlier = itertools.cycle([5 * MILLISECOND, 10 * MILLISECOND, 15 * MILLISECOND])
    sent, _ = client.refused(
        lambda: client.send_image(image, newer - next(earlier)),
        maps,
        "camera",
        "out_of_order",
        more=3,
        again_s=0.05,
    )
    assert client.answer("labels", sent) is None
    stamps = [stamp_ns(m.header) for m in client.got["costmap"]]
    assert stamps == sorted(stamps)


def test_nothing_queues_the_newest_frame_wins_and_the_others_are_counted(client, image):
    rate_hz = 5.0
    assert client.set_parameter("max_rate", rate_hz).successful
    client.clear()
    before = client.drops_by_now("camera", "replaced")
    sent = []

    def frame():
        sent.append(client.send_image(image))

    def answered():
        return [s for s in (stamp_ns(m.header) for m in client.got["labels"]) if s in sent]

    client.until(frame, lambda: client.drops("camera", "replaced") >= before + 20, again_s=0.02)
    client.until(frame, lambda: len(answered()) >= 3, again_s=0.02)
    took_s = (client.now_ns() - sent[0]) / 1e9
    assert client.set_parameter("max_rate", 0.0).successful
    stamps = answered()
    assert len(stamps) <= rate_hz * took_s + 2
    assert stamps == sorted(stamps)


def test_image_stamps_that_run_back_clear_the_past_with_one_warning(client, node, image):
    assert client.set_parameter("max_age", 0.0).successful
    told_before = node.log.read_text().count("time ran back")

    def maps_at(begin):
        """Frames of that time, of newer and newer stamps, until one maps."""
        stamps = itertools.count(begin, 5 * MILLISECOND)

        def send():
            stamp = next(stamps)
            client.send_info(scene.CAMERA, stamp)
            client.send_odometry(stamp)
            return client.send_image(image, stamp)

        return client.answered(send)

    now = client.now_ns()
    for begin in (now, now - 100_000 * MILLISECOND, now - 99_000 * MILLISECOND):
        assert maps_at(begin)
    assert node.log.read_text().count("time ran back") - told_before == 1
    assert client.set_parameter("max_age", MAX_AGE_S).successful
