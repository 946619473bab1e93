# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
import time

import pytest

from offroad_seg.replay.prefetch import Prefetch


def test_items_come_in_order():
    with Prefetch(lambda: iter(range(100)), depth=3) as items:
        assert list(items) == list(range(100))


def test_it_works_ahead_by_no_more_than_its_depth():
    made = []

    def make():
        for i in range(50):
            made.append(i)
            yield i

    with Prefetch(make, depth=3) as items:
        first = next(iter(items))
        deadline = time.monotonic() + 60
        while len(made) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        # One was taken, three wait, one is in the thread's hand.
        assert (first, len(made)) == (0, 5)


def test_an_error_of_the_thread_reaches_the_taker_after_the_items_before_it():
    def make():
        yield 1
        raise ValueError("broken")

    taken = []
    with Prefetch(make) as items, pytest.raises(ValueError, match="broken"):
        taken.extend(items)
        for item in items:
            taken.append(item)
    assert taken in ([], [1])


def test_leaving_early_ends_the_thread():
    def endless():
        while True:
            yield 0

    before = threading.active_count()
    with Prefetch(endless) as items:
        next(iter(items))
    assert threading.active_count() <= before
