# SPDX-License-Identifier: Apache-2.0
"""Training speed and memory of a recipe: this trainer against a plain loop, in images a second and peak MiB.

    python benchmarks/train.py [--device cpu] [--steps 10] [--repeats 3] [--out benchmarks/results/train.json]

All train the same network on the same labelled pictures, with the loss, optimiser and batch of the recipe (V3's) and
random weights, on which speed does not depend. The plain loop is what one would write by hand after the model's
description: normalise on the host, forward, loss, backward, step, and the batch's IoU class by class in numpy. Its
pictures lie in memory, or (``plain, files``) are decoded by it as they come. The trainer's rows have its whole way:
loader, seeded order, on-device normalisation and confusion matrix, Lightning's hooks, TensorBoard.

Each row is a process of its own, so that its peak memory is its own; rows take turns, so that what else the machine
does falls on all of them. The figure is the median over ``--repeats``. Beside the clock stands processor time, which
other work on the same cores hardly changes; with one thread (OMP_NUM_THREADS=1) it is a fair measure on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import lightning.pytorch as lightning
import numpy as np
import torch

from offroad_seg.image import IMAGENET_MEAN, IMAGENET_STD
from offroad_seg.ontology import load_ontology
from offroad_seg.resources import write_text
from offroad_seg_train.losses import SegmentationLoss
from offroad_seg_train.models import build_model
from offroad_seg_train.training.optim import build_optimizer
from offroad_seg_train.training.recipe import load_recipe
from offroad_seg_train.training.run import train

if TYPE_CHECKING:
    from collections.abc import Callable

    from offroad_seg_train.training.config import TrainConfig

    Batch = tuple[np.ndarray, np.ndarray]

PLAIN, FILES = "plain", "plain, files"
WARM_UP = 3


def write_pictures(root: Path, n: int, height: int, width: int) -> None:
    """Noise with labels in blocks, in the Duality layout."""
    rng = np.random.default_rng(0)
    raw = np.array([c.raw[0] for c in load_ontology("duality_desert").classes], np.uint16)
    for folder in ("Color_Images", "Segmentation"):
        (root / folder).mkdir(parents=True)
    for i in range(n):
        ids = np.kron(rng.integers(0, len(raw), (8, 8)), np.ones((height // 8 + 1, width // 8 + 1), np.int64))
        cv2.imwrite(str(root / "Segmentation" / f"{i:04d}.png"), raw[ids[:height, :width]])
        cv2.imwrite(
            str(root / "Color_Images" / f"{i:04d}.png"), rng.integers(0, 256, (height, width, 3), np.uint8)
        )


def read_pictures(root: Path, names: list[str]) -> Batch:
    """uint8 (N, H, W, 3) RGB and uint8 ids (N, H, W)."""
    ontology = load_ontology("duality_desert")
    images = [cv2.imread(str(root / "Color_Images" / name))[..., ::-1] for name in names]
    masks = [
        ontology.encode(cv2.imread(str(root / "Segmentation" / name), cv2.IMREAD_UNCHANGED)) for name in names
    ]
    return np.stack(images), np.stack(masks)


class Clock:
    """Images a second and processor seconds an image."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.start()

    def start(self) -> None:
        """Begin to count."""
        synchronize(self.device)
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def stop(self, images: int) -> dict[str, float]:
        """The figures of so many images since the start."""
        synchronize(self.device)
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        return {"images_per_second": images / wall, "processor_seconds_per_image": cpu / images}


def plain_loop(config: TrainConfig, root: Path, steps: int, device: str, *, files: bool) -> dict[str, float]:
    """A loop written by hand."""
    names = sorted(p.name for p in (root / "Color_Images").iterdir())
    fetch: Callable[[np.ndarray], Batch]
    if files:
        fetch = lambda chosen: read_pictures(root, [names[i] for i in chosen])  # noqa: E731
    else:
        images_NHWC, labels_NHW = read_pictures(root, names)
        fetch = lambda chosen: (images_NHWC[chosen], labels_NHW[chosen])  # noqa: E731
    n_classes = load_ontology("duality_desert").n_classes
    model = build_model(config.model, n_classes).to(device).train()
    loss_function = SegmentationLoss(config.loss, torch.ones(n_classes)).to(device)
    optimizer = build_optimizer(config.optimizer, model, fused=False)
    rng = np.random.default_rng(0)
    clock = Clock(device)
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            clock.start()
        images_BHWC, ids_BHW = fetch(rng.choice(len(names), config.batch_size, replace=False))
        normal = (images_BHWC.astype(np.float32) / 255 - IMAGENET_MEAN) / IMAGENET_STD
        x_BCHW = torch.from_numpy(normal.astype(np.float32).transpose(0, 3, 1, 2).copy()).to(device)
        labels_BHW = torch.from_numpy(ids_BHW.astype(np.int64)).to(device)
        logits_BCHW = model(x_BCHW)
        loss = loss_function(logits_BCHW, labels_BHW)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        batch_iou(logits_BCHW.argmax(1).cpu().numpy(), labels_BHW.cpu().numpy(), n_classes)
        float(loss.detach())
    return clock.stop(steps * config.batch_size)


