# SPDX-License-Identifier: Apache-2.0
"""The source at a fixed rate, the slot of one frame, and the search for the peak; on a clock that stands still."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.bench.figures import figures, isaac
from offroad_seg.bench.load import Load
from offroad_seg.bench.playing import Run, find_peak, play, play_back_to_back


class FakeClock:
    """Time passes only where somebody sleeps or works."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.time += seconds


class Worker:
    """Takes a fixed time for a frame."""

    def __init__(self, clock: FakeClock, takes_s: float) -> None:
        self.clock, self.takes_s = clock, takes_s
        self.frames: list[int] = []

    def __call__(self, number: int, sent_s: float) -> dict[str, float]:
        assert sent_s <= self.clock.time + 1e-9, "a frame that was not sent yet"
        self.frames.append(number)
        self.clock.time += self.takes_s
        return {"work": 1e3 * self.takes_s}


def run_at(rate_hz: float, takes_s: float, seconds: float = 2.0) -> Run:
    clock = FakeClock()
    return play(Worker(clock, takes_s), rate_hz, seconds, clock)


def test_who_is_quick_enough_misses_nothing() -> None:
    run = run_at(30.0, 0.01)
    assert (len(run.sent_s), len(run.done_s), run.loss) == (60, 60, 0.0)
    found = figures(run)
    assert found["rate_hz"] == pytest.approx(30.0, abs=0.01)
    assert found["latency_ms"]["p50"] == found["latency_ms"]["max"] == pytest.approx(10.0)
    assert found["jitter_ms"]["max"] == pytest.approx(0.0, abs=1e-3)
    assert found["stages_ms"] == {"work": {"p50": 10.0, "p99": 10.0}}


def test_who_is_too_slow_takes_the_newest_and_misses_the_rest() -> None:
    run = run_at(100.0, 0.025)
    assert sorted(run.done_s)[:4] == [0, 2, 5, 7]  # 25 ms a frame, one every 10 ms
    assert run.loss == pytest.approx(0.6, abs=0.01)
    found = figures(run)
    assert found["rate_hz"] == pytest.approx(40.0, rel=0.01)
    # Nothing waits longer than for the next frame: the slot holds one.
    assert found["latency_ms"]["max"] <= 35.0 + 1e-6
    assert found["missed"] == found["sent"] - found["done"]


@given(st.floats(1.0, 500.0), st.floats(1e-4, 0.3), st.floats(0.05, 3.0))
def test_every_frame_is_done_once_in_order_or_missed(rate_hz: float, takes_s: float, seconds: float) -> None:
    run = run_at(rate_hz, takes_s, seconds)
    numbers = list(run.done_s)
    assert numbers == sorted(set(numbers))
    assert set(numbers) <= set(range(len(run.sent_s)))
    assert len(run.sent_s) >= 3
    assert all(b - a == pytest.approx(1.0 / rate_hz) for a, b in pairwise(run.sent_s))
    assert all(run.done_s[k] - run.sent_s[k] >= takes_s - 1e-9 for k in numbers)
    if takes_s < 0.99 / rate_hz:
        assert run.loss == 0.0


@pytest.mark.parametrize("takes_s", [0.002, 0.02, 0.3])
@pytest.mark.parametrize("guess", [0.3, 1.0, 3.0])
def test_peak_is_where_five_percent_are_missed(takes_s: float, guess: float) -> None:
    def play_at(rate_hz: float) -> Run:
        return run_at(rate_hz, takes_s, 200 * takes_s)

    peak = find_peak(play_at, guess / takes_s)
    assert play_at(peak).loss <= 0.05
    assert peak == pytest.approx(1.0 / (0.95 * takes_s), rel=0.05)


def test_back_to_back() -> None:
    clock = FakeClock()
    run = play_back_to_back(Worker(clock, 0.125), 1.0, clock)
    assert len(run.done_s) == 8
    assert figures(run)["rate_asked_hz"] is None
    assert len(play_back_to_back(Worker(clock, 9.0), 1.0, clock).done_s) == 3
    assert len(play_back_to_back(Worker(clock, 1e-4), 1.0, clock, most=7).done_s) == 7


def test_figures_by_hand_and_under_isaacs_names() -> None:
    run = Run(10.0, [0.0, 0.1, 0.2, 0.3, 0.4], {0: 0.05, 1: 0.17, 3: 0.34, 4: 0.46})
    load = Load(150.0, 80.0, 5.0, 321.04, None)
    found = figures(run, load)
    assert (found["sent"], found["done"], found["missed"], found["loss"]) == (5, 4, 1, 0.2)
    latency = found["latency_ms"]
    assert [latency[k] for k in ("first", "last", "min", "max", "mean")] == [50.0, 60.0, 40.0, 70.0, 55.0]
    # Gaps 120, 170, 120 ms: they change by 50 and by 50.
    assert found["jitter_ms"] == {"mean": 50.0, "max": 50.0, "min": 50.0, "std": 0.0}
    assert found["rate_hz"] == pytest.approx(3 / 0.41, abs=1e-3)
    assert (found["cpu_percent"], found["gpu_memory_mb"], found["host_memory_mb"]) == (150.0, None, 321.0)
    other = isaac(found)
    assert other["BasicPerformanceMetrics.MEAN_FRAME_RATE"] == pytest.approx(4 / 0.41, abs=2e-3)
    assert other["BasicPerformanceMetrics.MEAN_PLAYBACK_FRAME_RATE"] == pytest.approx(5 / 0.4, abs=2e-3)
    assert other["BasicPerformanceMetrics.RECEIVED_DURATION"] == 410.0
    assert other["BasicPerformanceMetrics.FIRST_SENT_RECEIVED_LATENCY"] == 50.0
    assert other["BasicPerformanceMetrics.LAST_SENT_RECEIVED_LATENCY"] == 60.0
    assert other["BasicPerformanceMetrics.NUM_MISSED_FRAMES"] == 1
    assert other["ResourceMetrics.BASELINE_OVERALL_CPU_UTILIZATION"] == 5.0
    assert "ResourceMetrics.MEAN_OVERALL_CPU_UTILIZATION" in other


def test_one_frame_has_no_rate_and_no_jitter() -> None:
    found = figures(Run(10.0, [0.0, 0.1, 0.2], {2: 0.9}))
    assert found["rate_hz"] is None
    assert found["jitter_ms"]["mean"] is None
    assert "BasicPerformanceMetrics.MEAN_FRAME_RATE" not in isaac(found)
