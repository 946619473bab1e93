# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg sweep``: many short trainings of one recipe, towards its best settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from offroad_seg.cli.command import Command
from offroad_seg_train.commands.recipe_arguments import add_recipe_arguments

if TYPE_CHECKING:
    import argparse

_EXAMPLES = """ranges, for any setting of a recipe:
  optimizer.lr=log:1e-5:1e-2      between, evenly in the logarithm
  loss.dice=0:1                   between; low:high:step in steps
  model.backbone=[resnet18.tv_in1k,resnet34.tv_in1k]      one of these

examples:
  offroad-seg sweep --config tiny --data DIR --out runs/sweep --trials 20 optimizer.lr=log:1e-4:1e-2 loss.dice=0:1
  offroad-seg sweep --resume --trials 40 … (the other words as before)
  offroad-seg train --config runs/sweep/best.yaml --data DIR --out runs/best epochs=100
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_recipe_arguments(
        parser, settings_help="key=range for what is varied, key=value for what is not (epochs=10)"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder of the sweep (runs/NAME-sweep)")
    parser.add_argument("--trials", type=int, default=20, help="trials in the end, also after --resume (20)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--resume", action="store_true", help="go on with the sweep in DIR")
    how.add_argument("--overwrite", action="store_true", help="replace what is in DIR")


def run(args: argparse.Namespace) -> int:
    """Sweep, and print the best settings."""
    import logging

    from offroad_seg_train.commands.recipe_arguments import load_named_recipe
    from offroad_seg_train.training.sweep import sweep

    if not args.verbose:
        # A line for each trial, not for each epoch of each.
        logging.getLogger("offroad_seg_train").setLevel(logging.WARNING)
        logging.getLogger("offroad_seg_train.training.sweep").setLevel(logging.INFO)
    words, args.settings = args.settings, []
    config = load_named_recipe(args)
    out = args.out if args.out is not None else Path("runs") / f"{config.name}-sweep"
    found = sweep(config, words, out, trials=args.trials, resume=args.resume, overwrite=args.overwrite)
    print(f"{found.trials} trials: {out / 'trials.csv'}   plot: {out / 'sweep.png'}")
    if found.best_value is None:
        print("no trial reached its end")
        return 1
    settings = "  ".join(f"{key}={value}" for key, value in found.best_settings.items())
    print(f"best {config.monitor} {found.best_value:.4f}: {settings}")
    print(f"recipe: {out / 'best.yaml'}   checkpoint: {found.best_checkpoint}")
    return 0


COMMAND = Command("sweep", "search the best settings of a recipe", add_arguments, run, _EXAMPLES)
