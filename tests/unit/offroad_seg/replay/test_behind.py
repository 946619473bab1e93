# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from offroad_seg.replay.behind import Behind
from offroad_seg.replay.prefetch import Prefetch


def test_every_item_is_worked_on_in_order_in_another_thread():
    done, threads = [], set()

    def work(item):
        threads.add(threading.get_ident())
        time.sleep(0.001)
        done.append(item)

    with Behind(work) as behind:
        for number in range(30):
            behind.put(number)
    assert done == list(range(30))
    assert threads.isdisjoint({threading.get_ident()})


def test_no_more_than_its_depth_wait():
    gate, begun = threading.Event(), []

    def work(item):
        begun.append(item)
        gate.wait(60)

    put = []

    def fill(behind):
        for number in range(6):
            behind.put(number)
            put.append(number)

    with Behind(work, depth=2) as behind:
        filler = threading.Thread(target=fill, args=(behind,))
        filler.start()
        time.sleep(0.2)
        assert len(put) <= 3  # one in work, two waiting
        gate.set()
        filler.join(60)
    assert begun == list(range(6))


def test_an_error_comes_out_and_ends_the_work():
    done = []

    def work(item):
        if item == 2:
            raise ValueError("two")
        done.append(item)

    with pytest.raises(ValueError, match="two"), Behind(work) as behind:
        for number in range(1000):
            behind.put(number)
            time.sleep(0.001)
    assert done == [0, 1]


def test_an_error_of_the_last_item_is_not_lost():
    def work(item):
        time.sleep(0.05)
        raise ValueError(item)

    with pytest.raises(ValueError, match="last"), Behind(work) as behind:
        behind.put("last")


def test_an_error_outside_leaves_what_waits_and_the_thread():
    done, begun = [], threading.Event()

    def work(item):
        begun.set()
        while behind._error is None:  # until the block has been left
            time.sleep(0.005)
        done.append(item)

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), Behind(work, depth=8) as behind:
        for number in range(8):
            behind.put(number)
        assert begun.wait(60)
        raise KeyboardInterrupt
    assert done == [0]
    assert threading.active_count() <= before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a niceness for each thread")
def test_the_engines_threads_come_first():
    def niceness():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    own, found = niceness(), []
    with Behind(lambda _: found.append(niceness())) as behind:
        behind.put(0)
    with Prefetch(lambda: iter([niceness()])) as items:
        found += list(items)
    assert niceness() == own
    assert found == [max(own, 10)] * 2
