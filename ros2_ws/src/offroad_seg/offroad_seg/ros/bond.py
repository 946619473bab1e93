# SPDX-License-Identifier: Apache-2.0
"""The bond by which Nav2's lifecycle manager knows that this node lives, where ``bond`` is installed.

Written from the protocol of bond_core (bondcpp's documentation and state table) and of nav2_util::LifecycleNode: topic
``bond``, the node's name as id, heartbeats while active, a time-out of 4 s. bondpy is not needed.
"""

from __future__ import annotations

import uuid
from enum import Enum
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

try:
    from bond.msg import Status
except ImportError:
    Status = None

BOND_INSTALLED = Status is not None
TOPIC = "bond"
CONNECT_TIMEOUT_S = 10.0
HEARTBEAT_TIMEOUT_S = 4.0
DISCONNECT_TIMEOUT_S = 2.0
"""The first and the last are bond's defaults; the heartbeat's is nav2_util's."""


class BondState(Enum):
    """Where one side of a bond stands."""

    WAITING = "waiting for the lifecycle manager"
    ALIVE = "formed"
    DYING = "being broken"
    DEAD = "broken"


class BondMachine:
    """One side of a bond; the caller gives the time.

    Args:
        now_s: Time of a steady clock.
    """

    def __init__(self, now_s: float) -> None:
        self.state = BondState.WAITING
        self.was_formed = False
        self._since_s = now_s

    def hear(self, active: bool, now_s: float) -> bool:
        """The other side spoke; True if it must be answered at once, with "not active"."""
        if self.state is BondState.DEAD:
            return False
        if not active:
            answer = self.state is not BondState.DYING
            self.state = BondState.DEAD
            return answer
        if self.state is not BondState.DYING:
            self.state, self._since_s, self.was_formed = BondState.ALIVE, now_s, True
        return False

    def end(self, now_s: float) -> bool:
        """Break it; True if the other side must be told now."""
        if self.state is BondState.DEAD:
            return False
        # Who never had a sister need not wait for her to agree.
        formed = self.state is not BondState.WAITING
        self.state, self._since_s = (BondState.DYING if formed else BondState.DEAD), now_s
        return True

    def tick(self, now_s: float) -> bool | None:
        """A heartbeat is due: what to say (active or not), or None for nothing."""
        limits = {
            BondState.WAITING: CONNECT_TIMEOUT_S,
            BondState.ALIVE: HEARTBEAT_TIMEOUT_S,
            BondState.DYING: DISCONNECT_TIMEOUT_S,
        }
        if self.state is BondState.DEAD:
            return None
        if now_s - self._since_s > limits[self.state]:
            self.state = BondState.DEAD
            return None
        return self.state is not BondState.DYING


class Bond:
    """A bond of this node, from ``activate`` on.

    Args:
        node: Its name is the bond's id.
        period_s: Of the heartbeats, s.

    Attributes:
        machine: Where it stands.
    """

    def __init__(self, node: Any, period_s: float) -> None:
        self._node, self._period_s = node, period_s
        self._instance = str(uuid.uuid4())
        self._clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.machine = BondMachine(self._now_s())
        self._publisher = node.create_publisher(Status, TOPIC, _qos(5))
        self._subscription = node.create_subscription(Status, TOPIC, self._on_status, _qos(100))
        self._timer = node.create_timer(period_s, self._beat, clock=self._clock)
        self._beat()

    def end(self) -> None:
        """Say that this side ends; the heartbeats go on saying so until the other side has heard."""
        if self.machine.end(self._now_s()):
            self._say(active=False)

    def destroy(self) -> None:
        """End it and remove what it consists of."""
        self.end()
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_publisher(self._publisher)

    @property
    def lost(self) -> bool:
        """It was formed, and broke from the other side."""
        return self.machine.state is BondState.DEAD and self.machine.was_formed

    def _beat(self) -> None:
        active = self.machine.tick(self._now_s())
        if active is not None:
            self._say(active=active)

    def _on_status(self, message: Any) -> None:
        ours = message.id == self._node.get_name() and message.instance_id != self._instance
        if ours and self.machine.hear(bool(message.active), self._now_s()):
            self._say(active=False)

    def _say(self, *, active: bool) -> None:
        message = Status(id=self._node.get_name(), instance_id=self._instance, active=active)
        message.header.stamp = self._clock.now().to_msg()
        message.heartbeat_timeout, message.heartbeat_period = HEARTBEAT_TIMEOUT_S, self._period_s
        self._publisher.publish(message)

    def _now_s(self) -> float:
        return float(self._clock.now().nanoseconds) / 1e9


def _qos(depth: int) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.VOLATILE,
    )
