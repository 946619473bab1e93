# SPDX-License-Identifier: Apache-2.0
"""The table and the files of a benchmark."""

from __future__ import annotations

import json
import os
import platform
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from offroad_seg import __version__, resources
from offroad_seg.bench.figures import isaac
from offroad_seg.engines.cpu import describe_cpu

if TYPE_CHECKING:
    from pathlib import Path

PEAK = "peak"
_HEAD = (
    f"{'level':<10}{'asked':>9}{'got':>9}{'loss':>7}{'mean':>9}{'p50':>9}{'p95':>9}{'p99':>9}{'max':>9}{'first':>9}"
    f"{'jitter':>9}{'CPU':>7}{'host':>8}{'GPU':>8}"
)
_UNITS = (
    f"{'':<10}{'Hz':>9}{'Hz':>9}{'%':>7}{'ms':>9}{'ms':>9}{'ms':>9}{'ms':>9}{'ms':>9}{'ms':>9}{'ms':>9}{'%':>7}"
    f"{'MiB':>8}{'MiB':>8}"
)


def machine() -> dict[str, Any]:
    """What this was measured on; plain values."""
    return {
        "cpu": describe_cpu()["model"],
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "offroad_seg": __version__,
    }


def heading() -> str:
    """The first two lines of the table."""
    return f"{_HEAD}\n{_UNITS}"


def row(level: str, name: str, found: dict[str, Any]) -> str:
    """One line of the table.

    Args:
        level: What was measured.
        name: ``peak``, or the rate.
        found: Its figures.
    """
    latency, jitter = found["latency_ms"], found["jitter_ms"]
    numbers = [latency[k] for k in ("mean", "p50", "p95", "p99", "max", "first")] + [jitter["mean"]]
    asked = found["rate_asked_hz"]
    label = f"{PEAK} {asked:.0f}" if name == PEAK else f"{asked:g}"
    return (
        f"{level:<10}{label:>9}{_number(found['rate_hz'], 9, 1)}{_number(100 * found['loss'], 7, 1)}"
        + "".join(_number(v, 9, 2) for v in numbers)
        + _number(found.get("cpu_percent"), 7, 0)
        + _number(found.get("host_memory_mb"), 8, 0)
        + _number(found.get("gpu_memory_mb"), 8, 0)
    )


def write_report(out: Path, report: dict[str, Any], *, overwrite: bool) -> None:
    """Write ``bench.json``, ``bench.txt`` and, for each level, ``isaac_ros_benchmark_LEVEL.json``.

    Raises:
        InputError: ``out`` is not empty and ``overwrite`` is false.
    """
    with resources.replacing_folder(out, overwrite=overwrite) as folder:
        (folder / "bench.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
        (folder / "bench.txt").write_text(text(report) + "\n", "utf-8")
        for level, runs in report["levels"].items():
            (folder / f"isaac_ros_benchmark_{level}.json").write_text(
                json.dumps(isaac_file(runs), indent=2) + "\n", "utf-8"
            )


def isaac_file(runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Runs of one level as one of Isaac's result files: the peak at the top, each rate under its own key."""
    peak = isaac(runs[PEAK]) if PEAK in runs else {}
    return {**peak, **{f"{float(name)}fps": isaac(found) for name, found in runs.items() if name != PEAK}}


def text(report: dict[str, Any]) -> str:
    """The whole table with what it is about."""
    lines = [*about(report), "", heading()]
    lines += [
        row(level, name, found) for level, runs in report["levels"].items() for name, found in runs.items()
    ]
    return "\n".join([*lines, "", *stages(report)])


def about(report: dict[str, Any]) -> list[str]:
    """What is measured, on what."""
    engine, seen, here = report["engine"], report["input"], report["machine"]
    threads = f", {engine['threads']} threads" if engine["threads"] else ""
    runs = f"{engine['backend']} {engine['version']} {engine['precision']} on {engine['device']}{threads}"
    sizes = "network {}×{}, images {}×{}".format(*seen["network"], *seen["size"])
    lines = [
        f"{report['bundle']['name']}: {runs}; {sizes} ({seen['source']})",
        f"{here['cpu']}, {here['cores']} cores, load before {here['load_before']}",
        f"loaded in {report['load_ms']:.0f} ms, first frame of a cold engine {report['first_frame_ms']:.1f} ms",
    ]
    if here["load_before"] > 0.5 * (here["cores"] or 1):
        lines.append("WARNING: other work runs on this machine; these figures say less than they seem to")
    return lines


def stages(report: dict[str, Any]) -> list[str]:
    """Where the time goes, from the run that kept the most frames."""
    runs = report["levels"].get("pipeline", {})
    whole = [found for found in runs.values() if found["stages_ms"]]
    if not whole:
        return []
    found = max(whole, key=lambda f: f["done"])
    parts = [f"{name} {v['p50']:.2f} ({v['p99']:.2f})" for name, v in found["stages_ms"].items()]
    return [f"stages of the pipeline, ms, p50 (p99): {', '.join(parts)}"]


def _number(value: float | None, width: int, digits: int) -> str:
    return f"{'–' if value is None else f'{value:.{digits}f}':>{width}}"
