# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg sweep``: many short trainings of one recipe, towards its best settings."""

from __future__ import annotations

import logging
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from offroad_seg.cli.command import Command
from offroad_seg_train.commands.recipe_arguments import add_recipe_arguments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

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
    from offroad_seg_train.commands.recipe_arguments import load_named_recipe
    from offroad_seg_train.training.sweep import sweep

    words, args.settings = args.settings, []
    config = load_named_recipe(args)
    out = args.out if args.out is not None else Path("runs") / f"{config.name}-sweep"
    with nullcontext() if args.verbose else _a_line_for_each_trial():
        found = sweep(config, words, out, trials=args.trials, resume=args.resume, overwrite=args.overwrite)
    print(f"{found.trials} trials: {out / 'trials.csv'}   plot: {out / 'sweep.png'}")
    if found.best_value is None:
        print("no trial reached its end")
        return 1
    settings = "  ".join(f"{key}={value}" for key, value in found.best_settings.items())
    print(f"best {config.monitor} {found.best_value:.4f}: {settings}")
    print(f"recipe: {out / 'best.yaml'}   checkpoint: {found.best_checkpoint}")
    return 0


@contextmanager
def _a_line_for_each_trial() -> Iterator[None]:
    """Keep the trainings from a line for each epoch of each trial."""
    levels = {"offroad_seg_train": logging.WARNING, "offroad_seg_train.training.sweep": logging.INFO}
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


COMMAND = Command("sweep", "search the best settings of a recipe", add_arguments, run, _EXAMPLES)
