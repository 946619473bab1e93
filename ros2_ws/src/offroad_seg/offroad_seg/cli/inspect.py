# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg inspect``: what a bundle or a checkpoint is, and whether it would run here."""

from __future__ import annotations

import json
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.cli.command import Command

if TYPE_CHECKING:
    import argparse

_GROUP = "offroad_seg.inspectors"
_EPILOG = """examples:
  offroad-seg inspect bundles/tiny
  offroad-seg inspect bundles/tiny-fp16 --json | jq .here
  offroad-seg inspect runs/tiny/checkpoints/best.ckpt

Exit status: 0 whole and runs here; 1 whole, but it does not run here; 2 damaged, no bundle, or built for another
machine. What mends it is told."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, metavar="BUNDLE", help="a bundle's folder, or a checkpoint")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument(
        "--no-load", action="store_true", help="do not load the engine: only files and manifest are checked"
    )


def _run(args: argparse.Namespace) -> int:
    from offroad_seg.bundle import CHECKPOINT_SUFFIXES

    if args.path.is_file() and args.path.suffix.lower() in CHECKPOINT_SUFFIXES:
        return _inspect_checkpoint(args)
    from offroad_seg.cli.inspect_bundle import inspect_bundle
    from offroad_seg.cli.inspect_text import bundle_text

    report, error = inspect_bundle(args.path, load=not args.no_load)
    if args.json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
    elif "identity" in report:
        print(bundle_text(report, color=sys.stdout.isatty()))
    if error is not None:
        raise error
    return 0


def _inspect_checkpoint(args: argparse.Namespace) -> int:
    """A checkpoint is opened by the trainer alone, which reads it without unpickling objects."""
    from offroad_seg.cli.inspect_text import checkpoint_text
    from offroad_seg.errors import InputError

    points = {point.name: point for point in entry_points(group=_GROUP)}
    try:
        describe: Any = points["checkpoint"].load()
    except (KeyError, ImportError):
        raise InputError(
            "this is a checkpoint or a pickle, which only the trainer opens, and the trainer is not installed here",
            where=str(args.path),
            mend="pip install 'offroad-seg[train]'; to run it here, make a bundle where the trainer is: "
            f"offroad-seg export {args.path} --height H --width W --out BUNDLE",
        ) from None
    report = describe(args.path)
    print(json.dumps(report, indent=2, ensure_ascii=False) if args.json else checkpoint_text(report))
    return 0


COMMAND = Command(
    name="inspect",
    help="what a bundle or a checkpoint is, what it was shown to do, and whether it runs here",
    add_arguments=_add_arguments,
    run=_run,
    epilog=_EPILOG,
)
