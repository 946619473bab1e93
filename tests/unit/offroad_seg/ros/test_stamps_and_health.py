# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from offroad_seg.ros.health import Health, Level
from offroad_seg.ros.stamp_guard import Order, StampGuard, age_problem
from offroad_seg.ros.statistics import Statistics

S = 1_000_000_000


def test_order_of_stamps():
    guard = StampGuard()
    assert guard.order(10 * S) is Order.NEXT
    assert guard.order(11 * S) is Order.NEXT
    assert guard.order(11 * S) is Order.LATE
    assert guard.order(11 * S - 5) is Order.LATE
    assert guard.order(12 * S) is Order.NEXT
    assert guard.order(11 * S) is Order.TIME_RAN_BACK
    assert guard.order(11 * S + 1) is Order.NEXT
    guard.reset()
    assert guard.order(0) is Order.NEXT


@pytest.mark.parametrize(
    ("stamp", "max_age", "cause"),
    [
        (100 * S, 0.5, None),
        (int(99.6 * S), 0.5, None),
        (int(99.4 * S), 0.5, "too_old"),
        (int(100.4 * S), 0.5, None),
        (int(100.6 * S), 0.5, "from_future"),
        (0, 0.0, None),
        (0, 0.5, "too_old"),
    ],
)
def test_age(stamp, max_age, cause):
    problem = age_problem(stamp, 100 * S, max_age)
    assert (problem[0] if problem else None) == cause


def test_health_tells_the_worst_first_and_forgets_what_is_mended():
    health = Health(("camera", "node"))
    assert health.summary("camera") == (Level.OK, "ok")
    assert health.set("camera", "old", Level.WARN, "old frames")
    assert not health.set("camera", "old", Level.WARN, "older frames")
    assert health.set("camera", "stalled", Level.ERROR, "dead")
    assert health.summary("camera") == (Level.ERROR, "dead; older frames")
    assert health.summary("node") == (Level.OK, "ok")
    assert health.clear("camera", "stalled")
    assert not health.clear("camera", "stalled")
    assert health.summary("camera") == (Level.WARN, "older frames")
    assert health.clear("camera")
    assert health.summary("camera") == (Level.OK, "ok")


def test_statistics(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("offroad_seg.ros.statistics.time.monotonic", lambda: now[0])
    statistics = Statistics()
    for i in range(21):
        statistics.event("image")
        statistics.sample("ms", float(i))
        now[0] += 0.1
    assert statistics.rate("image") == pytest.approx(10.0)
    assert statistics.percentiles()["ms"][0] == 10.0
    statistics.drop("too_old", "2 s")
    statistics.drop("too_old", "3 s")
    assert statistics.drops() == {"too_old": 2}
    assert statistics.reasons() == {"too_old": "3 s"}
    now[0] += 60.0
    assert statistics.rate("image") == 0.0
    assert statistics.percentiles() == {}
    assert statistics.totals() == {"image": 21}
    statistics.clear()
    assert statistics.totals() == {}
    assert statistics.drops() == {}
