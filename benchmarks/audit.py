# SPDX-License-Identifier: Apache-2.0
"""The audit of a data set: seconds for 1,000 images, step by step, and the search for likenesses among 10,000.

    python benchmarks/audit.py [--data DIR] [--images 100] [--workers 2] [--out audit.json]

Without ``--data``, synthetic scenes of 960×540 in the Duality layout. ``CPU s`` is the processors' time, which other
work on the machine stretches less than the wall's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg_train.audit.audit import AuditOptions, run_audit
from offroad_seg_train.audit.image_probe import HASH_BITS, THUMB
from offroad_seg_train.audit.report import report_html
from offroad_seg_train.audit.similar import find_alike

if TYPE_CHECKING:
    from collections.abc import Callable

SEARCHED = 10_000
HEIGHT, WIDTH = 540, 960


def cpu_seconds() -> float:
    """User and system time of this process."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime


def timed(work: Callable[[], object]) -> tuple[object, dict[str, float]]:
    wall, cpu = time.perf_counter(), cpu_seconds()
    result = work()
    return result, {"wall_s": time.perf_counter() - wall, "cpu_s": cpu_seconds() - cpu}


def write_scenes(folder: Path, images: int) -> None:
    """Sky over noise at several scales: about as hard to decode as photographs."""
    values = np.array([300, 550, 7100], np.uint16)
    for name in ("Color_Images", "Segmentation"):
        (folder / name).mkdir(parents=True)
    for k in range(images):
        rng = np.random.default_rng(k)
        layers = [cv2.resize(rng.normal(0, 24, (n, 2 * n, 3)), (WIDTH, HEIGHT)) for n in (4, 16, 64, 270)]
        image = np.clip(130 + sum(layers), 0, 255).astype(np.uint8)
        index = np.clip(cv2.resize(rng.normal(1, 0.8, (60, 106)), (WIDTH, HEIGHT)).round(), 0, 2).astype(int)
        mask = values[index]
        image[: HEIGHT // 3], mask[: HEIGHT // 3] = (220, 190, 160), 10000
        cv2.imwrite(str(folder / "Color_Images" / f"cc{k:05d}.png"), image)
        cv2.imwrite(str(folder / "Segmentation" / f"cc{k:05d}.png"), mask)


def search() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.random((SEARCHED, HASH_BITS)) < 0.5
    hashes[1::10] = hashes[0::10]
    find_alike(hashes, rng.integers(0, 256, (SEARCHED, THUMB, THUMB), np.uint8), ["all"] * SEARCHED)


def measure(data: Path, workers: int) -> dict[str, object]:
    audit, whole = timed(lambda: run_audit(AuditOptions(data, workers=workers)))
    _, page = timed(lambda: report_html(audit))
    _, searched = timed(search)
    images = len(audit.sources.frames)
    return {
        "images": images,
        "workers": workers,
        "rows": {"audit": whole, "report": page, f"likenesses among {SEARCHED:,}": searched},
        "steps_wall_s": audit.seconds,
        "wall_s_per_1000": 1000 * whole["wall_s"] / images,
        "cpu_s_per_1000": 1000 * whole["cpu_s"] / images,
        "load_average": os.getloadavg()[0],
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="a data folder (default: synthetic scenes)")
    parser.add_argument("--images", type=int, default=100, help="synthetic scenes")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/audit.json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if args.data is None:
            write_scenes(Path(scratch), args.images)
        result = measure(args.data or Path(scratch), args.workers)
    print(f"\n{result['images']} images, {args.workers} workers, load {result['load_average']:.1f}\n")
    print(f"{'':28} {'wall s':>8} {'CPU s':>8}")
    for name, row in result["rows"].items():
        print(f"{name:28} {row['wall_s']:8.2f} {row['cpu_s']:8.2f}")
    rates = (
        f"{result['wall_s_per_1000']:.0f} s by the clock, {result['cpu_s_per_1000']:.0f} s of processor time"
    )
    print(f"\n1,000 images: {rates}")
    args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
