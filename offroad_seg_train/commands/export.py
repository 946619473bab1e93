# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg export``: a checkpoint becomes a portable bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from offroad_seg.cli.command import Command

if TYPE_CHECKING:
    import argparse

_GATE_IMAGES = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="RUN/checkpoints/best.ckpt")
    parser.add_argument("--height", type=int, metavar="H", help="rows of the network's input (as trained)")
    parser.add_argument("--width", type=int, metavar="W", help="columns of the network's input (as trained)")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder to write")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="real images for the parity gate (default: synthetic ones)"
    )
    parser.add_argument(
        "--gate-images",
        type=int,
        default=_GATE_IMAGES,
        metavar="N",
        help=f"how many of them ({_GATE_IMAGES})",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace BUNDLE if it is there")


def run(args: argparse.Namespace) -> int:
    """Export, and say what the gate measured."""
    from offroad_seg.errors import InputError
    from offroad_seg_train.export.exporter import BACKENDS, ExportOptions, export_checkpoint

    if args.gate_images < 1:
        raise InputError(f"--gate-images is {args.gate_images}", mend="give 1 or more")
    options = ExportOptions(
        height=args.height,
        width=args.width,
        images=args.images,
        gate_count=args.gate_images,
        overwrite=args.overwrite,
    )
    bundle = export_checkpoint(args.checkpoint, args.out, options)
    for backend in BACKENDS:
        figures = bundle.manifest.parity[backend]
        print(
            f"{backend}: {figures['agreement']:.4%} of {figures['pixels']} pixels agree with the checkpoint "
            f"({figures['images']} {figures['source']} images, worst {figures['worst_agreement']:.4%})"
        )
    print(f"bundle: {bundle.path}")
    return 0


COMMAND = Command(
    name="export",
    help="turn a checkpoint into a portable bundle (ONNX and exported program), with a parity gate",
    add_arguments=add_arguments,
    run=run,
    epilog="example: offroad-seg export runs/tiny/checkpoints/best.ckpt --height 266 --width 476 "
    "--out bundles/tiny --images data/val/Color_Images",
)
