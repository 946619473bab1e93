# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg predict``: masks and overlays of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from offroad_seg.cli.command import Command

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from offroad_seg_train.commands.evaluate import add_model_arguments

    add_model_arguments(parser)
    parser.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGES", help="picture files, or folders of them"
    )
    parser.add_argument(
        "--ids", action="store_true", help="write class ids in place of the ontology's raw values"
    )


def run(args: argparse.Namespace) -> int:
    """Label the images."""
    from offroad_seg.resources import check_output
    from offroad_seg_train.evaluation.opened import open_model
    from offroad_seg_train.evaluation.predict import predict

    check_output(args.out, overwrite=args.overwrite)
    model = open_model(args.model, backend=args.backend, device=args.device, threads=args.threads)
    try:
        count = predict(model, args.images, args.out, overwrite=args.overwrite, ids=args.ids)
    finally:
        model.close()
    print(f"{count} images: {args.out / 'masks'}, {args.out / 'overlays'}")
    return 0


COMMAND = Command(
    name="predict",
    help="write masks and overlays of images",
    add_arguments=add_arguments,
    run=run,
    epilog="example: offroad-seg predict bundles/tiny photos/ one.jpg --out predictions",
)
