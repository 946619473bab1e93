# SPDX-License-Identifier: Apache-2.0
"""Lifecycle, parameters and clean ends of the real node."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from lifecycle_msgs.msg import Transition

from offroad_seg.sensor_messages import stamp_ns
from tests.helpers import scene
from tests.helpers.bundles import edit_manifest
from tests.helpers.ros_client import Client, cells
from tests.helpers.ros_process import PATIENCE_S, NodeProcess, running_node

CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
DEACTIVATE, CLEANUP = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP
UP_AND_DOWN = (CONFIGURE, ACTIVATE, DEACTIVATE, CLEANUP)


@pytest.fixture(scope="module")
def node(domain, bundle, tmp_path_factory):
    log = tmp_path_factory.mktemp("node") / "log"
    arguments = ["--bundle", str(bundle.path), *scene.mount_parameters(), "--param", "autostart=false"]
    with running_node(arguments, log, ready="waiting to be configured") as node:
        yield node


@pytest.fixture(scope="module")
def client(node):
    with Client() as client:
        yield client


@pytest.fixture(autouse=True)
def unconfigured(client, bundle):
    """Every test begins and ends unconfigured, with the good bundle."""
    yield
    if client.state() == "active":
        client.change_state(DEACTIVATE)
    if client.state() == "inactive":
        client.change_state(CLEANUP)
    assert client.set_parameter("bundle", str(bundle.path)).successful
    client.clear()


def process_status(node: NodeProcess) -> dict[str, str]:
    text = Path(f"/proc/{node.process.pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def test_every_cycle_works_as_the_first(client, image):
    for _ in range(3):
        assert client.change_state(CONFIGURE)
        assert client.state() == "inactive"
        assert client.change_state(ACTIVATE)
        client.clear()
        client.connect()
        client.reply(image, scene.CAMERA, "costmap")
        assert client.change_state(DEACTIVATE)
        assert client.spin_until(lambda: client.image.get_subscription_count() == 0)
        assert client.change_state(CLEANUP)
        assert client.state() == "unconfigured"


def test_cycles_leave_nothing_behind(node, client):
    threads, resident = [], []
    for _ in range(100):
        assert all(client.change_state(transition) for transition in UP_AND_DOWN)
        status = process_status(node)
        threads.append(int(status["Threads"]))
        resident.append(int(status["VmRSS"].split()[0]) / 1024)
    # A thread that has just ended may still be counted.
    fewest = min(threads[5:15])
    assert client.spin_until(lambda: int(process_status(node)["Threads"]) <= fewest), threads
    # One life that is kept alive holds 2.3 MiB, 220 in all. ONNX Runtime keeps up to some 30, once.
    assert resident[-1] - resident[5] < 40.0, resident


def test_a_refused_bundle_fails_configure_and_the_node_lives(client, bundle, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(bundle.path, changed)
    data = bytearray((changed / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (changed / "model.onnx").write_bytes(bytes(data))
    other = tmp_path / "other"
    shutil.copytree(bundle.path, other)
    edit_manifest(other, n_classes=bundle.ontology.n_classes + 1)
    for path, reason in (
        (changed, "changed after the bundle was made"),
        (other, f"tells {bundle.ontology.n_classes + 1} classes apart"),
        (tmp_path / "none", "no such bundle"),
    ):
        assert client.set_parameter("bundle", str(path)).successful
        assert not client.change_state(CONFIGURE)
        assert client.state() == "unconfigured"
        _, message, _ = client.wait_status("node", lambda level, m, _v, r=reason: level == 2 and r in m)
        assert "offroad-seg export" in message  # the command that mends it
    assert client.set_parameter("bundle", str(bundle.path)).successful
    assert client.change_state(CONFIGURE)
    client.wait_status("node", lambda level, _m, v: level == 0 and v["state"] == "inactive")


def test_a_backend_that_is_not_there_fails_configure(client):
    assert client.set_parameter("backend", "tensorflow").successful
    assert not client.change_state(CONFIGURE)
    _, message, _ = client.wait_status("node", lambda level, m, _v: level == 2 and "tensorflow" in m)
    assert "onnxruntime" in message
    assert client.set_parameter("backend", "").successful


IMPOSSIBLE = {
    "unconfigured": (ACTIVATE, DEACTIVATE, CLEANUP),
    "inactive": (CONFIGURE, DEACTIVATE),
    "active": (CONFIGURE, ACTIVATE, CLEANUP),
}


def test_every_impossible_transition_is_answered_with_no_and_changes_nothing(client, node):
    """rclpy itself raises in the service and never answers."""
    for state, possible in (("unconfigured", CONFIGURE), ("inactive", ACTIVATE), ("active", DEACTIVATE)):
        assert client.state() == state
        for transition in (*IMPOSSIBLE[state], 250):
            assert not client.change_state(transition)
            assert client.state() == state
        assert client.change_state(possible)
    assert (
        "transition 3 refused: the node is unconfigured; possible: configure, shutdown"
        in node.log.read_text()
    )


def test_deactivate_declares_the_costmap_unknown(client, image):
    client.change_state(CONFIGURE)
    client.change_state(ACTIVATE)
    client.connect()
    grid = client.reply(image, scene.CAMERA, "costmap")
    assert (cells(grid) >= 0).any()
    mapped = stamp_ns(grid.header)
    assert client.change_state(DEACTIVATE)

    def unknown():
        return [m for m in client.got["costmap"] if (cells(m) == -1).all() and stamp_ns(m.header) > mapped]

    assert client.spin_until(lambda: bool(unknown()))
    assert client.got["costmap"][-1] is unknown()[-1]
    stamp = client.send_frame(image, scene.CAMERA)
    client.spin(0.5)
    assert client.state() == "inactive"
    client.wait_status("node", lambda _lv, _m, v: v["state"] == "inactive")
    assert len(unknown()) == 1
    assert client.got["costmap"][-1] is unknown()[-1]
    assert client.answer("labels", {stamp}) is None


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("max_age", -1.0, "max_age"),
        ("max_age", float("nan"), "out of"),
        ("max_age", float("inf"), "out of"),
        ("max_age", "soon", "not a number"),
        ("max_age", None, "not a number"),
        ("stall_action", "panic", "unknown, stop"),
        ("stall_timeout", 2.0, "cannot change while"),
        ("bundle", "/elsewhere", "cannot change while"),
        ("costmap.width", 30.0, "cannot change while"),
        ("camera_mount.z", 2.0, "cannot change while"),
        ("class_cost.Unicorns", 5, "Unicorns"),
        ("class_cost.Rocks", 99, "not a cost"),
        ("class_cost.Rocks", -5, "not a cost"),
        ("class_cost.Rocks", "deadly", "not a cost"),
        ("class_cost.Rocks", True, "not a cost"),
        ("class_cost.Rocks", None, "not a cost"),
        ("nonsense", 5, "nonsense"),
    ],
)
def test_bad_parameters_are_refused_with_a_reason(client, name, value, reason):
    if client.state() == "unconfigured":
        client.change_state(CONFIGURE)
    result = client.set_parameter(name, value)
    assert not result.successful
    assert reason in result.reason


def test_good_parameters_are_taken(client):
    client.change_state(CONFIGURE)
    for name, value in (
        ("max_age", 1),
        ("tf_timeout", 0.2),
        ("stall_action", "stop"),
        ("stall_action", "unknown"),
        ("class_cost.Lush Bushes", "unknown"),
        ("class_cost.Lush Bushes", 100),
        ("max_age", 0.5),
        ("tf_timeout", 0.1),
    ):
        result = client.set_parameter(name, value)
        assert result.successful, result.reason


def test_costs_change_while_running(client, image):
    client.change_state(CONFIGURE)
    client.change_state(ACTIVATE)
    client.connect()
    assert 5 in cells(client.reply(image, scene.CAMERA, "costmap"))
    assert client.set_parameter("class_cost.Landscape", 33).successful
    client.clear()
    grid = cells(client.reply(image, scene.CAMERA, "costmap"))
    assert 33 in grid
    assert 5 not in grid
    assert client.set_parameter("class_cost.Landscape", "lethal").successful
    client.clear()
    assert set(np.unique(cells(client.reply(image, scene.CAMERA, "costmap")))) == {-1, 100}


def test_sigterm_ends_it_cleanly(domain, bundle, tmp_path):
    """As SIGINT does, with which all the others end."""
    arguments = ["--bundle", str(bundle.path), "--namespace", "front", *scene.mount_parameters()]
    node = NodeProcess(arguments, tmp_path / "log")
    try:
        node.wait_for("configured:")
    finally:
        status = node.end(signal.SIGTERM)
    assert status == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bundle", "nowhere"], "there is no bundle"),
        (["--param", "max_age=-3"], "max_age"),
        (["--param", "max_age"], "NAME=VALUE"),
        (["--params-file", "nowhere.yaml"], "nowhere.yaml"),
        (["--remap", "image"], "FROM:=TO"),
    ],
)
def test_bad_usage_exits_with_2(domain, tmp_path, arguments, words):
    node = NodeProcess(arguments, tmp_path / "log")
    try:
        node.wait_for("mend:")
        assert node.process.wait(PATIENCE_S) == 2
    finally:
        node.end(signal.SIGKILL)
    assert words in (tmp_path / "log").read_text()


def test_costs_from_the_command_line(domain, bundle, tmp_path):
    """Names with blanks, and with underscores for ROS's own -p; a class that is not there is refused."""
    arguments = ["--bundle", str(bundle.path), "--namespace", "costs"]
    arguments += ["--param", "class_cost.Dry Grass=44", "--ros-args", "-p", "class_cost.Lush_Bushes:=lethal"]
    with running_node(arguments, tmp_path / "log"):
        pass
    node = NodeProcess([*arguments, "-p", "class_cost.Unicorns:=1"], tmp_path / "log2")
    try:
        text = node.wait_for("classes:")
        assert "configure failed" in text
        assert "Unicorns" in text
    finally:
        node.end()
