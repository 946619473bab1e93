# SPDX-License-Identifier: Apache-2.0
"""The figures of a run, under our names and under those of Isaac ROS Benchmark, so that they stand side by side.

Isaac's definitions (NVIDIA-ISAAC-ROS/ros2_benchmark, ``basic_performance_calculator.py``): jitter is the
change from one gap between two results to the next, its absolute value; the first and the last latency are
from sending the first or last frame to receiving the first or last result; a frame rate is the number of
frames over the time from the first to the last of them, which is one gap too few: under our own names it is
the number of gaps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from offroad_seg.bench.load import Load
    from offroad_seg.bench.playing import Run


def figures(run: Run, load: Load | None = None) -> dict[str, Any]:
    """What a run was like; plain values, None where something is not defined.

    Args:
        run: At least one frame was done.
        load: What the machine had to do meanwhile.
    """
    done = sorted(run.done_s.items())
    done_s = np.array([t for _, t in done])
    latency_ms = 1e3 * np.array([t - run.sent_s[k] for k, t in done])
    jitter_ms = 1e3 * np.abs(np.diff(np.diff(done_s)))
    return {
        "rate_asked_hz": _rounded(run.rate_hz) if run.rate_hz else None,
        "rate_sent_hz": _rounded(_rate(np.array(run.sent_s))),
        "rate_hz": _rounded(_rate(done_s)),
        "sent": len(run.sent_s),
        "done": len(done),
        "missed": len(run.sent_s) - len(done),
        "loss": _rounded(run.loss, 5),
        "latency_ms": {
            "mean": _rounded(float(latency_ms.mean())),
            **{f"p{q}": _rounded(float(np.percentile(latency_ms, q))) for q in (50, 95, 99)},
            "max": _rounded(float(latency_ms.max())),
            "min": _rounded(float(latency_ms.min())),
            "first": _rounded(float(latency_ms[0])),
            "last": _rounded(float(latency_ms[-1])),
        },
        "jitter_ms": {
            name: _rounded(float(of(jitter_ms))) if jitter_ms.size else None
            for name, of in (("mean", np.mean), ("max", np.max), ("min", np.min), ("std", np.std))
        },
        "stages_ms": {
            name: {f"p{q}": _rounded(float(np.percentile(values, q))) for q in (50, 99)}
            for name, values in run.stages_ms.items()
        },
        "duration_ms": _rounded(1e3 * float(done_s[-1] - done_s[0])),
        "first_sent_to_first_done_ms": _rounded(1e3 * (float(done_s[0]) - run.sent_s[0])),
        "last_sent_to_last_done_ms": _rounded(1e3 * (float(done_s[-1]) - run.sent_s[-1])),
        **({} if load is None else load.to_dict()),
    }


def isaac(found: dict[str, Any]) -> dict[str, Any]:
    """The same figures under the keys of Isaac ROS Benchmark's result files; what is not known is left out."""
    latency, jitter = found["latency_ms"], found["jitter_ms"]
    basic = {
        "RECEIVED_DURATION": found["duration_ms"],
        "MEAN_PLAYBACK_FRAME_RATE": _with_one_more(found["rate_sent_hz"], found["sent"]),
        "MEAN_FRAME_RATE": _with_one_more(found["rate_hz"], found["done"]),
        "NUM_MISSED_FRAMES": found["missed"],
        "NUM_FRAMES_SENT": found["sent"],
        "FIRST_SENT_RECEIVED_LATENCY": found["first_sent_to_first_done_ms"],
        "LAST_SENT_RECEIVED_LATENCY": found["last_sent_to_last_done_ms"],
        "FIRST_INPUT_LATENCY": latency["first"],
        "LAST_INPUT_LATENCY": latency["last"],
        "MAX_LATENCY": latency["max"],
        "MIN_LATENCY": latency["min"],
        "MEAN_LATENCY": latency["mean"],
        "MAX_JITTER": jitter["max"],
        "MIN_JITTER": jitter["min"],
        "MEAN_JITTER": jitter["mean"],
        "STD_DEV_JITTER": jitter["std"],
    }
    resources = {
        "BASELINE_OVERALL_CPU_UTILIZATION": found.get("machine_cpu_before_percent"),
        "MEAN_OVERALL_CPU_UTILIZATION": found.get("machine_cpu_percent"),
    }
    named = {f"BasicPerformanceMetrics.{k}": v for k, v in basic.items()}
    named |= {f"ResourceMetrics.{k}": v for k, v in resources.items()}
    return {k: v for k, v in named.items() if v is not None}


def _rate(times_s: np.ndarray[Any, Any]) -> float | None:
    duration = float(times_s[-1] - times_s[0]) if times_s.size > 1 else 0.0
    return (len(times_s) - 1) / duration if duration > 0 else None


def _with_one_more(rate_hz: float | None, frames: int) -> float | None:
    return None if rate_hz is None else _rounded(rate_hz * frames / (frames - 1))


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)
