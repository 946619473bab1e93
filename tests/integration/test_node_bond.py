# SPDX-License-Identifier: Apache-2.0
"""The node and Nav2's lifecycle manager, played by this process: the bond, from ``activate`` to the end of either side."""

from __future__ import annotations

import signal

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip("bond.msg", reason="bond is not built: make interfaces")

from bond.msg import Status
from lifecycle_msgs.msg import Transition
from rclpy.qos import QoSProfile

from offroad_seg.sensor_messages import stamp_ns
from tests.helpers import scene
from tests.helpers.ros_client import Client
from tests.helpers.ros_process import PATIENCE_S, NodeProcess

CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
DEACTIVATE = Transition.TRANSITION_DEACTIVATE


class Manager:
    """The manager's side of the bond, as bondcpp has it: the same topic, id and quality of service.

    It beats while the client spins, from the first ``say(True)`` to ``say(False)``.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.heard: list[Status] = []
        self._publisher = client.node.create_publisher(Status, "bond", QoSProfile(depth=5))
        client.node.create_subscription(Status, "bond", self._take, QoSProfile(depth=100))
        self._active = False
        client.node.create_timer(0.1, self._beat)

    def _take(self, message: Status) -> None:
        if message.instance_id != "manager":
            self.heard.append(message)

    def _beat(self) -> None:
        if self._active:
            self.publish(True)

    def publish(self, active: bool, name: str = "perception") -> None:
        self._publisher.publish(Status(id=name, instance_id="manager", active=active, heartbeat_period=0.1))

    def say(self, active: bool) -> None:
        self._active = active
        self.publish(active)

    def hears(self, active: bool) -> bool:
        """Whether the node says this from now on."""
        self.heard.clear()
        return self._client.spin_until(lambda: any(m.active is active for m in self.heard))

    def silence(self) -> bool:
        """Whether the node, which tells how it is once a second, does not beat from one such time to the next."""

        def quiet() -> bool:
            self._client.wait_status("node", lambda *_: True)
            self.heard.clear()
            self._client.wait_status("node", lambda *_: True)
            return not self.heard

        # What was said before may still be on its way, once.
        return any(quiet() for _ in range(5))

    def hears_nothing(self) -> bool:
        """Whether there is no beat for a second, in the end."""
        for _ in range(30):
            self.heard.clear()
            self._client.spin(1.0)
            if not self.heard:
                return True
        return False


@pytest.fixture(scope="module")
def node(domain, bundle, tmp_path_factory):
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
    assert client.spin_until(lambda: len(manager.heard) > 20)
    # By the beats' own stamps: this process may be late in hearing them.
    times_s = [stamp_ns(message.header) / 1e9 for message in manager.heard]
    assert (len(times_s) - 1) / (times_s[-1] - times_s[0]) >= 0.5 / 0.1
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
    client.wait_status("node", lambda level, m, _v: level == 1 and "lifecycle manager has ended" in m)
    assert client.state() == "active"  # as Nav2's own nodes


def test_the_bond_of_another_node_does_not_count(client, manager):
    manager.publish(False, name="controller_server")
    assert client.state() == "active"  # when the node has answered this, it has heard that
    assert manager.hears(True)
    client.wait_status("node", lambda level, _m, v: level == 0 and v["bond"] == "formed")


def test_when_the_process_is_killed_the_manager_hears_nothing_any_more(node, manager):
    node.process.kill()
    node.process.wait(PATIENCE_S)
    assert manager.hears_nothing()
