# SPDX-License-Identifier: Apache-2.0
"""Accuracy under one small, equal budget: same images, steps, batch, size and precision; no pretrained weights.

    python benchmarks/protocols.py --protocol p1 --data FOLDER [--models desert resnet50_fpn] [--seeds 0 1 2]

``p1``: 62 frames of the Duality desert (50 to train on, 12 to validate on), ``p2``: 300 of YCOR (250 and 50), both
split by blocks of neighbouring frames, once for all seeds. ``p3``: synthetic frames from two folders of `offroad-seg
synth`, with worlds of their own; a run sees a draw of as many as its steps can hold, each once.

Every run is `offroad-seg train` with the recipe of its name, except for what ``EQUAL`` and ``FROM_RANDOM`` change. The
figure is ``miou`` of the last epoch at the network's size: nothing is chosen by the validation images. A run whose
result is in ``--runs`` is not done again, so that an interrupted table can be gone on with. ``--tuning`` keeps the
validation images out and splits the training images instead: for choosing among designs. ``--set key=value`` with
``--label NAME`` runs a variant.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from offroad_seg.resources import write_text
from offroad_seg_train.data.layouts import Pair, list_pairs
from offroad_seg_train.data.splits import split
from offroad_seg_train.models import build_model
from offroad_seg_train.training.recipe import load_recipe
from offroad_seg_train.training.run import train

HERE = Path(__file__).resolve().parent
MODELS = ("baseline_v1", "resnet50_fpn", "desert", "desert_small")
SPLIT_SEED = 0
FLOP_SIZE = (266, 476)
SHORTEST_EPOCH = 200  # images; a data set with fewer is gone through several times an epoch

# What all runs have in common, whatever their recipes say.
EQUAL = ["model.backbone_weights=none", "device=cpu"]
# Recipes for pretrained networks freeze stages, which would stay random here, and move the rest at a rate for fine
# tuning. Restarts every ten epochs mean something else where an epoch is 12 steps: one cosine over the run instead.
FROM_RANDOM = {
    "resnet50_fpn": ["model.frozen=[]", "schedule.name=cosine"],
    # Its SGD at 1e-4 would hardly move random weights in so few steps: it gets V3's optimiser.
    "baseline_v1": [
        "model.frozen=[]",
        "schedule.name=cosine",
        "optimizer.name=adamw",
        "optimizer.lr=5e-4",
        "optimizer.weight_decay=1e-4",
    ],
}


@dataclass(frozen=True)
class Protocol:
    """Where the images come from, and how many are held out."""

    title: str
    layout: str
    folder: str
    held_out: int


PROTOCOLS = {
    "p1": Protocol("Duality desert sample, 50 + 12 frames", "duality", "duality_sample", 12),
    "p2": Protocol("YCOR, 250 + 50 frames", "ycor", "ycor_small", 50),
    "p3": Protocol("synthetic desert, 2,000 + 300 frames", "duality", "", 300),
}


def link(pairs: list[Pair], layout: str, folder: Path, passes: int = 1) -> Path:
    """A data folder of links to some frames, each under as many names as an epoch has passes."""
    for k, pair in itertools.product(range(passes), pairs):
        name = f"{pair.name}_{k}" if passes > 1 else pair.name
        if layout == "ycor":
            targets = [folder / name / "rgb.jpg", folder / name / "labels.png"]
        else:
            targets = [folder / "Color_Images" / f"{name}.png", folder / "Segmentation" / f"{name}.png"]
        for target, source in zip(targets, (pair.image, pair.mask), strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.is_symlink():
                target.symlink_to(source.resolve())
    return folder


def halve(pairs: list[Pair], held_out: int) -> tuple[list[Pair], list[Pair]]:
    """Frames to train on and frames held out, by blocks."""
    chosen = split([p.name for p in pairs], held_out / len(pairs), "blocks", SPLIT_SEED)
    return [pairs[i] for i in chosen.train], [pairs[i] for i in chosen.val]


def prepare(args: argparse.Namespace, seed: int) -> tuple[Path, Path]:
    """Folders of links to the images to train on and to validate on."""
    protocol, base = PROTOCOLS[args.protocol], args.runs / "data" / args.protocol
    if args.protocol == "p3":
        training = list_pairs("duality", args.data / "train")
        drawn = np.random.default_rng(seed).permutation(len(training))[: args.steps * args.batch]
        training = [training[i] for i in sorted(drawn)]
        name = f"train-{seed}-{len(training)}"
        validation = list_pairs("duality", args.data / "val")[: protocol.held_out]
        if args.tuning:
            training, validation = halve(training, len(training) // 6)
            name = f"tuning-{name}"
    else:
        name = "train"
        everything = list_pairs(protocol.layout, args.data / protocol.folder)
        training, validation = halve(everything, protocol.held_out)
        if args.tuning:
            name = "tuning-train"
            training, validation = halve(training, len(training) // 5)
    val = "tuning-val" if args.tuning else "val"
    # Validating and writing checkpoints after every twelfth step would take a third of the time.
    passes = max(1, SHORTEST_EPOCH // len(training))
    name = f"{name}-{passes}"
    return link(training, protocol.layout, base / name, passes), link(validation, protocol.layout, base / val)


def cost(name: str, overrides: list[str], n_classes: int) -> dict[str, float]:
    """Parameters, and operations of one image (a multiply-add is two)."""
    model = build_model(load_recipe(name, overrides).model, n_classes).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, *FLOP_SIZE))
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "gflop_266x476": counter.get_total_flops() / 1e9,
    }


def run_one(args: argparse.Namespace, model: str, label: str, seed: int) -> dict[str, Any]:
    """Train one network once, or read what an earlier call found."""
    home = args.runs / ("tuning" if args.tuning else "final") / args.protocol / f"{label}-{seed}"
    done = home.with_suffix(".json")
    if done.exists():
        return json.loads(done.read_text())
    training, validation = prepare(args, seed)
    frames = len(list_pairs(PROTOCOLS[args.protocol].layout, training))
    per_epoch = max(1, frames // args.batch)
    epochs = max(1, round(args.steps / per_epoch))
    overrides = [
        *EQUAL,
        *FROM_RANDOM.get(model, []),
        f"data.height={args.height}",
        f"data.width={args.width}",
        f"data.val_root={validation}",
        f"batch_size={args.batch}",
        f"epochs={epochs}",
        f"precision={args.precision}",
        f"seed={seed}",
        *args.set,
    ]
    if load_recipe(model, overrides[:2]).schedule.warmup_epochs:
        # Of a recipe that warms up, the same part of the run: a twentieth.
        overrides.insert(0, f"schedule.warmup_epochs={epochs / 20}")
    config = load_recipe(model, overrides, data=training)
    print(f"{args.protocol} {label} seed {seed}: {epochs} epochs of {per_epoch} steps", flush=True)
    started, cpu = time.perf_counter(), time.process_time()
    result = train(config, home, overwrite=True)
    last = result.rows[-1]["val"]
    report = {
        "protocol": args.protocol,
        "model": model,
        "label": label,
        "seed": seed,
        "settings": args.set,
        "steps": epochs * per_epoch,
        "epochs": epochs,
        "batch": args.batch,
        "height": args.height,
        "width": args.width,
        "precision": args.precision,
        "training_images": frames,
        "miou": last["miou"],
        "miou_present": last.get("miou_present"),
        "pixel_accuracy": last["pixel_accuracy"],
        "best_epoch_miou": max(row["val"]["miou"] or 0.0 for row in result.rows),
        "val": last,
        "by_epoch": [row["val"]["miou"] for row in result.rows],
        "wall_s": round(time.perf_counter() - started, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "commit": commit(),
        "config": asdict(config),
        **cost(model, [*EQUAL, *FROM_RANDOM.get(model, []), *args.set], 10),
    }
    # Where the data lie is this machine's affair.
    for key in ("root", "val_root"):
        report["config"]["data"][key] = None
    write_text(done, json.dumps(report, indent=1) + "\n")
    print(
        f"{args.protocol} {label} seed {seed}: miou {last['miou']:.4f}, {report['wall_s']:.0f} s", flush=True
    )
    return report


def commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, stdout=subprocess.PIPE, text=True, check=False
    )
    return done.stdout.strip()


def machine() -> dict[str, Any]:
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def print_table(reports: list[dict[str, Any]]) -> None:
    """One line a network: mean ± standard deviation over its seeds, and against V3."""
    by_label: dict[str, list[dict[str, Any]]] = {}
    for report in reports:
        by_label.setdefault(report["label"], []).append(report)
    v3 = [r["miou"] for r in by_label.get("resnet50_fpn", [])]
    print("\n| model | parameters | GFLOP | mIoU | best epoch | accuracy | / V3 | seeds | CPU s a run |")
    print("|---|---|---|---|---|---|---|---|---|")
    for label, runs in by_label.items():
        miou = [r["miou"] for r in runs]
        ratio = f"{statistics.mean(miou) / statistics.mean(v3):.2f}" if v3 else ""
        print(
            f"| {label} | {runs[0]['parameters'] / 1e6:.2f} M | {runs[0]['gflop_266x476']:.2f} "
            f"| {spread(miou)} | {spread([r['best_epoch_miou'] for r in runs])} "
            f"| {spread([r['pixel_accuracy'] for r in runs])} | {ratio} | {len(runs)} "
            f"| {statistics.mean(r['cpu_s'] for r in runs):.0f} |"
        )


def spread(values: list[float]) -> str:
    """Mean ± sample standard deviation."""
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--protocol", choices=PROTOCOLS, required=True)
    parser.add_argument(
        "--data", type=Path, required=True, help="the folder of the data sets; of p3, the one of train/, val/"
    )
    parser.add_argument("--models", nargs="*", default=list(MODELS), help="recipes; none: only the table")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--height", type=int, default=112)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--threads", type=int, default=0, help="0: torch chooses")
    parser.add_argument("--tuning", action="store_true", help="validate on a part of the training images")
    parser.add_argument("--set", nargs="*", default=[], metavar="key=value", help="settings of a variant")
    parser.add_argument("--label", help="name of a variant")
    parser.add_argument("--runs", type=Path, default=Path("runs/protocols"), help="where runs are kept")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of protocol_*.json")
    args = parser.parse_args()
    args.runs = args.runs.resolve()
    if args.threads:
        torch.set_num_threads(args.threads)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for model in args.models:
        for seed in args.seeds:
            run_one(args, model, args.label or model, seed)
    kind = "tuning" if args.tuning else "final"
    found = sorted((args.runs / kind / args.protocol).glob("*.json"))
    reports = [json.loads(path.read_text()) for path in found]
    print_table(reports)
    if not args.tuning:
        # Networks of the table and their variants, from all calls so far.
        table = {"protocol": PROTOCOLS[args.protocol].title, **machine(), "runs": reports}
        write_text(args.out / f"protocol_{args.protocol}.json", json.dumps(table, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
