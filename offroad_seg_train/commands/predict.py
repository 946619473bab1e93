# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg predict``: masks and overlays of images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from offroad_seg.cli.command import Command

if TYPE_CHECKING:
    import argparse

_EPILOG = """examples:
  offroad-seg predict bundles/tiny photos/ one.jpg --out predictions
  offroad-seg predict runs/uav/checkpoints/best.ckpt 'maps/*.tif' --tile 768 --write masks,ids --out predictions"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from offroad_seg_train.commands.evaluate import add_label_arguments, add_model_arguments

    add_model_arguments(parser)
    parser.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGES", help="picture files, folders of them, or patterns"
    )
    add_label_arguments(parser)
    parser.add_argument(
        "--write",
        default="masks,overlays",
        metavar="LIST",
        help="of masks (the ontology's raw values), ids (class ids), confidence, overlays (masks,overlays)",
    )


def run(args: argparse.Namespace) -> int:
    """Label the images."""
    from offroad_seg.resources import check_output
    from offroad_seg_train.commands.evaluate import label_options
    from offroad_seg_train.evaluation.opened import open_model
    from offroad_seg_train.evaluation.predict import PredictOptions, predict

    options = PredictOptions(
        label=label_options(args),
        write=tuple(dict.fromkeys(word.strip() for word in args.write.split(",") if word.strip())),
        overwrite=args.overwrite,
    )
    check_output(args.out, overwrite=args.overwrite)
    model = open_model(args.model, backend=args.backend, device=args.device, threads=args.threads)
    try:
        result = predict(model, args.images, args.out, options)
    finally:
        model.close()
    print(f"{result.images} images: {', '.join(str(args.out / r) for r in options.write)}")
    if result.failed:
        print(f"left out, see above: {', '.join(result.failed)}", file=sys.stderr)
    return 1 if result.failed else 0


COMMAND = Command(
    name="predict",
    help="write masks and overlays of images, however large",
    add_arguments=add_arguments,
    run=run,
    epilog=_EPILOG,
)
