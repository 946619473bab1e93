# SPDX-License-Identifier: Apache-2.0
"""The short way from a subscription to its callback, beside all else that an executor serves; over real DDS."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy
from rclpy.context import Context
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header
from std_srvs.srv import Empty

from offroad_seg.ros import executor as executors
from offroad_seg.ros.executor import FrameExecutor
from tests.helpers.ros_process import own_domain

PATIENCE_S = 60.0


class Pair:
    """A node with a quick subscription, on the executor under test, and another node that sends to it."""

    def __init__(self, domain: int, stack: ExitStack) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        stack.callback(lambda: rclpy.try_shutdown(context=self.context))
        self.node = rclpy.create_node("receiver", context=self.context)
        self.sender = rclpy.create_node("sender", context=self.context)
        stack.callback(self.node.destroy_node)
        stack.callback(self.sender.destroy_node)
        self.got: list[str] = []
        self.quick = [
            self.node.create_subscription(Header, "quick", lambda m: self.got.append(m.frame_id), 10)
        ]
        self.publisher = self.sender.create_publisher(Header, "quick", 10)
        self.executor = FrameExecutor(lambda: self.quick, context=self.context)
        self.executor.add_node(self.node)
        stack.callback(self.executor.shutdown)
        self.until(lambda: self.publisher.get_subscription_count() > 0)

    def until(self, done, each=lambda: None):
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline
            each()
            self.executor.spin_once(timeout_sec=0.05)

    def send(self, text: str = "") -> None:
        self.publisher.publish(Header(frame_id=text))


@pytest.fixture
def pair():
    with own_domain() as domain, ExitStack() as stack:
        yield Pair(domain, stack)


@pytest.fixture
def by_rclpy(monkeypatch):
    """Topics of the subscriptions that rclpy's own part of the executor serves."""
    topics, take = [], SingleThreadedExecutor._take_subscription

    def noted(self, subscription):
        topics.append(subscription.topic.lstrip("/"))
        return take(self, subscription)

    monkeypatch.setattr(SingleThreadedExecutor, "_take_subscription", noted)
    return topics


def test_messages_come_in_order_and_each_once(pair, by_rclpy):
    for number in range(5):
        pair.send(str(number))
    pair.until(lambda: len(pair.got) >= 5)
    pair.executor.spin_once(timeout_sec=0.05)
    assert pair.got == ["0", "1", "2", "3", "4"]
    assert by_rclpy == []


def test_all_else_is_served_while_messages_pour_in(pair, by_rclpy):
    ticks, others, answers = [], [], []
    pair.node.create_timer(0.01, lambda: ticks.append(1))
    pair.node.create_subscription(Header, "other", lambda m: others.append(m.frame_id), 10)
    pair.node.create_service(Empty, "ask", lambda _, response: (answers.append(1), response)[1])
    to_other = pair.sender.create_publisher(Header, "other", 10)
    client = pair.sender.create_client(Empty, "ask")
    pair.until(lambda: to_other.get_subscription_count() > 0 and client.service_is_ready())
    client.call_async(Empty.Request())
    to_other.publish(Header(frame_id="once"))
    # A message is waiting before each turn.
    pair.until(lambda: len(ticks) >= 3 and others and answers, pair.send)
    assert others == ["once"]
    assert len(pair.got) >= 3
    assert set(by_rclpy) == {"other"}


def test_who_does_not_fit_is_told_of(pair):
    """The events of the middleware, which rclpy looks at for every message."""
    told = []
    events = PublisherEventCallbacks(incompatible_qos=told.append)
    weak = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    pair.node.create_publisher(Header, "weak", weak, event_callbacks=events)
    strong = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
    pair.sender.create_subscription(Header, "weak", lambda _: None, strong)
    pair.until(lambda: told, pair.send)
    assert told[0].total_count == 1


def test_events_are_looked_at_now_and_then(pair, monkeypatch):
    looks, spin_once = [], SingleThreadedExecutor.spin_once

    def noted(self, timeout_sec=None):
        looks.append(timeout_sec)
        spin_once(self, timeout_sec)

    monkeypatch.setattr(SingleThreadedExecutor, "spin_once", noted)
    monkeypatch.setattr(executors, "LOOK_PERIOD_S", 3600.0)
    pair.executor.spin_once(timeout_sec=0.0)
    del looks[:], pair.got[:]
    pair.until(lambda: len(pair.got) >= 20, pair.send)
    # None; or one, where the one before was the last of the old period.
    assert looks in ([], [0.0])


def test_without_quick_ones_it_is_rclpys(pair, by_rclpy):
    subscriptions, pair.quick = pair.quick, []
    pair.send("a")
    pair.until(lambda: pair.got == ["a"])
    assert by_rclpy == ["quick"]
    pair.quick = subscriptions
    pair.send("b")
    pair.until(lambda: pair.got == ["a", "b"])
    assert by_rclpy == ["quick"]


def test_an_rclpy_that_is_made_differently_does_the_work_itself(pair, by_rclpy, monkeypatch, caplog):
    class Other:
        def WaitSet(self, **_other):
            raise AssertionError("it is not called like this")

    monkeypatch.setattr(executors, "rclpy_implementation", Other())
    pair.quick = [*pair.quick, pair.node.create_subscription(Header, "one_more", lambda _: None, 10)]
    pair.send("a")
    pair.until(lambda: pair.got == ["a"])
    assert by_rclpy == ["quick"]
    assert [record.message for record in caplog.records] == [
        "rclpy's own executor serves the inputs from now on"
    ]


def test_a_callback_may_destroy_another_subscription(pair):
    def destroy(_message):
        pair.node.destroy_subscription(second)
        pair.quick = pair.quick[:1]

    first = pair.node.create_subscription(Header, "first", destroy, 10)
    second = pair.node.create_subscription(Header, "first", lambda _: pytest.fail("it is destroyed"), 10)
    pair.quick = [first, second]
    publisher = pair.sender.create_publisher(Header, "first", 10)
    pair.until(lambda: publisher.get_subscription_count() == 2)
    publisher.publish(Header())
    # Both messages are there before either is taken.
    time.sleep(0.5)
    pair.until(lambda: len(pair.quick) == 1)


def test_what_a_callback_raises_comes_out_and_the_next_message_in(pair):
    def angry(message):
        raise ValueError(message.frame_id)

    good, bad = pair.quick[0], pair.node.create_subscription(Header, "quick", angry, 10)
    pair.quick = [bad, good]
    pair.until(lambda: pair.publisher.get_subscription_count() == 2)
    pair.send("a")
    with pytest.raises(ValueError, match="a"):
        pair.until(lambda: False)
    pair.until(lambda: pair.got == ["a"])


def test_it_waits_as_long_as_it_was_told(pair):
    pair.executor.spin_once(timeout_sec=0.0)  # what discovery left behind
    started = time.monotonic()
    pair.executor.spin_once(timeout_sec=0.3)
    assert time.monotonic() - started >= 0.25
    assert pair.got == []


def test_a_context_that_was_shut_down_ends_it_as_rclpys(pair):
    pair.send("a")
    pair.until(lambda: pair.got == ["a"])
    rclpy.shutdown(context=pair.context)
    with pytest.raises((RuntimeError, ExternalShutdownException)):
        pair.executor.spin_once(timeout_sec=0.1)
