# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from offroad_seg.ros.diagnostics import component_names, diagnostic_values
from offroad_seg.ros.health import Health, Level
from offroad_seg.ros.reporter import Reporter
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


def test_one_cameras_condition_is_told_under_its_name_and_cleared_for_itself():
    health = Health(("costmap",))
    assert health.set("costmap", "no_transform", Level.WARN, "no pose", "left")
    assert health.set("costmap", "no_transform", Level.WARN, "no pose", "front")
    assert health.summary("costmap") == (Level.WARN, "left: no pose; front: no pose")
    assert health.clear("costmap", owner="left")
    assert not health.clear("costmap", "no_transform")  # nobody's
    assert health.summary("costmap") == (Level.WARN, "front: no pose")
    health.set_components(("costmap", "camera left"))
    assert health.components == ("costmap", "camera left")
    assert health.summary("costmap") == (Level.WARN, "front: no pose")
    assert health.summary("camera left") == (Level.OK, "ok")


def test_what_happens_to_one_of_several_cameras_counts_for_it_and_for_all():
    together, said = Statistics(), []
    health = Health(component_names(("left", "front")))
    left, front = (
        Reporter(health, together, lambda cause, text: said.append((cause, text)), word)
        for word in ("left", "front")
    )
    left.drop("camera", "bad_image", "no rows")
    front.drop("costmap", "no_depth", "none came", Level.ERROR)
    front.event("image")
    assert together.drops() == {"bad_image": 1, "no_depth": 1}
    assert left.own.drops() == {"bad_image": 1}
    assert said == [("bad_image left", "left: no rows"), ("no_depth front", "front: none came")]
    assert health.summary("camera left") == (Level.WARN, "no rows")
    assert health.summary("camera front") == (Level.OK, "ok")
    assert health.summary("costmap") == (Level.ERROR, "front: none came")
    values = diagnostic_values(together, {r.component: r.own for r in (left, front)})
    assert values["camera left"]["dropped.bad_image"] == "1"
    assert values["camera front"]["dropped.no_depth"] == "1"
    assert values["camera front"]["image_count"] == "1"
    assert values["costmap"]["dropped.no_depth"] == "1"
    left.clear("costmap")
    assert health.summary("costmap")[0] == Level.ERROR
    front.clear("costmap")
    assert health.summary("costmap")[0] == Level.OK


def test_a_single_camera_has_no_name_in_diagnostics():
    statistics = Statistics()
    report = Reporter(Health(component_names(())), statistics, lambda *_: None)
    assert report.component == "camera"
    assert report.own is statistics
    report.drop("camera", "too_old", "old")
    assert statistics.drops() == {"too_old": 1}  # once, not twice
