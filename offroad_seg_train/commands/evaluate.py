# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg evaluate``: what a model is worth on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.cli.command import Command

if TYPE_CHECKING:
    import argparse

    from offroad_seg_train.evaluation.labelling import LabelOptions

_TTA_SCALES = (0.75, 1.0, 1.25)
_EPILOG = """examples:
  offroad-seg evaluate runs/tiny/checkpoints/best.ckpt --data data/desert --split val --out evaluation
  offroad-seg evaluate bundles/tiny --data data/unseen --out evaluation
  offroad-seg evaluate runs/uav/checkpoints/best.ckpt --data data/uav --tile 768 --tta --out evaluation"""


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how a model is opened and where results go; ``predict`` takes the same."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="a checkpoint or a bundle")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--backend", metavar="B", help="for a bundle: onnxruntime or torch (its own choice)")
    parser.add_argument(
        "--device", default="auto", choices=("auto", "cpu", "cuda"), help="where it runs (auto)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        metavar="N",
        help="threads inside one operator (0: the run time chooses)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the results in DIR")


def add_label_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how images are labelled; ``predict`` takes the same."""
    group = parser.add_argument_group("labelling")
    group.add_argument(
        "--tile",
        type=int,
        metavar="N",
        help="label in overlapping windows of N image pixels, blended (default: the image is fitted to the network)",
    )
    group.add_argument(
        "--overlap",
        type=float,
        default=0.25,
        metavar="F",
        help="part of a window that its neighbour covers too (0.25)",
    )
    group.add_argument(
        "--tta",
        action="store_true",
        help="test-time augmentation: average over the scales 0.75, 1 and 1.25, each also mirrored",
    )
    group.add_argument("--tta-scales", metavar="LIST", help="average over these scales, such as 0.75,1,1.25")
    group.add_argument("--tta-flips", action="store_true", help="average over each view and its mirror image")
    group.add_argument(
        "--tta-vertical", action="store_true", help="also upside down: for pictures taken from above"
    )


def label_options(args: argparse.Namespace) -> LabelOptions:
    """What ``add_label_arguments`` declared.

    Raises:
        InputError: A scale is no number, or out of bounds.
    """
    from offroad_seg.errors import InputError
    from offroad_seg_train.evaluation.labelling import LabelOptions
    from offroad_seg_train.evaluation.scoring import Views

    scales = _TTA_SCALES if args.tta else (1.0,)
    if args.tta_scales is not None:
        try:
            scales = tuple(float(word) for word in args.tta_scales.split(",") if word.strip())
        except ValueError:
            raise InputError(
                f"'{args.tta_scales}' is no list of numbers", where="--tta-scales", mend="such as 0.75,1,1.25"
            ) from None
    views = Views(scales, mirror=args.tta or args.tta_flips, vertical=args.tta_vertical)
    return LabelOptions(views, args.tile, args.overlap)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_model_arguments(parser)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="images and masks")
    parser.add_argument(
        "--layout", default="auto", metavar="L", help="how the folder lies on disk (auto: looks at it)"
    )
    parser.add_argument(
        "--ontology", metavar="O", help="what the mask values mean, by name or file (the model's own)"
    )
    parser.add_argument(
        "--split",
        default="all",
        choices=("all", "val", "test"),
        help="all frames, or those that the training run held out (all)",
    )
    parser.add_argument("--worst", type=int, default=12, metavar="N", help="worst frames to draw (12)")
    parser.add_argument("--batch-size", type=int, default=4, metavar="N", help="of miou_batch_mean (4)")
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="of a checkpoint: also fit a temperature on these images, and say what it would change",
    )
    add_label_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate, and print the figures."""
    from offroad_seg.errors import InputError
    from offroad_seg.resources import check_output
    from offroad_seg_train.evaluation.evaluate import EvaluateOptions, evaluate
    from offroad_seg_train.evaluation.frames import FrameSource
    from offroad_seg_train.evaluation.opened import open_model

    if args.batch_size < 1 or args.worst < 0:
        raise InputError("--batch-size is 1 or more, --worst 0 or more")
    options = EvaluateOptions(
        source=FrameSource(args.data, args.layout, args.ontology, args.split),
        label=label_options(args),
        worst=args.worst,
        batch_size=args.batch_size,
        calibrate=args.calibrate,
        overwrite=args.overwrite,
    )
    check_output(args.out, overwrite=args.overwrite)
    model = open_model(args.model, backend=args.backend, device=args.device, threads=args.threads)
    try:
        result = evaluate(model, args.out, options)
    finally:
        model.close()
    print("\n".join(report(result)))
    print(f"results: {args.out}, to look at: {args.out / 'report.html'}")
    return 0


def report(result: dict[str, Any]) -> list[str]:
    """The figures as lines of text."""
    lines = [f"{'class':<22}{'IoU':>8}{'Dice':>8}{'prec.':>8}{'recall':>8}{'pixels':>12}"]
    for name, row in result["per_class"].items():
        figures = "".join(_figure(row[key]) for key in ("iou", "dice", "precision", "recall"))
        lines.append(f"{name:<22}{figures}{row['pixels']:>12}")
    keys = ("miou", "miou_present", "miou_batch_mean", "pixel_accuracy", "mean_dice", "boundary_iou", "ece")
    lines += [f"{key:<22}{_figure(result[key])}" for key in keys]
    lines.append(f"{result['images']} images, {result['n_classes_present']} classes present")
    if found := result.get("calibration"):
        from offroad_seg_train.export.calibrate import describe

        lines.append(f"fitted: {describe(found)}; `export --calibrate` puts it into a bundle")
    return lines


def _figure(value: float | None) -> str:
    return f"{'-':>8}" if value is None else f"{value:8.4f}"


COMMAND = Command(
    name="evaluate",
    help="measure a checkpoint or bundle on labelled images: metrics.json, confusion matrix, pictures",
    add_arguments=add_arguments,
    run=run,
    epilog=_EPILOG,
)
