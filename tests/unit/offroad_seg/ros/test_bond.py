# SPDX-License-Identifier: Apache-2.0
"""One side of a bond, by the state table of bond_core: waiting, alive, being broken, broken."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from offroad_seg.ros.bond import (
    CONNECT_TIMEOUT_S,
    DISCONNECT_TIMEOUT_S,
    HEARTBEAT_TIMEOUT_S,
    BondMachine,
    BondState,
)


@pytest.fixture
def machine():
    return BondMachine(100.0)


@pytest.fixture
def alive(machine):
    assert not machine.hear(True, 101.0)
    assert machine.state is BondState.ALIVE
    return machine


def test_it_calls_until_the_other_side_answers_or_the_time_is_over(machine):
    assert machine.tick(100.0) is True
    assert machine.tick(100.0 + CONNECT_TIMEOUT_S) is True
    assert machine.tick(100.1 + CONNECT_TIMEOUT_S) is None
    assert machine.state is BondState.DEAD
    assert not machine.was_formed


def test_each_heartbeat_of_the_other_side_keeps_it_alive(alive):
    for i in range(1, 5):
        now = 101.0 + 3.0 * i
        assert alive.tick(now) is True
        assert not alive.hear(True, now)
    assert alive.tick(now + HEARTBEAT_TIMEOUT_S + 0.1) is None
    assert alive.state is BondState.DEAD
    assert alive.was_formed


@pytest.mark.parametrize("formed", [False, True])
def test_when_the_other_side_ends_it_is_answered_once(machine, formed):
    if formed:
        machine.hear(True, 101.0)
    assert machine.hear(False, 102.0)
    assert machine.state is BondState.DEAD
    assert not machine.hear(False, 102.1)
    assert machine.tick(102.2) is None
    assert not machine.end(102.3)


def test_when_this_side_ends_it_says_so_until_the_other_side_agrees(alive):
    assert alive.end(102.0)
    assert alive.tick(102.1) is False
    assert not alive.hear(True, 102.2)  # the other side has not heard it yet
    assert alive.tick(102.3) is False
    assert not alive.hear(False, 102.4)
    assert alive.tick(102.5) is None


def test_it_does_not_wait_for_ever_for_the_other_side_to_agree(alive):
    alive.end(102.0)
    assert alive.tick(102.0 + DISCONNECT_TIMEOUT_S) is False
    assert alive.tick(102.1 + DISCONNECT_TIMEOUT_S) is None


def test_without_another_side_it_ends_at_once(machine):
    assert machine.end(101.0)
    assert machine.state is BondState.DEAD
    assert machine.hear(True, 102.0) is False
    assert machine.state is BondState.DEAD
