# SPDX-License-Identifier: Apache-2.0
"""What each kind of augmentation costs, and how many images a second the loader gives.

    python benchmarks/augment.py [--frames 240] [--out benchmarks/results/augment.json]

The first table is one thread: milliseconds that each effect adds to a picture of the network's size, cut from a
frame in memory, with its probability at one and its amounts as ``EFFECTS`` says. The second is the loader of the
trainer, with batches as the network would get them: frames decoded anew each epoch or kept in memory, for so many
worker processes. Frames are noise smoothed until its PNG is as large as that of a photograph; what decoding costs
depends on that.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from offroad_seg.image import Letterbox
from offroad_seg.ontology import load_ontology
from offroad_seg.resources import write_text
from offroad_seg_train.data.augment import Augment
from offroad_seg_train.data.augment.config import AugmentConfig
from offroad_seg_train.training.loading import build_training_loader
from offroad_seg_train.training.opening import open_data
from offroad_seg_train.training.recipe import load_recipe

FILE = (540, 960)
NETWORK = (266, 476)
EFFECTS: dict[str, dict[str, float]] = {
    "flip": {"flip": 1},
    "scale and crop": {"scale_min": 0.75, "scale_max": 2},
    "rotation": {"rotation": 15},
    "perspective": {"perspective": 0.2},
    "brightness, contrast, saturation": {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3},
    "hue": {"hue": 0.02},
    "gamma": {"gamma": 0.3},
    "shadow": {"shadow": 1},
    "dust": {"dust": 1},
    "glare": {"glare": 1},
    "motion blur": {"motion_blur": 1},
    "defocus": {"blur": 1},
    "noise": {"noise": 1},
    "JPEG": {"jpeg": 1},
    "CutMix": {"cutmix": 1},
    "ClassMix": {"classmix": 1},
}
LIGHT = ["flip=0.5", "brightness=0.2", "contrast=0.2", "saturation=0.2"]
FULL = [
    *LIGHT,
    *("rotation=5", "scale_min=0.75", "scale_max=2", "gamma=0.2", "shadow=0.3", "dust=0.1", "glare=0.1"),
    *("motion_blur=0.1", "blur=0.1", "noise=0.2", "jpeg=0.2", "cutmix=0.2", "classmix=0.2"),
]
RECIPES = {
    "letterbox only": [],
    "light": [f"augment.{s}" for s in LIGHT],
    "full": [f"augment.{s}" for s in FULL],
    "full, native detail, rare classes": [
        *(f"augment.{s}" for s in FULL),
        *("data.source_scale=2", "sampling.exponent=0.5", "sampling.rare_crop=0.5"),
    ],
}


def frame(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """uint8 RGB (540, 960, 3), about 0.8 MB as PNG, and ids of ten classes in blobs (540, 960)."""
    noise = cv2.GaussianBlur(rng.integers(0, 256, (*FILE, 3), np.uint8), (0, 0), 1.2)
    image_HWC = cv2.convertScaleAbs(noise, alpha=1.5, beta=-60)
    heights = cv2.GaussianBlur(rng.random(FILE, np.float32), (0, 0), 15)
    order = np.argsort(np.argsort(heights.ravel()))
    return image_HWC, (order * 10 // order.size).reshape(FILE).astype(np.uint8)


def cost_of_effects(repeats: int) -> dict[str, float]:
    """Milliseconds that each effect adds to the plain picture."""
    rng = np.random.default_rng(0)
    one, other = frame(rng), frame(rng)
    letterbox = Letterbox(*NETWORK)

    def milliseconds(settings: dict[str, float]) -> float:
        augment = Augment(AugmentConfig(**settings), letterbox)
        spent = []
        for k in range(repeats):
            draw = np.random.default_rng(k)
            started = time.perf_counter()
            augment(*one, draw, lambda _: other)
            spent.append(time.perf_counter() - started)
        return statistics.mean(sorted(spent)[: max(1, repeats * 9 // 10)]) * 1e3

    milliseconds({})
    plain = milliseconds({})
    return {"plain": plain, **{name: milliseconds(s) - plain for name, s in EFFECTS.items()}}


def write_frames(root: Path, n: int) -> None:
    """Pictures and masks in the Duality layout."""
    rng = np.random.default_rng(1)
    raw = np.array([c.raw[0] for c in load_ontology("duality_desert").classes], np.uint16)
    for folder in ("Color_Images", "Segmentation"):
        (root / folder).mkdir(parents=True)
    for k in range(n):
        image_HWC, ids_HW = frame(rng)
        cv2.imwrite(str(root / "Color_Images" / f"{k:04d}.png"), image_HWC)
        cv2.imwrite(str(root / "Segmentation" / f"{k:04d}.png"), raw[ids_HW])


def speed_of_loader(root: Path, settings: list[str], cache: str, workers: int) -> float:
    """Images a second over one epoch, after one that fills the cache and starts the workers."""
    words = ["model.backbone_weights=none", f"data.cache={cache}", f"data.workers={workers}", "batch_size=8"]
    config = load_recipe("resnet50_fpn", [*words, f"data.val_root={root}", *settings], data=root)
    ontology, _, frames, _ = open_data(replace(config.data), config.seed, show=False)
    loader = build_training_loader(frames, config, ontology.n_classes, show=False)
    images, started = 0, 0.0
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        images, started = 0, time.perf_counter()
        for batch in loader:
            images += len(batch["name"])
    return images / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--repeats", type=int, default=100, help="pictures for the cost of an effect")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, os.cpu_count() or 1])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/augment.json"))
    args = parser.parse_args()
    cv2.setNumThreads(1)
    costs = cost_of_effects(args.repeats)
    for name, ms in costs.items():
        print(f"{name:<34} {ms:6.2f} ms")
    speeds: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_frames(Path(folder) / "frames", args.frames)
        for cache in ("none", "memory"):
            for name, settings in RECIPES.items():
                for workers in args.workers:
                    key = f"{cache}, {name}, {workers} workers"
                    speeds[key] = speed_of_loader(Path(folder) / "frames", settings, cache, workers)
                    print(f"{key:<60} {speeds[key]:7.0f} images/s", flush=True)
    content = {
        "file": FILE,
        "network": NETWORK,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "milliseconds": costs,
        "images_per_second": speeds,
    }
    write_text(args.out, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
