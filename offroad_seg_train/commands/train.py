# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg train``: one recipe in, ``RUN/checkpoints/best.ckpt`` out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from offroad_seg.cli.command import Command
from offroad_seg_train.commands.recipe_arguments import add_recipe_arguments

if TYPE_CHECKING:
    import argparse

_EXAMPLES = """examples:
  offroad-seg train --config tiny --data DIR --out runs/tiny
  offroad-seg train --config resnet50_fpn --data DIR --out runs/v3 precision=16-mixed data.val_root=DIR2
  offroad-seg train --resume --out runs/v3
  offroad-seg train --config desert --data DIR --show-batch batch.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_recipe_arguments(parser, settings_help="change settings, such as epochs=5 optimizer.lr=1e-3")
    parser.add_argument("--out", metavar="RUN", type=Path, help="folder of the run (runs/NAME)")
    parser.add_argument(
        "--show-batch",
        metavar="PNG",
        type=Path,
        help="do not train: draw the first training images and labels, augmented, and end",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--resume", action="store_true", help="go on with the run in RUN, by its own config.yaml"
    )
    how.add_argument("--overwrite", action="store_true", help="replace what is in RUN")


def run(args: argparse.Namespace) -> int:
    """Train, and print where the results are."""
    from lightning.pytorch.utilities import rank_zero_only

    from offroad_seg.errors import InputError
    from offroad_seg_train.training.recipe import load_recipe, recipe_names
    from offroad_seg_train.training.run import train

    if args.config is not None:
        config = load_recipe(args.config, args.settings, args.data)
    elif args.resume and args.out is not None:
        config = load_recipe(args.out / "config.yaml", args.settings, args.data)
    else:
        raise InputError(
            "no recipe",
            where="--config",
            mend=f"give a YAML file, or one of: {', '.join(recipe_names())}; or --resume --out RUN",
        )
    if args.show_batch is not None:
        from offroad_seg_train.training.batch_sheet import show_batch

        show_batch(config, args.show_batch)
        print(f"look at: {args.show_batch}")
        return 0
    out = args.out if args.out is not None else Path("runs") / config.name
    result = train(config, out, resume=args.resume, overwrite=args.overwrite)
    if rank_zero_only.rank:
        return 0
    figure = "-" if result.best is None else f"{result.best:.4f}"
    print(f"best validation {result.monitor} {figure}: {result.best_checkpoint}")
    print(f"metrics: {out / 'metrics.jsonl'}   curves: {out / 'curves.png'}")
    return 0


COMMAND = Command("train", "train a network from a recipe", add_arguments, run, _EXAMPLES)
