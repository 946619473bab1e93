# SPDX-License-Identifier: Apache-2.0
"""What the node tells on /diagnostics: health, rates, latencies, drops by cause, engine identity."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from offroad_seg.ros.messages import time_message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offroad_seg.ros.health import Health
    from offroad_seg.ros.statistics import Statistics

COMPONENTS = ("node", "camera", "inference", "costmap")
"""What is told with one camera; with several, each of them is a component ``camera <name>``."""

# Which component a dropped frame is told under; the rest is the camera's.
_COSTMAP_SAMPLES = ("tf_age_ms", "unknown_share", "tf_wait_ms", "contact_slope")
_COSTMAP_DROPS = (
    *("no_transform", "bad_transform", "bad_camera_info", "no_depth", "bad_depth"),
    *("invalid_grid", "no_costmap", "revoked"),
)
_INFERENCE_DROPS = ("engine_error", "internal_error", "gpu_memory")


def component_names(cameras: tuple[str, ...]) -> tuple[str, ...]:
    """The components with these cameras (their plain names; none = one camera)."""
    if not cameras:
        return COMPONENTS
    return ("node", *(f"camera {name}" for name in cameras), "inference", "costmap")


def diagnostics_message(
    now_ns: int, node_name: str, hardware_id: str, health: Health, values: Mapping[str, Mapping[str, str]]
) -> DiagnosticArray:
    """One DiagnosticStatus for each component; ``values`` holds component → key → value."""
    array = DiagnosticArray()
    array.header.stamp = time_message(now_ns)
    for component in health.components:
        level, message = health.summary(component)
        array.status.append(
            DiagnosticStatus(
                level=bytes([level]),
                name=f"{node_name}: {component}",
                message=message,
                hardware_id=hardware_id,
                values=[KeyValue(key=k, value=v) for k, v in values.get(component, {}).items()],
            )
        )
    return array


def diagnostic_values(statistics: Statistics, cameras: Mapping[str, Statistics]) -> dict[str, dict[str, str]]:
    """Component → key → value; ``cameras`` has the statistics of each of several cameras, by its component."""
    values = statistics_values(statistics)
    for component, own in cameras.items():
        # One after the other: what is the camera's own, what became of its frames in the network and in the grid.
        values[component] = {k: v for part in statistics_values(own).values() for k, v in part.items()}
    return values


def statistics_values(statistics: Statistics) -> dict[str, dict[str, str]]:
    """Rates, percentiles and drops by component."""
    values: dict[str, dict[str, str]] = {name: {} for name in COMPONENTS}
    for name, component in (("image", "camera"), ("labels", "inference"), ("costmap", "costmap")):
        values[component][f"{name}_rate_hz"] = f"{statistics.rate(name):.2f}"
        values[component][f"{name}_count"] = str(statistics.totals().get(name, 0))
    for name, (p50, p99) in sorted(statistics.percentiles().items()):
        component = "costmap" if name in _COSTMAP_SAMPLES else "inference"
        values[component][f"{name}.p50"] = f"{p50:.3f}"
        values[component][f"{name}.p99"] = f"{p99:.3f}"
    reasons = statistics.reasons()
    for cause, count in sorted(statistics.drops().items()):
        component = "camera"
        if cause in _COSTMAP_DROPS:
            component = "costmap"
        elif cause in _INFERENCE_DROPS:
            component = "inference"
        values[component][f"dropped.{cause}"] = str(count)
        if cause in reasons:
            values[component][f"dropped.{cause}.reason"] = reasons[cause]
    return values


def memory_mib() -> float:
    """Resident memory of this process, MiB; 0 where /proc is not there."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
