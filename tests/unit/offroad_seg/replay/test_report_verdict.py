# SPDX-License-Identifier: Apache-2.0
"""The verdict: every limit on both of its sides, and nothing that was not judged counts as passed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from offroad_seg.replay.report_checks import CHECKS, FAIL, NEVER, PASS, UNKNOWN, WARN
from offroad_seg.replay.report_verdict import said, verdict

DOC = Path(__file__).parents[4] / "docs" / "replay.md"


def metrics(**changes):
    """A drive without a fault, with truth of both kinds."""
    costmap = {"frames": 100, "free_precision": 0.995, "lethal_as_free": 0.0, "lethal_recall": 0.97}
    return {
        "images": 100, "frames": 100, "frames_dropped": 0, "dropped": {}, "miou_present": 0.8, "ece": 0.02,
        "costmap": costmap, "costmap_frames": 100, "costmap_known_share": 0.3, "flicker_compensated": 0.05, "flicker_compensated_truth": 0.04,
        "latency_ms": {"total": {"p50": 20.0, "p99": 30.0}}, "camera_period_ms": 100.0,
        "driven_path": {"false_lethal_rate": 0.0, "unknown_rate": 0.1}, "costmap_stability": {"flip_share": 0.0},
        "ood_share": 0.01, "bag": {"topics": {"image": "/i", "camera_info": "/c"}, "losses": []},
    } | changes  # fmt: skip


def of(found, key):
    return next(r for r in found.results if r.check.key == key)


def test_a_good_drive_with_truth_passes_every_check():
    found = verdict(metrics())
    assert found.state == PASS
    assert {r.state for r in found.results} <= {PASS, UNKNOWN}
    assert "No truth" not in found.reason


@pytest.mark.parametrize(
    ("key", "changes", "state"),
    [
        ("lethal_as_free", {"costmap": {"frames": 9, "lethal_as_free": 0.05}}, WARN),
        ("lethal_as_free", {"costmap": {"frames": 9, "lethal_as_free": 0.2}}, FAIL),
        ("free_precision", {"costmap": {"frames": 9, "free_precision": 0.96}}, WARN),
        ("free_precision", {"costmap": {"frames": 9, "free_precision": 0.5}}, FAIL),
        ("lethal_recall", {"costmap": {"frames": 9, "lethal_recall": 0.3}}, FAIL),
        ("labels", {"miou_present": 0.3}, WARN),
        ("labels", {"miou_present": 0.1}, FAIL),
        ("ece", {"ece": 0.9}, WARN),
        ("costmaps", {"costmap_frames": 95}, WARN),
        ("costmaps", {"costmap_frames": 0}, FAIL),
        ("unknown", {"costmap_known_share": 0.001}, FAIL),
        ("flicker", {"flicker_compensated": 0.4}, FAIL),
        ("flicker", {"flicker_compensated": 0.1, "flicker_compensated_truth": None}, WARN),
        ("driven_lethal", {"driven_path": {"false_lethal_rate": 0.02}}, WARN),
        ("driven_lethal", {"driven_path": {"false_lethal_rate": 0.2}}, FAIL),
        ("driven_unknown", {"driven_path": {"unknown_rate": 0.9}}, FAIL),
        ("stability", {"costmap_stability": {"flip_share": 0.01}}, WARN),
        ("ood", {"ood_share": 0.5}, FAIL),
        ("agreement", {"agreement": {"pixels": 0.8}}, WARN),
        ("dropped", {"frames": 98, "frames_dropped": 2}, WARN),
        ("dropped", {"frames": 50, "frames_dropped": 50}, FAIL),
        ("engine", {"dropped": {"engine_error": {"frames": 1, "first_reason": "not finite"}}}, FAIL),
        ("latency", {"latency_ms": {"total": {"p99": 150.0}}}, WARN),
        ("latency", {"latency_ms": {"total": {"p99": 250.0}}}, FAIL),
        ("bag", {"bag": {"topics": {}, "losses": ["half of it"]}}, WARN),
    ],
)
def test_each_check_fires_and_decides_the_whole(key, changes, state):
    found = verdict(metrics(**changes))
    assert of(found, key).state == state
    assert found.state == state
    assert of(found, key).check.name.lower() in found.reason.lower()


def test_what_has_no_truth_is_not_judged_and_said():
    bare = metrics(images=0, costmap={"frames": 0})
    del bare["miou_present"], bare["ece"], bare["flicker_compensated_truth"], bare["driven_path"]
    found = verdict(bare)
    assert found.state == PASS
    assert "nothing proven" in found.title
    assert "No truth in this bag" in found.reason
    driven = verdict(bare | {"driven_path": {"false_lethal_rate": 0.0, "unknown_rate": 0.1}})
    assert "nothing proven" not in driven.title
    assert "the ground that was driven over" in driven.reason
    assert {of(found, k).state for k in ("labels", "ece", "lethal_as_free", "free_precision")} == {UNKNOWN}


def test_a_replay_without_calibration_is_not_blamed_for_having_no_costmap():
    topics = {"topics": {"image": "/i", "camera_info": None}, "losses": []}
    found = verdict(metrics(costmap_frames=0, bag=topics, costmap={"frames": 0}))
    assert of(found, "costmaps").state == UNKNOWN
    assert "true grid" in found.reason


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.key)
def test_limits_are_inclusive_and_nan_never_passes(check):
    assert check.state(check.good) == PASS
    assert check.state(None) == UNKNOWN
    assert check.state(float("nan")) != PASS
    if check.bad not in (check.good, NEVER):
        assert check.state((check.good + check.bad) / 2) == WARN
        assert check.state(check.bad) == WARN
        assert check.state(check.bad + 0.1 * (check.bad - check.good)) == FAIL


def test_the_documentation_lists_every_check_with_its_limits():
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|", DOC.read_text(encoding="utf-8"), re.MULTILINE)
    documented = {name.strip(): (good.strip(), bad.strip()) for name, good, bad in rows}
    for check in CHECKS:
        good, bad = documented[check.name]
        assert good == (said(check.good, check.unit) if check.good else "none")
        assert bad == ("–" if check.bad == NEVER else said(check.bad, check.unit) if check.bad else "any")
