# SPDX-License-Identifier: Apache-2.0
"""Training speed of V3: this trainer against a plain loop, in images a second.

    python benchmarks/train.py [--device cpu] [--steps 20] [--out benchmarks/results/train.json]

Both train the same network on the same labelled pictures in memory, with the loss, optimiser and batch of the recipe.
The plain loop is what one would write by hand after the model's description: normalise on the host, forward, loss,
backward, step, and the batch's IoU in numpy. The trainer's row has its whole way: loader, seeded order, on-device
normalisation and confusion matrix, Lightning's hooks. Both have random weights: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
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
    from offroad_seg_train.training.config import TrainConfig


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


def read_pictures(root: Path) -> tuple[np.ndarray, np.ndarray]:
    """All pictures of ``write_pictures``: uint8 (N, H, W, 3) RGB and uint8 ids (N, H, W)."""
    ontology = load_ontology("duality_desert")
    names = sorted(p.name for p in (root / "Color_Images").iterdir())
    images = [cv2.imread(str(root / "Color_Images" / name))[..., ::-1] for name in names]
    masks = [
        ontology.encode(cv2.imread(str(root / "Segmentation" / name), cv2.IMREAD_UNCHANGED)) for name in names
    ]
    return np.stack(images), np.stack(masks)


def plain_loop(config: TrainConfig, root: Path, steps: int, warmup: int, device: str) -> float:
    """Images a second of a loop written by hand."""
    images_NHWC, labels_NHW = read_pictures(root)
    n_classes = load_ontology("duality_desert").n_classes
    model = build_model(config.model, n_classes).to(device).train()
    loss_function = SegmentationLoss(config.loss, torch.ones(n_classes)).to(device)
    optimizer = build_optimizer(config.optimizer, model)
    rng = np.random.default_rng(0)
    started = 0.0
    for step in range(warmup + steps):
        if step == warmup:
            synchronize(device)
            started = time.perf_counter()
        chosen = rng.choice(len(images_NHWC), config.batch_size, replace=False)
        normal = (images_NHWC[chosen].astype(np.float32) / 255 - IMAGENET_MEAN) / IMAGENET_STD
        x_BCHW = torch.from_numpy(normal.astype(np.float32).transpose(0, 3, 1, 2).copy()).to(device)
        labels_BHW = torch.from_numpy(labels_NHW[chosen].astype(np.int64)).to(device)
        logits_BCHW = model(x_BCHW)
        loss = loss_function(logits_BCHW, labels_BHW)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        batch_iou(logits_BCHW.argmax(1).cpu().numpy(), labels_BHW.cpu().numpy(), n_classes)
        float(loss.detach())
    synchronize(device)
    return steps * config.batch_size / (time.perf_counter() - started)


def batch_iou(predicted: np.ndarray, truth: np.ndarray, n_classes: int) -> float:
    """Class by class, as such scripts do."""
    values = []
    for c in range(n_classes):
        union = np.logical_or(predicted == c, truth == c).sum()
        if union:
            values.append(np.logical_and(predicted == c, truth == c).sum() / union)
    return float(np.mean(values))


def our_trainer(config: TrainConfig, root: Path, run: Path) -> float:
    """Images a second of the last epoch of ``offroad-seg train``, without validation, checkpoints and curves.

    The first epoch warms up. The recorder's clock covers validation, which is one batch here, and stops before files
    are written.
    """
    result = train(config, run, show=False)
    trained = len(list((root / "Color_Images").iterdir()))
    return trained / result.rows[-1]["seconds"]


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--steps", type=int, default=20, help="measured steps of the batch size")
    parser.add_argument("--recipe", default="resnet50_fpn")
    parser.add_argument(
        "--precision", nargs="+", default=["32-true"], help="of our trainer; the plain loop has 32-true"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/train.json"))
    args = parser.parse_args()

    config = load_recipe(args.recipe, ["model.backbone_weights=none", "epochs=2", f"device={args.device}"])
    height, width = config.data.height, config.data.width
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_pictures(root / "train", args.steps * config.batch_size, height, width)
        write_pictures(root / "val", 1, height, width)
        data = replace(config.data, root=str(root / "train"), val_root=str(root / "val"))
        rows.append(("plain loop, 32-true", plain_loop(config, root / "train", args.steps, 3, args.device)))
        for precision in args.precision:
            speed = our_trainer(
                replace(config, data=data, precision=precision), root / "train", root / f"run-{precision}"
            )
            rows.append((f"offroad-seg train, {precision}", speed))

    where = (
        torch.cuda.get_device_name() if args.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    )
    print(f"{args.recipe} {height}×{width}, batch {config.batch_size}, {where}")
    for name, speed in rows:
        print(f"{name:<34} {speed:8.2f} images/s  {speed / rows[0][1]:5.2f}×")
    report = {
        "recipe": args.recipe,
        "height": height,
        "width": width,
        "batch_size": config.batch_size,
        "device": where,
        "machine": platform.machine(),
        "torch": torch.__version__,
        "images_per_second": dict(rows),
    }
    write_text(args.out, json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
