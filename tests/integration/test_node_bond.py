# SPDX-License-Identifier: Apache-2.0
"""The node and Nav2's lifecycle manager, played by this process: the bond, from ``activate`` to the end of either side."""

from __future__ import annotations

import signal
import time

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip("bond.msg", reason="bond is not built: make interfaces")

from bond.msg import Status
from lifecycle_msgs.msg import Transition
from rclpy.qos import QoSProfile

from tests.helpers import scene
from tests.helpers.node_fixtures import bundle, domain, ontology  # noqa: F401
from tests.helpers.ros_client import Client
from tests.helpers.ros_process import NodeProcess

CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
DEACTIVATE = Transition.TRANSITION_DEACTIVATE


class Manager:
    """The manager's side of the bond, as bondcpp has it: the same topic, id and quality of service."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.heard: list[Status] = []
        self._publisher = client.node.create_publisher(Status, "bond", QoSProfile(depth=5))
        client.node.create_subscription(Status, "bond", self._take, QoSProfile(depth=100))

    def _take(self, message: Status) -> None:
        if message.instance_id != "manager":
            self.heard.append(message)

    def say(self, active: bool, name: str = "perception") -> None:
        self._publisher.publish(Status(id=name, instance_id="manager", active=active, heartbeat_period=0.1))

    def hears(self, active: bool, timeout_s: float = 3.0) -> bool:
        """Whether the node says this from now on."""
        self.heard.clear()
        return self._client.spin_until(lambda: any(m.active is active for m in self.heard), timeout_s)

    def silence(self) -> bool:
        self._client.spin(0.3)
        self.heard.clear()
        self._client.spin(0.5)
        return not self.heard


@pytest.fixture(scope="module")
def node(domain, bundle, tmp_path_factory):  # noqa: F811
    log = tmp_path_factory.mktemp("node") / "log"
    node = NodeProcess(
        ["--bundle", str(bundle.path), *scene.mount_parameters(), "--param", "autostart=false"], log
    )
    try:
        node.wait_for("waiting to be configured")
        yield node
    finally:
        node.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def client(node):
    with Client(listen=()) as client:
        yield client


@pytest.fixture(scope="module")
def manager(client):
    return Manager(client)


@pytest.fixture(autouse=True)
def formed(client, manager):
    """Before each test the node is active, and the bond formed."""
    if client.state() == "active":
        client.change_state(DEACTIVATE)
        manager.say(False)
    if client.state() == "unconfigured":
        assert manager.silence()  # there is no bond before `activate`
        client.change_state(CONFIGURE)
    assert client.change_state(ACTIVATE)
    assert manager.hears(True)
    manager.say(True)
    client.wait_status("node", lambda level, _m, v: level == 0 and v["bond"] == "formed")


def test_the_node_beats_while_it_is_active(client, manager):
    manager.heard.clear()
    started = time.monotonic()
    client.spin(1.0)
    assert len(manager.heard) >= 0.5 * (time.monotonic() - started) / 0.1
    beat = manager.heard[-1]
    assert (beat.id, beat.active) == ("perception", True)
    assert beat.heartbeat_period == pytest.approx(0.1)
    assert beat.heartbeat_timeout == pytest.approx(4.0)
    assert len({m.instance_id for m in manager.heard}) == 1


def test_deactivate_breaks_the_bond_and_both_sides_agree(client, manager):
    assert client.change_state(DEACTIVATE)
    assert manager.hears(False)
    manager.say(False)
    assert manager.silence()
    client.wait_status("node", lambda level, _m, v: level == 0 and v["bond"] == "broken")


def test_a_manager_that_ends_is_answered_and_told_of(client, manager):
    manager.say(False)
    assert manager.hears(False)
    _, message, _ = client.wait_status("node", lambda level, *_: level == 1)
    assert "lifecycle manager has ended" in message
    assert client.state() == "active"  # as Nav2's own nodes


def test_the_bond_of_another_node_does_not_count(client, manager):
    manager.say(False, name="controller_server")
    assert manager.hears(True)
    client.wait_status("node", lambda level, _m, v: level == 0 and v["bond"] == "formed")


def test_when_the_process_is_killed_the_manager_hears_nothing_any_more(node, manager):
    node.process.kill()
    assert manager.silence()
