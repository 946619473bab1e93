# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg demo``: the whole chain on this machine, each step by the command that a user would type."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.cli.command import Command
from offroad_seg.errors import OffroadSegError

if TYPE_CHECKING:
    import argparse

TRAIN_IMAGES = 480
HELD_OUT_IMAGES = 48
BAG_SECONDS = 15
BAG_RATE_HZ = 6
# Worlds are drawn from the seed: three different ones keep training, test and drive apart.
TRAIN_SEED, HELD_OUT_SEED, DRIVE_SEED = 1, 100_001, 200_001
NETWORK_HEIGHT, NETWORK_WIDTH = 144, 256


@dataclass(frozen=True)
class Step:
    """One step: what it does, in words, and the command line after ``offroad-seg``."""

    title: str
    arguments: list[str]


def steps(out: Path, *, seconds: float, images: int, held_out: int, epochs: int | None) -> list[Step]:
    """The commands of the demo, in order."""
    train, unseen, run = out / "train", out / "held_out", out / "run"
    bag, portable, engine = out / "bag", out / "bundle_portable", out / "bundle"
    size = [f"data.height={NETWORK_HEIGHT}", f"data.width={NETWORK_WIDTH}"]
    budget = [] if epochs is None else [f"epochs={epochs}"]
    return [
        Step(
            "Drive through a synthetic desert and render what the camera sees",
            ["synth", "--out", str(train), "--images", str(images), "--seed", str(TRAIN_SEED)],
        ),
        Step(
            "Render other worlds: frames to test on, and a drive as a bag",
            [
                *(
                    "synth",
                    "--out",
                    str(unseen),
                    "--images",
                    str(held_out),
                    "--seed",
                    str(HELD_OUT_SEED),
                ),
                *("--bag", str(bag), "--seconds", f"{seconds:g}", "--rate", str(BAG_RATE_HZ)),
                *("--bag-seed", str(DRIVE_SEED)),
            ],
        ),
        Step(
            "Train the tiny network",
            ["train", "--config", "tiny", "--data", str(train), "--out", str(run), *size, *budget],
        ),
        Step(
            "Export it to a portable bundle, and show that it answers as the checkpoint does",
            [
                *("export", str(run / "checkpoints" / "best.ckpt"), "--out", str(portable)),
                *("--height", str(NETWORK_HEIGHT), "--width", str(NETWORK_WIDTH)),
                *("--images", str(unseen / "Color_Images")),
            ],
        ),
        Step(
            "Compile it for this machine",
            [
                *(
                    "compile",
                    str(portable),
                    "--backend",
                    "onnxruntime",
                    "--precision",
                    "fp32",
                    "--out",
                    str(engine),
                ),
                *("--images", str(unseen / "Color_Images")),
            ],
        ),
        Step(
            "Measure it on worlds that it has not seen",
            [
                "evaluate",
                str(engine),
                "--data",
                str(unseen),
                "--split",
                "all",
                "--out",
                str(out / "evaluation"),
            ],
        ),
        Step(
            "Play the bag over DDS into the real node, which maps by depth, record its answers, and write the report",
            [
                *("replay", str(engine), str(bag), "--via-ros", "--out", str(out / "replay")),
                *("--param", "projection=depth"),
            ],
        ),
    ]


def run_step(step: Step, number: int, total: int) -> float:
    """Run one step and return its seconds.

    Raises:
        OffroadSegError: The command failed; its own words stand above.
    """
    command = shlex.join(["offroad-seg", *step.arguments])
    print(f"\n[{number}/{total}] {step.title}\n  $ {command}", flush=True)
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "offroad_seg.cli.main", *step.arguments], check=False)
    if done.returncode != 0:
        raise OffroadSegError(
            f"the step failed with exit status {done.returncode}",
            where=command,
            mend="read the error above; `offroad-seg doctor` says what is missing on this machine",
        )
    return time.perf_counter() - start


def summary(out: Path, seconds: list[float]) -> str:
    """The figures of the demo as a few lines of text."""
    unseen = _read(out / "evaluation" / "metrics.json")
    drive = _read(out / "replay" / "metrics.json")
    costmap = drive.get("costmap", {})
    total_p50 = drive.get("latency_ms", {}).get("total", {}).get("p50")
    rows = [
        (
            "mIoU, unseen frames",
            unseen.get("miou_present"),
            f"{unseen.get('n_classes_present')} classes present",
        ),
        ("pixel accuracy, unseen frames", unseen.get("pixel_accuracy"), f"{unseen.get('images')} images"),
        (
            "mIoU, the drive",
            drive.get("miou_present"),
            f"{drive.get('frames')} frames through the node over DDS",
        ),
        ("costmap: free cells that are free", costmap.get("free_precision"), "against the world's true grid"),
        ("costmap: lethal cells found", costmap.get("lethal_recall"), "of those that it knows, to 0.3 m"),
        ("costmap: lethal cells called free", costmap.get("lethal_as_free"), "of those that it knows"),
        ("milliseconds a frame, p50", total_p50, "in the node"),
    ]
    lines = [f"  {name:<36}{_figure(value):>9}  {note}" for name, value, note in rows]
    return "\n".join(
        [
            f"Done in {sum(seconds) / 60:.1f} minutes.",
            *lines,
            f"  report   {(out / 'report.html').resolve()}",
            f"  metrics  {(out / 'metrics.json').resolve()}",
            f"  bundle   {(out / 'bundle').resolve()}",
            f"  bag      {(out / 'bag').resolve()}",
        ]
    )


def run(args: argparse.Namespace) -> int:
    """Run every step; stop at the first that fails."""
    from offroad_seg import resources

    out = resources.prepare_output(Path(args.out), overwrite=args.overwrite)
    plan = steps(out, seconds=args.seconds, images=args.images, held_out=args.held_out, epochs=args.epochs)
    taken = [run_step(step, i, len(plan)) for i, step in enumerate(plan, start=1)]
    for name in ("report.html", "metrics.json"):
        shutil.copyfile(out / "replay" / name, out / name)
    print("\n" + summary(out, taken))
    return 0


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", default="demo-out", help="folder for everything that the demo makes (demo-out)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the folder where it is not empty")
    parser.add_argument(
        "--images", type=int, default=TRAIN_IMAGES, help=f"training images to render ({TRAIN_IMAGES})"
    )
    parser.add_argument(
        "--held-out", type=int, default=HELD_OUT_IMAGES, help=f"images to measure on ({HELD_OUT_IMAGES})"
    )
    parser.add_argument(
        "--seconds", type=float, default=BAG_SECONDS, help=f"length of the drive, s ({BAG_SECONDS})"
    )
    parser.add_argument("--epochs", type=int, default=None, help="training epochs (the recipe's)")


def _read(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def _figure(value: object) -> str:
    return "–" if not isinstance(value, (int, float)) else f"{value:.3f}"


COMMAND = Command(
    name="demo",
    help="the whole chain, end to end, on a CPU: synthetic desert → train → compile → node over DDS → report",
    add_arguments=_add_arguments,
    run=run,
    epilog="example:\n  offroad-seg demo --out demo-out",
)
