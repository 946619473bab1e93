# SPDX-License-Identifier: Apache-2.0
"""The real node under a steady camera for minutes: memory, drops and latency over time.

    python benchmarks/soak.py BUNDLE --seconds 300 --out benchmarks/results/soak.json

The node runs in a process of its own; a camera publishes at 30 Hz over DDS, and somebody listens to every output. Each
row of the table is a tenth of the time. After the first two, memory must not grow by more than 5 MB, by a straight
line through all samples; exit status 1 if it does, or if frames come to a stop.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from nav_msgs.msg import OccupancyGrid
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from offroad_seg.bench.workloads import load_pictures
from offroad_seg.errors import OffroadSegError
from offroad_seg.ros.bench_player import NodePlayer

GROWTH_LIMIT_MB = 5.0
WINDOWS = 10
WARM_UP = 2
OUTPUTS = {"confidence": Image, "overlay": Image, "points": PointCloud2, "camera_info_out": CameraInfo}


class EveryOutput(NodePlayer):
    """A camera and a listener to every output, not to labels alone."""

    def _start(self) -> None:
        super()._start()
        self.received = dict.fromkeys((*OUTPUTS, "costmap"), 0)
        node = next(iter(self._executor.get_nodes()))
        few = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)

        def count(name: str) -> None:
            self.received[name] += 1

        for name, kind in {**OUTPUTS, "costmap": OccupancyGrid}.items():
            node.create_subscription(kind, name, lambda _m, n=name: count(n), few)


def resident_mb(pid: int) -> float:
    """What the process holds in memory, 10^6 bytes."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(text.split("VmRSS:")[1].split()[0]) * 1024 / 1e6


def soak(bundle: Path, seconds: float, rate_hz: float, width: int, height: int) -> dict[str, Any]:
    """Rows over time, and what became of memory."""
    images = load_pictures(None, width, height).images
    rows: list[dict[str, float]] = []
    with EveryOutput(bundle, images, {}) as player:
        assert player.pid is not None
        begin = time.perf_counter()
        for _ in range(WINDOWS):
            run = player.play(rate_hz, seconds / WINDOWS)
            latency_ms = [1e3 * (done - run.sent_s[k]) for k, done in run.done_s.items()]
            rows.append(
                {
                    "seconds": time.perf_counter() - begin,
                    "sent": len(run.sent_s),
                    "dropped": len(run.sent_s) - len(run.done_s),
                    "p50_ms": float(np.percentile(latency_ms, 50)) if latency_ms else float("nan"),
                    "p99_ms": float(np.percentile(latency_ms, 99)) if latency_ms else float("nan"),
                    "resident_mb": resident_mb(player.pid),
                }
            )
            print(_line(rows[-1]), flush=True)
        received = player.received
    times, memory = (np.array([row[key] for row in rows[WARM_UP:]]) for key in ("seconds", "resident_mb"))
    slope = float(np.polyfit(times, memory, 1)[0])
    return {
        "rows": rows,
        "received": received,
        "slope_mb_per_hour": 3600 * slope,
        "growth_mb": slope * float(times[-1] - times[0]),
        "dropped_share": sum(row["dropped"] for row in rows) / sum(row["sent"] for row in rows),
    }


def _line(row: dict[str, float]) -> str:
    return (
        f"{row['seconds']:8.0f}{row['sent']:8.0f}{row['dropped']:9.0f}"
        f"{row['p50_ms']:9.1f}{row['p99_ms']:9.1f}{row['resident_mb']:10.1f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--rate", type=float, default=30.0, help="Hz")
    parser.add_argument("--size", default="640x480", help="WxH")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    width, height = (int(v) for v in arguments.size.split("x"))
    print(f"{'s':>8}{'sent':>8}{'dropped':>9}{'p50 ms':>9}{'p99 ms':>9}{'memory MB':>10}")
    try:
        result = soak(arguments.bundle, arguments.seconds, arguments.rate, width, height)
    except OffroadSegError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(
        f"after the first {WARM_UP} of {WINDOWS} rows: {result['growth_mb']:+.2f} MB (limit {GROWTH_LIMIT_MB:g}), "
        f"{result['slope_mb_per_hour']:+.1f} MB an hour; {100 * result['dropped_share']:.1f} % dropped"
    )
    print("received: " + ", ".join(f"{name} {count}" for name, count in result["received"].items()))
    if arguments.out:
        about = {"machine": platform.processor() or platform.machine(), "python": platform.python_version()}
        given = {"seconds": arguments.seconds, "rate_hz": arguments.rate, "size": arguments.size}
        text = json.dumps({"about": {**about, **given}, **result}, indent=2)
        arguments.out.write_text(text + "\n", encoding="utf-8")
    stopped = not all(row["sent"] > row["dropped"] for row in result["rows"])
    return 1 if stopped or result["growth_mb"] > GROWTH_LIMIT_MB else 0


if __name__ == "__main__":
    sys.exit(main())