def batch_iou(predicted: np.ndarray, truth: np.ndarray, n_classes: int) -> float:
    """Class by class, as such scripts do."""
    values = []
    for c in range(n_classes):
        union = np.logical_or(predicted == c, truth == c).sum()
        if union:
            values.append(np.logical_and(predicted == c, truth == c).sum() / union)
    return float(np.mean(values))


class EpochClock(lightning.Callback):
    """Times the steps of the last epoch; the epochs before warm up."""

    def __init__(self, images: int, device: str) -> None:
        self.images, self.clock = images, Clock(device)
        self.found: dict[str, float] = {}

    def on_train_epoch_start(self, *_: Any) -> None:
        """Begin to count."""
        self.clock.start()

    def on_validation_start(self, *_: Any) -> None:
        """The steps are done."""
        self.found = self.clock.stop(self.images)


def our_trainer(config: TrainConfig, root: Path) -> dict[str, float]:
    """An epoch of ``offroad-seg train``, without its validation and the files that it writes."""
    data = replace(config.data, root=str(root / "train"), val_root=str(root / "val"))
    clock = EpochClock(len(list((root / "train" / "Color_Images").iterdir())), config.device)
    with tempfile.TemporaryDirectory() as run:
        train(replace(config, data=data), Path(run) / "run", show=False, callbacks=[clock])
    return clock.found


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def recipe(args: argparse.Namespace, *settings: str) -> TrainConfig:
    words = ["model.backbone_weights=none", "epochs=2", "schedule.warmup_epochs=0", f"device={args.device}"]
    return load_recipe(args.recipe, [*words, *args.settings, *settings])


def run_row(args: argparse.Namespace) -> dict[str, float]:
    """One row, in this process."""
    if args.row in (PLAIN, FILES):
        found = plain_loop(
            recipe(args), args.pictures / "train", args.steps, args.device, files=args.row == FILES
        )
    else:
        found = our_trainer(recipe(args, *args.row.split()[1:]), args.pictures)
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gpu = torch.cuda.max_memory_allocated() / 2**20 if args.device == "cuda" else 0.0
    return {**found, "peak_host_mib": kib / 1024, "peak_gpu_mib": gpu}


def measure(args: argparse.Namespace, row: str, pictures: Path) -> dict[str, float]:
    """One row, in a process of its own."""
    words = [sys.executable, __file__, "--row", row, "--pictures", str(pictures), "--recipe", args.recipe]
    words += ["--device", args.device, "--steps", str(args.steps), *args.settings]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--steps", type=int, default=10, help="measured steps of the batch size")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--recipe", default="resnet50_fpn")
    parser.add_argument(
        "--trainer",
        nargs="+",
        default=["precision=32-true", "precision=bf16-mixed"],
        metavar="SETTINGS",
        help="one row each, such as 'precision=16-mixed compile=true'",
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/train.json"))
    parser.add_argument("--row", help=argparse.SUPPRESS)
    parser.add_argument("--pictures", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("settings", nargs="*", metavar="key=value", help="of the recipe, for all rows")
    args = parser.parse_args()
    if args.row:
        print(json.dumps(run_row(args)))
        return

    config = recipe(args)
    height, width = config.data.height, config.data.width
    rows = [PLAIN, FILES, *(f"trainer {settings}" for settings in args.trainer)]
    found: dict[str, list[dict[str, float]]] = {row: [] for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder)
        write_pictures(pictures / "train", args.steps * config.batch_size, height, width)
        write_pictures(pictures / "val", 1, height, width)
        for _ in range(args.repeats):
            for row in rows:
                found[row].append(measure(args, row, pictures))
    report(args, config, found)


def report(args: argparse.Namespace, config: TrainConfig, found: dict[str, list[dict[str, float]]]) -> None:
    where = (
        torch.cuda.get_device_name() if args.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    )
    height, width = config.data.height, config.data.width
    print(f"{args.recipe} {height}×{width}, batch {config.batch_size}, {where}")
    table: dict[str, Any] = {}
    for row, repeats in found.items():
        table[row] = {key: statistics.median(r[key] for r in repeats) for key in repeats[0]}
        speeds = [r["images_per_second"] for r in repeats]
        speed, base = table[row]["images_per_second"], table[PLAIN]["images_per_second"]
        cpu, base_cpu = (table[name]["processor_seconds_per_image"] for name in (row, PLAIN))
        memory = table[row]["peak_gpu_mib"] or table[row]["peak_host_mib"]
        print(
            f"{row:<32} {speed:8.2f} images/s ({min(speeds):.2f}–{max(speeds):.2f}) {speed / base:5.2f}×"
            f"   {cpu:6.3f} processor s/image {base_cpu / cpu:5.2f}×   {memory:7.0f} MiB"
        )
    content = {
        "recipe": args.recipe,
        "settings": args.settings,
        "height": height,
        "width": width,
        "batch_size": config.batch_size,
        "device": where,
        "machine": platform.machine(),
        "torch": torch.__version__,
        "repeats": args.repeats,
        "rows": table,
    }
    write_text(args.out, json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
