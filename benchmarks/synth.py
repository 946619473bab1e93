# SPDX-License-Identifier: Apache-2.0
"""The synthetic desert: how long a world, a picture, a data set and the true grid take.

    python benchmarks/synth.py [--images 120] [--workers 2] [--size 480x270] [--out synth.json]

``CPU s`` is the processors' time, which other work on the machine stretches less than the wall's. The target is five
pictures per second on two cores at 480×270, worlds and PNG files included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.ontology import load_ontology
from offroad_seg_train.synthetic import write_bag, write_dataset
from offroad_seg_train.synthetic.drive import random_view
from offroad_seg_train.synthetic.render import default_camera, render
from offroad_seg_train.synthetic.truth import true_costmap
from offroad_seg_train.synthetic.world import build_world

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET_FPS = 5.0
BAG_FRAMES = 60


def cpu_seconds() -> float:
    """User and system time of this process and of its children that have ended."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def timed(work: Callable[[], object]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), cpu_seconds()
    work()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": cpu_seconds() - cpu}


def measure(images: int, workers: int, width: int, height: int) -> dict[str, object]:
    ontology = load_ontology("duality_desert")
    rows: dict[str, dict[str, float]] = {}
    # The first world also makes the noise tiles, once for each process.
    rows["first world of a process"] = timed(lambda: build_world((900, 0), ontology))
    worlds = []
    rows["world"] = timed(lambda: worlds.append(build_world((900, 1), ontology)))
    world, camera = worlds[0], default_camera(width, height)
    views = [random_view(np.random.default_rng(k), world) for k in range(12)]
    render(world, camera, views[0], (0,))
    each = [timed(lambda k=k: render(world, camera, views[k], (k,))) for k in range(len(views))]
    rows["picture, rendered"] = {key: statistics.median(e[key] for e in each) for key in ("wall_s", "cpu_s")}
    rows["true grid 160 × 160 m, 0.1 m"] = timed(lambda: true_costmap(world))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data = timed(lambda: write_dataset(folder / "data", images, 901, width, height, workers=workers))
        rows[f"data set, {images} pictures, {workers} workers"] = data
        drive = timed(
            lambda: write_bag(folder / "bag", BAG_FRAMES / 10, 10.0, 902, width, height, workers=workers)
        )
        rows[f"bag, {BAG_FRAMES} frames, {workers} workers"] = drive
        megabytes = sum(p.stat().st_size for p in (folder / "bag").iterdir()) / 1e6
    return {
        "size": [width, height],
        "triangles": len(world.mesh.faces_M3),
        "rows": rows,
        "data_set_fps": images / data["wall_s"],
        "data_set_fps_by_cpu": images / data["cpu_s"] * min(workers, os.cpu_count() or 1),
        "target_fps": TARGET_FPS,
        "bag_megabytes_per_frame": megabytes / BAG_FRAMES,
        "load_average": os.getloadavg()[0],
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", default="480x270", help="width x height")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/synth.json"))
    args = parser.parse_args()
    width, height = (int(v) for v in args.size.split("x"))
    result = measure(args.images, args.workers, width, height)
    print(f"\n{width}×{height}, {result['triangles']:,} triangles, load {result['load_average']:.1f}\n")
    print(f"{'':42} {'wall s':>8} {'CPU s':>8}")
    for name, row in result["rows"].items():
        print(f"{name:42} {row['wall_s']:8.2f} {row['cpu_s']:8.2f}")
    print(
        f"\ndata set: {result['data_set_fps']:.1f} pictures/s by the clock, {result['data_set_fps_by_cpu']:.1f} by "
        f"processor time (target {TARGET_FPS:g}); bag: {result['bag_megabytes_per_frame']:.2f} MB/frame"
    )
    args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
