# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg lr-find``: a learning rate for a recipe on one's own data, in a hundred steps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from offroad_seg.cli.command import Command
from offroad_seg_train.commands.recipe_arguments import add_recipe_arguments, load_named_recipe

if TYPE_CHECKING:
    import argparse

_EXAMPLES = """example:
  offroad-seg lr-find --config desert --data DIR --out runs/lr
  offroad-seg train --config desert --data DIR --out runs/desert optimizer.lr=THAT
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_recipe_arguments(parser, settings_help="change settings, such as batch_size=8")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="folder for lr_find.json and lr_find.png (runs/NAME-lr)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what is in DIR")
    parser.add_argument("--min", type=float, default=1e-7, help="first rate (1e-7)")
    parser.add_argument("--max", type=float, default=1.0, help="last rate (1)")
    parser.add_argument("--steps", type=int, default=100, help="steps between them (100)")


def run(args: argparse.Namespace) -> int:
    """Search, and print the suggestion as a setting."""
    from offroad_seg_train.training.lr_finder import find_rate

    config = load_named_recipe(args)
    out = args.out if args.out is not None else Path("runs") / f"{config.name}-lr"
    found = find_rate(
        config, out, lowest=args.min, highest=args.max, steps=args.steps, overwrite=args.overwrite
    )
    print(f"the loss falls fastest at {found.suggestion:.1e}, and is lowest at {found.lowest:.1e}")
    print(f"plot: {out / 'lr_find.png'}   try: optimizer.lr={found.suggestion:.1e}")
    if config.optimizer.backbone_lr is not None:
        ratio = config.optimizer.backbone_lr / config.optimizer.lr
        print(f"with optimizer.backbone_lr={found.suggestion * ratio:.1e}, the recipe's ratio")
    return 0


COMMAND = Command("lr-find", "find a learning rate for a recipe", add_arguments, run, _EXAMPLES)
