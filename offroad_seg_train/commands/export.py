# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg export``: a checkpoint becomes a portable bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.cli.command import Command
from offroad_seg.manifest import OOD_SCORES

if TYPE_CHECKING:
    import argparse

_GATE_IMAGES = 16
OOD_SCORE = "energy"


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
    parser.add_argument(
        "--calibrate",
        type=Path,
        metavar="DATA",
        help="labelled images to fit confidence and the out-of-distribution score on (of the folder that was trained "
        "on, only the validation part is taken)",
    )
    parser.add_argument(
        "--calibrate-split",
        choices=("all", "val", "test"),
        help="which of them (val of the folder that was trained on, else all)",
    )
    parser.add_argument("--layout", default="auto", metavar="L", help="how DATA lies on disk (looks at it)")
    parser.add_argument(
        "--ontology", metavar="O", help="what DATA's mask values mean, by name or file (the model's own)"
    )
    parser.add_argument(
        "--ood",
        default=OOD_SCORE,
        choices=(*OOD_SCORES, "none"),
        help=f"with --calibrate: the out-of-distribution score of the graph ({OOD_SCORE})",
    )
    parser.add_argument(
        "--ood-percentile",
        type=float,
        default=99.0,
        metavar="P",
        help="per cent of DATA's labelled pixels that are below its threshold (99)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace BUNDLE if it is there")


def run(args: argparse.Namespace) -> int:
    """Export, and say what the gate measured."""
    from offroad_seg.errors import InputError
    from offroad_seg_train.export.exporter import (
        BACKENDS,
        CalibrateOptions,
        ExportOptions,
        export_checkpoint,
    )

    if args.gate_images < 1:
        raise InputError(f"--gate-images is {args.gate_images}", mend="give 1 or more")
    options = ExportOptions(
        height=args.height,
        width=args.width,
        images=args.images,
        gate_count=args.gate_images,
        calibrate=None
        if args.calibrate is None
        else CalibrateOptions(
            root=args.calibrate,
            layout=args.layout,
            ontology=args.ontology,
            part=args.calibrate_split,
            ood=None if args.ood == "none" else args.ood,
            percentile=args.ood_percentile,
        ),
        overwrite=args.overwrite,
    )
    bundle = export_checkpoint(args.checkpoint, args.out, options)
    for backend in BACKENDS:
        figures = bundle.manifest.parity[backend]
        print(
            f"{backend}: {figures['agreement']:.4%} of {figures['pixels']} pixels agree with the checkpoint "
            f"({figures['images']} {figures['source']} images, worst {figures['worst_agreement']:.4%})"
        )
    print("\n".join(calibration_lines(bundle.manifest.calibration, bundle.manifest.ood)))
    print(f"bundle: {bundle.path}")
    return 0


def calibration_lines(calibration: dict[str, Any] | None, ood: dict[str, Any] | None) -> list[str]:
    """What calibration found, as lines of text."""
    from offroad_seg_train.export.calibrate import describe

    if calibration is None:
        return ["confidence: as the network gives it (--calibrate DATA fits it)"]
    lines = [f"confidence: {describe(calibration)}"]
    if ood is not None:
        limit = f"{ood['score']} above {ood['threshold']:.3f}"
        flagged = f"{100 - ood['percentile']:g}% of these pixels, {ood['flagged_cross_fitted']:.2%}"
        lines.append(f"out of distribution: {limit}; {flagged} on images it was not fitted on")
    return lines


COMMAND = Command(
    name="export",
    help="turn a checkpoint into a portable bundle (ONNX and exported program), with a parity gate",
    add_arguments=add_arguments,
    run=run,
    epilog="example: offroad-seg export runs/tiny/checkpoints/best.ckpt --height 266 --width 476 "
    "--out bundles/tiny --images data/val/Color_Images --calibrate data/val",
)
