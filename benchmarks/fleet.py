# SPDX-License-Identifier: Apache-2.0
"""Many bags: Ray workers against one process.

    python benchmarks/fleet.py [--model desert_small] [--bags 8] [--frames 60] [--workers 1 2] [--out fleet.json]

The same bags (a camera that pans over a rendered desert, 960×540 JPEG with truth) are replayed by one process, one bag
after the other, and by local Ray clusters of so many workers; each run is a process of its own, each bag has one engine
thread. ``start_s`` is what starting Ray takes, once for a run; ``speed_up`` is one process's time over a run's, with it
and without it. The figures of all runs must be equal, or the benchmark fails.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from replay_drive import SIZE, write_bag, write_network

from offroad_seg.replay.summary import TIME_KEYS
from offroad_seg.resources import write_text

_CHILD = """
import sys, time
from offroad_seg.cli.main import main
from offroad_seg.replay import fleet_ray

enter, start = fleet_ray.OnRay.__enter__, []


def timed(self):
    before = time.perf_counter()
    found = enter(self)
    start.append(time.perf_counter() - before)
    return found


fleet_ray.OnRay.__enter__ = timed
before = time.perf_counter()
status = main(sys.argv[1:])
print("TIMES", time.perf_counter() - before, sum(start))
sys.exit(status)
"""


def run(folder: Path, name: str, options: list[str]) -> dict[str, Any]:
    """One run of all bags: seconds, those of starting Ray, and the figures that do not depend on time."""
    bags = sorted(str(p) for p in (folder / "bags").iterdir())
    command = ["replay", str(folder / "bundle"), *bags, "--out", str(folder / name), *options]
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    words = next(line for line in done.stdout.splitlines() if line.startswith("TIMES")).split()
    metrics = json.loads((folder / name / "metrics.json").read_text(encoding="utf-8"))
    shutil.rmtree(folder / name)
    lasting = {k: v for k, v in metrics.items() if k not in (*TIME_KEYS, "bags")}
    return {
        "seconds": float(words[1]),
        "start_s": float(words[2]),
        "frames": metrics["frames"],
        "figures": lasting,
    }


def measure(model: str, bags: int, frames: int, workers: list[int], folder: Path) -> list[dict[str, Any]]:
    """A row for one process and one for each number of workers."""
    write_network(folder / "bundle", model)
    (folder / "bags").mkdir()
    write_bag(folder / "bags" / "bag_00", frames, SIZE)
    for number in range(1, bags):
        shutil.copytree(folder / "bags" / "bag_00", folder / "bags" / f"bag_{number:02d}")
    one = run(folder, "one", [])
    rows = [{"run": "one process", **{k: one[k] for k in ("seconds", "frames")}, "start_s": 0.0}]
    for n in workers:
        found = run(folder, f"ray_{n}", ["--ray-address", "local", "--workers", str(n)])
        assert found["figures"] == one["figures"], "the workers gave other numbers"
        rows.append({"run": f"Ray, {n} workers", **{k: found[k] for k in ("seconds", "frames", "start_s")}})
    for row in rows:
        row["frames_per_second"] = row["frames"] / row["seconds"]
        row["speed_up"] = one["seconds"] / row["seconds"]
        row["speed_up_without_start"] = one["seconds"] / (row["seconds"] - row["start_s"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="desert_small", help="recipe of the network (desert_small)")
    parser.add_argument("--bags", type=int, default=8, help="how many (8)")
    parser.add_argument("--frames", type=int, default=60, help="of each bag (60)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="numbers of workers (1 2)")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="offroad_seg_fleet_") as folder:
        rows = measure(args.model, args.bags, args.frames, args.workers, Path(folder))
    print(f"{args.bags} bags of {args.frames} frames, {args.model}, {os.cpu_count()} cores")
    print(f"{'run':<16}{'seconds':>9}{'start':>8}{'frames/s':>10}{'speed-up':>10}{'without start':>15}")
    for row in rows:
        print(
            f"{row['run']:<16}{row['seconds']:>9.1f}{row['start_s']:>8.1f}{row['frames_per_second']:>10.1f}"
            f"{row['speed_up']:>10.2f}{row['speed_up_without_start']:>15.2f}"
        )
    if args.out is not None:
        report = {
            "model": args.model, "bags": args.bags, "frames": args.frames, "rows": rows,
            "machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version(),
        }  # fmt: skip
        write_text(args.out, json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
