# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg evaluate``: what a model is worth on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.cli.command import Command

if TYPE_CHECKING:
    import argparse

_EPILOG = """examples:
  offroad-seg evaluate runs/tiny/checkpoints/best.ckpt --data data/desert --split val --out evaluation
  offroad-seg evaluate bundles/tiny --data data/unseen --out evaluation"""


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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_model_arguments(parser)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="images and masks")
    parser.add_argument(
        "--layout", default="auto", metavar="L", help="duality, ycor, ai4mars, or auto to look at the folder"
    )
    parser.add_argument(
        "--ontology", metavar="O", help="what the mask values mean, by name or file (the model's own)"
    )
    parser.add_argument(
        "--split",
        default="all",
        choices=("all", "val"),
        help="all frames, or those that the training run held out (all)",
    )
    parser.add_argument("--worst", type=int, default=8, metavar="N", help="worst frames to draw (8)")
    parser.add_argument("--batch-size", type=int, default=4, metavar="N", help="of miou_batch_mean (4)")


def run(args: argparse.Namespace) -> int:
    """Evaluate, and print the figures."""
    from offroad_seg.errors import InputError
    from offroad_seg.resources import check_output
    from offroad_seg_train.evaluation.evaluate import EvaluateOptions, evaluate
    from offroad_seg_train.evaluation.opened import open_model

    if args.batch_size < 1 or args.worst < 0:
        raise InputError("--batch-size is 1 or more, --worst 0 or more")
    check_output(args.out, overwrite=args.overwrite)
    model = open_model(args.model, backend=args.backend, device=args.device, threads=args.threads)
    options = EvaluateOptions(
        data=args.data,
        layout=args.layout,
        ontology=args.ontology,
        part=args.split,
        worst=args.worst,
        batch_size=args.batch_size,
        overwrite=args.overwrite,
    )
    try:
        result = evaluate(model, args.out, options)
    finally:
        model.close()
    print("\n".join(report(result)))
    print(f"results: {args.out}")
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
