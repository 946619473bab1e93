# SPDX-License-Identifier: Apache-2.0
"""The report of a long replay: what keeping its pictures costs while it runs, and what building the page takes.

    python benchmarks/report.py [--frames 10000] [--out report.json]

The frames are camera-like (several scales of noise under a sky, 960×540), with truth, a costmap of 200×200 cells and a
path of 0.2 m a frame, so that nothing is easier than in a drive. ``a frame`` is the time that the report adds to each
frame of a replay; ``page`` is the time from the last frame to the finished file.
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

import cv2
import numpy as np

from offroad_seg.ontology import Ontology, load_ontology
from offroad_seg.replay.bag import BagMessage
from offroad_seg.replay.evaluation import Evaluation
from offroad_seg.replay.frames import BagFrame
from offroad_seg.replay.gallery import Gallery
from offroad_seg.replay.records import FrameRecord
from offroad_seg.replay.report import write_report
from offroad_seg.transforms import Transform
from offroad_seg.types import Costmap, Frame, GridSpec, Perception, Segmentation

HEIGHT, WIDTH, SCENES = 540, 960, 8
CELLS, RESOLUTION = 200, 0.1
IDENTITY = {
    "mode": "offline",
    "seconds": 1.0,
    "frames_per_second": 1.0,
    "engine": {"backend": "none"},
    "settings": {},
    "environment": {"offroad_seg": "", "python": platform.python_version(), "machine": "", "system": ""},
    "bag": {"name": "long", "topics": {"image": "/image"}, "messages": 0, "losses": [], "notes": []},
    "bundle": {
        "name": "none",
        "ontology": "duality_desert",
        "input": "",
        "precision": "",
        "backend": "",
        "source": {},
        "files": {},
    },
}


def scene(ontology: Ontology, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Image, labels, confidence and costs that compress as those of a drive do."""
    rng = np.random.default_rng(seed)
    layers = [cv2.resize(rng.normal(0, 24, (n, 2 * n, 3)), (WIDTH, HEIGHT)) for n in (4, 16, 64, 270)]
    image = np.clip(130 + sum(layers), 0, 255).astype(np.uint8)
    smooth = cv2.resize(rng.random((30, 53)), (WIDTH, HEIGHT))
    labels = np.minimum(smooth * ontology.n_classes, ontology.n_classes - 1).astype(np.uint8)
    image[: HEIGHT // 3], labels[: HEIGHT // 3] = (220, 190, 160), ontology.n_classes - 1
    cost = cv2.resize(rng.uniform(-1.0, 100.0, (25, 25)), (CELLS, CELLS))
    return image, labels, (255 * smooth).astype(np.uint8), cost.astype(np.int8)


def drive(ontology: Ontology, frames: int) -> tuple[Evaluation, Gallery, float]:
    """The replay's own sums, the pictures, and the seconds that these took."""
    scenes = [scene(ontology, seed) for seed in range(SCENES)]
    world = np.tile(scenes[0][3], (6, 6))
    true_costmap = Costmap(world, GridSpec(*world.shape[::-1], RESOLUTION, -20.0, -20.0), "odom", 0)
    evaluation, gallery = Evaluation(ontology), Gallery(ontology, true_costmap, frames, "odom")
    rng, spent = np.random.default_rng(0), 0.0
    for number in range(frames):
        image, labels, confidence, cost = scenes[number % SCENES]
        stamp, x, y = number * 100_000_000, 0.2 * number, 30.0 * np.sin(number / 200)
        record = FrameRecord(
            number,
            "camera",
            stamp,
            mean_confidence=float(rng.random()),
            miou=float(rng.random()),
            pixels=[1] * (ontology.n_classes + 1),
            flicker=[1, 9],
            latency_ms={"total": 10.0 + float(rng.random())},
            costmap={"known_share": 0.4},
            pose=[x, y, 0.0],
        )
        row = evaluation.take(record)
        assert row is not None
        pose = Transform.from_rpy(0.0, 0.0, 0.0, (x, y, 0.0))
        message = BagMessage("/image", "", stamp, b"")
        frame = BagFrame(number, Frame(image, stamp, "camera"), message, None, pose, "", labels)
        grid = GridSpec(CELLS, CELLS, RESOLUTION, x - 10, y - 10)
        result = Segmentation(labels, confidence, stamp, "camera", 0.5)
        started = time.perf_counter()
        gallery.add(frame, Perception(result, None, Costmap(cost, grid, "odom", stamp)), row)
        spent += time.perf_counter() - started
    return evaluation, gallery, spent


def measure(frames: int) -> dict[str, object]:
    """Figures of one drive."""
    evaluation, gallery, spent = drive(load_ontology("duality_desert"), frames)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "report.html"
        started = time.perf_counter()
        write_report(path, evaluation.metrics() | IDENTITY, evaluation, gallery)
        page = time.perf_counter() - started
        size = path.stat().st_size
    return {
        "frames": frames,
        "a_frame_ms": 1000 * spent / frames,
        "page_s": page,
        "page_mb": size / 1e6,
        "pictures": len(gallery.pictures()),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "load_average": os.getloadavg()[0],
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/report.json"))
    args = parser.parse_args()
    found = measure(args.frames)
    print(
        f"\n{'frames':>8} {'a frame, ms':>12} {'page, s':>8} {'page, MB':>9} {'pictures':>9} {'peak, MB':>9}"
    )
    print(
        f"{found['frames']:8} {found['a_frame_ms']:12.3f} {found['page_s']:8.2f} {found['page_mb']:9.1f} "
        f"{found['pictures']:9} {found['peak_rss_mb']:9.0f}"
    )
    args.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
