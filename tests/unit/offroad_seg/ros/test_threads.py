# SPDX-License-Identifier: Apache-2.0
"""The slot, the worker and the watchdog: what stands between the executor and inference."""

from __future__ import annotations

import threading
import time

from offroad_seg.ros.slot import NewestSlot
from offroad_seg.ros.watchdog import Watchdog
from offroad_seg.ros.worker import Worker


def wait_until(condition, timeout_s=60.0):
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert condition()


def test_slot_keeps_the_newest_and_counts():
    slot = NewestSlot()
    assert not slot.put(1)
    assert slot.put(2)
    assert slot.put(3)
    assert slot.replaced == 2
    assert slot.take(0.0) == 3
    assert slot.take(0.0) is None
    assert not slot.put(4)
    assert slot.clear()
    assert not slot.clear()


def test_slot_wakes_who_waits():
    slot = NewestSlot()
    got = []
    thread = threading.Thread(target=lambda: got.append(slot.take(10.0)))
    thread.start()
    slot.wake()
    thread.join(60.0)
    assert got == [None]
    threading.Timer(0.05, slot.put, (7,)).start()
    assert slot.take(60.0) == 7


def left_behind(count):
    """How many of so many items, each put for somebody who waits, are still there when ``put`` returns."""
    slot, taken = NewestSlot(), []

    def take():
        while (item := slot.take(60.0)) is not None:
            taken.append(item)

    thread = threading.Thread(target=take)
    thread.start()
    left = 0
    for item in range(count):
        wait_until(lambda: slot._is_awaited)
        slot.put(item)
        left += slot.clear()
    wait_until(lambda: slot._is_awaited)
    slot.wake()
    thread.join(60.0)
    assert len(taken) == count - left
    return left


def test_who_waits_has_the_item_before_put_returns():
    # Python's lock alone would leave most of them: the thread that puts goes on. A busy machine may delay a few.
    assert left_behind(200) < 20


def test_a_slot_that_nobody_waits_for_keeps_no_one(monkeypatch):
    slot = NewestSlot()
    waits = []
    monkeypatch.setattr(slot._condition, "wait_for", lambda *_: waits.append(_))
    for item in range(1000):
        slot.put(item)
    assert waits == []
    assert slot.take(0.0) == 999


def test_worker_takes_the_newest_while_it_is_busy():
    gate, seen = threading.Event(), []

    def work(item):
        seen.append(item)
        gate.wait(60.0)

    worker = Worker(work, failed=lambda _e: None)
    worker.start()
    worker.slot.put(0)
    wait_until(lambda: seen == [0])
    for item in range(1, 10):
        worker.slot.put(item)
    gate.set()
    wait_until(lambda: len(seen) == 2)
    worker.stop()
    assert seen == [0, 9]
    assert worker.slot.replaced == 8


def test_worker_survives_what_its_work_raises():
    errors, done = [], []

    def work(item):
        if item == "bad":
            raise ValueError("broken frame")
        done.append(item)

    worker = Worker(work, errors.append)
    worker.start()
    worker.slot.put("bad")
    wait_until(lambda: len(errors) == 1)
    worker.slot.put("good")
    wait_until(lambda: done == ["good"])
    worker.post(lambda: 1 / 0)
    wait_until(lambda: len(errors) == 2)
    worker.stop()
    assert isinstance(errors[1], ZeroDivisionError)


def test_posted_calls_run_between_items_in_the_worker_and_at_once_without_one():
    calls = []
    worker = Worker(lambda _i: None, failed=lambda _e: None)
    worker.post(lambda: calls.append(threading.current_thread().name))
    assert calls == [threading.main_thread().name]
    worker.start()
    worker.post(lambda: calls.append(threading.current_thread().name))
    wait_until(lambda: len(calls) == 2)
    worker.stop()
    assert calls[1] == "perception_worker"


def test_worker_holds_its_rate_and_starts_again_after_a_stop():
    times = []
    worker = Worker(lambda _i: times.append(time.monotonic()), lambda _e: None, min_period_s=lambda: 0.1)
    for _ in range(2):
        times.clear()
        started = time.monotonic()
        worker.start()
        while len(times) < 4:
            worker.slot.put(1)
            time.sleep(0.005)
        worker.stop()
        assert (len(times) - 1) * 0.1 <= time.monotonic() - started
    assert threading.active_count() == 1 or "perception_worker" not in [t.name for t in threading.enumerate()]


def test_watchdog_says_dead_once_for_each_death():
    dog = Watchdog()
    assert not dog.expired(100.0, 1.0)  # not started
    dog.start(100.0)
    assert not dog.expired(101.0, 1.0)
    assert dog.expired(101.01, 1.0)
    assert dog.dead
    assert not dog.expired(105.0, 1.0)
    dog.feed(106.0)
    assert not dog.dead
    assert dog.silence_s(106.5) == 0.5
    assert dog.expired(108.0, 1.0)
    dog.stop()
    assert not dog.expired(200.0, 1.0)


def test_watchdog_begins_anew_when_its_clock_runs_back():
    dog = Watchdog()
    dog.start(100.0)
    assert not dog.expired(50.0, 1.0)
    assert not dog.expired(50.9, 1.0)
    assert dog.expired(51.1, 1.0)


def test_watchdog_does_not_count_the_leap_of_simulated_time_from_zero():
    dog = Watchdog()
    dog.start(0.0)
    assert not dog.expired(0.0, 1.0)
    assert not dog.expired(1_700_000_000.0, 1.0)
    assert not dog.expired(1_700_000_000.9, 1.0)
    assert dog.expired(1_700_000_001.1, 1.0)


def test_slot_serves_its_lanes_in_turn():
    slot = NewestSlot(3)
    assert not slot.put("a1", 0)
    assert slot.put("a2", 0)
    slot.put("c1", 2)
    assert slot.take(0.0) == "a2"
    slot.put("a3", 0)  # the fast one comes again, but it is the other's turn
    assert slot.take(0.0) == "c1"
    assert slot.take(0.0) == "a3"
    assert slot.take(0.0) is None
    slot.put("a4", 0)
    slot.put("b1", 1)
    assert slot.clear(1)
    assert not slot.clear(1)
    assert slot.take(0.0) == "a4"
    assert slot.replaced == 1


def test_worker_that_hangs_is_not_waited_for_and_takes_nothing_when_it_comes_back():
    gate, seen = threading.Event(), []

    def work(item):
        seen.append(item)
        gate.wait(60.0)

    worker = Worker(work, failed=lambda _e: None)
    assert worker.busy_s() == 0.0
    worker.start()
    worker.slot.put(0)
    wait_until(lambda: seen == [0])
    wait_until(lambda: worker.busy_s() > 0.01)
    worker.slot.put(1)
    assert not worker.stop(0.05)
    assert worker.alive
    gate.set()
    wait_until(lambda: not worker.alive)
    assert worker.stop(0.0)
    assert seen == [0]
    assert worker.busy_s() == 0.0
