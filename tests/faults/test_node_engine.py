# SPDX-License-Identifier: Apache-2.0
"""A network that raises, runs out of memory or hangs, in the real node: it says so, and answers in bounded time."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from lifecycle_msgs.msg import Transition

from tests.helpers import faulty_node as faults
from tests.helpers import scene
from tests.helpers.node_fixtures import node_arguments
from tests.helpers.ros_client import Client, cells
from tests.helpers.ros_process import NodeProcess

CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
DEACTIVATE, CLEANUP = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP
MODULE = "tests.helpers.faulty_node"
STALL_S = 0.5
ANSWER_S = 6.0
"""The node waits for 4 s at most; the rest is for a busy machine. The network itself never answers."""


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """What hangs comes back when this file is there."""
    return tmp_path_factory.mktemp("release") / "now"


@pytest.fixture(scope="module")
def node(domain, bundle, release, tmp_path_factory):
    log = tmp_path_factory.mktemp("node") / "log"
    arguments = node_arguments(bundle, f"stall_timeout={STALL_S}")
    node = NodeProcess(arguments, log, module=MODULE, OFFROAD_SEG_TEST_RELEASE=str(release))
    try:
        node.wait_for("configured:")
        yield node
    finally:
        node.end(signal.SIGKILL)  # the last test ends it in its own way


@pytest.fixture(scope="module")
def client(node):
    with Client() as client:
        yield client


@pytest.fixture(autouse=True)
def works(client, image):
    """Before each test the node is active and maps, whatever the one before did to it."""
    if client.state() == "unconfigured":
        assert client.change_state(CONFIGURE)
    if client.state() == "inactive":
        assert client.change_state(ACTIVATE)
    client.connect()
    client.clear()
    client.reply(image, scene.CAMERA, "costmap")


def grey(value):
    """One grey in the middle, which is what the engine goes by, below a black sky: not a picture of nothing."""
    image = np.full((scene.HEIGHT, scene.WIDTH, 3), value, np.uint8)
    image[:20] = 0
    return image


def send_until(client, value, condition, again_s=0.05):
    """Frames of one grey in the middle until something holds; their stamps."""
    sent = set()
    client.until(lambda: sent.add(client.send_frame(grey(value), scene.CAMERA)), condition, again_s)
    return sent


def all_unknown(client):
    return bool(client.got["costmap"]) and (cells(client.got["costmap"][-1]) == -1).all()


@pytest.mark.parametrize(
    ("value", "cause", "words"),
    [
        (faults.RAISES, "engine_error", "the run time failed"),
        (faults.BREAKS, "internal_error", "nobody expected this"),
    ],
)
def test_a_network_that_raises_costs_its_frames(client, image, value, cause, words):
    sent, (level, message, _) = client.refused(
        lambda: client.send_frame(grey(value), scene.CAMERA),
        lambda: client.reply(image, scene.CAMERA, "costmap"),
        "inference",
        cause,
        words,
    )
    assert level == 2
    assert words in message
    assert client.answer("labels", sent) is None
    client.wait_status("inference", lambda level, *_: level == 0)


def test_ten_failures_in_a_row_deactivate_the_node(client, node):
    sent = send_until(client, faults.BREAKS, lambda: "deactivating" in node.log.read_text())
    assert client.state() == "inactive"
    assert client.spin_until(lambda: all_unknown(client))
    assert client.answer("labels", sent) is None
    assert "Traceback" in node.log.read_text()  # of what was not expected


def test_when_gpu_memory_runs_out_it_is_freed_and_the_frame_tried_once_more(client, node):
    sent = send_until(client, faults.SHORT_ONCE, lambda: "tried once more" in node.log.read_text())
    assert client.spin_until(lambda: client.answer("labels", sent) is not None)
    client.wait_status(
        "inference", lambda level, _m, v: level == 0 and int(v.get("dropped.gpu_memory", 0)) >= 1
    )


@pytest.mark.parametrize(
    ("value", "figures"), [(faults.SHORT, faults.FIGURES), (faults.TORCH_SHORT, "128 MiB were asked for")]
)
def test_gpu_memory_that_stays_short_is_an_error_with_the_figures(client, value, figures):
    """Through on_error to unconfigured: all is freed. The next test configures it again."""
    since_ns = client.now_ns()

    def told():
        level, message, values = client.status(since_ns).get("node", (0, "", {}))
        return level == 2 and figures in message and values["state"] == "unconfigured"

    sent = send_until(client, value, told, again_s=2.0)
    assert client.answer("labels", sent) is None
    assert client.spin_until(lambda: all_unknown(client))


def hang(client):
    """Let the network hang; returns when the node has said so and the costmap is unknown."""
    assert not all_unknown(client)

    def told():
        level, message, _ = client.status().get("inference", (0, "", {}))
        return level == 2 and "has not answered for" in message

    send_until(client, faults.HANGS, lambda: all_unknown(client) and told())


def test_a_network_that_hangs_is_left_to_itself_until_it_comes_back(client, node, release):
    hang(client)
    started = time.monotonic()
    assert client.change_state(DEACTIVATE, ANSWER_S)
    assert not client.change_state(ACTIVATE, ANSWER_S)
    assert client.change_state(CLEANUP, ANSWER_S)
    assert not client.change_state(CONFIGURE, ANSWER_S)
    assert time.monotonic() - started < ANSWER_S
    client.wait_status("node", lambda level, m, _v: level == 2 and "restart the process" in m)
    release.touch()
    node.wait_for("has come back")
    release.unlink()
    assert client.change_state(CONFIGURE)
    client.wait_status("node", lambda level, *_: level == 0)


def test_sigterm_ends_a_node_whose_network_hangs(client, node):
    hang(client)
    started = time.monotonic()
    node.process.send_signal(signal.SIGTERM)
    assert node.process.wait(ANSWER_S + 4.0) == 1
    assert time.monotonic() - started < ANSWER_S
    assert "the network hangs: the process ends without it" in node.log.read_text()
