# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg compile``: a portable bundle becomes an engine for this machine."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.cli.command import Command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offroad_seg.bundle import Bundle
    from offroad_seg.compile.compiler import CompileOptions

_CHECKPOINTS = {".ckpt"}
_GATE_IMAGES = 32
_EXPORT_WORK = ".offroad-seg-export-"
_EPILOG = """examples:
  offroad-seg compile bundles/tiny --backend onnxruntime --precision fp32 --out bundles/tiny-cpu --images DIR
  offroad-seg compile bundles/tiny --backend onnxruntime --check-only
  offroad-seg compile bundles/tiny --precision int8 --images DIR --masks DIR2 --out bundles/tiny-int8
  offroad-seg compile runs/tiny/checkpoints/best.ckpt --backend onnxruntime --out bundles/tiny-cpu"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "bundle",
        type=Path,
        metavar="BUNDLE",
        help="a portable bundle, or a checkpoint, which is exported first",
    )
    parser.add_argument("--backend", default="onnxruntime", metavar="B", help="engine to build (onnxruntime)")
    parser.add_argument(
        "--precision", default="fp32", choices=("fp32", "fp16", "int8"), help="fp32, fp16 or int8 (fp32)"
    )
    parser.add_argument(
        "--route",
        default="",
        metavar="R",
        help="tensorrt: from model.pt2 by torch-tensorrt, or from model.onnx by onnx (the first where it can be had)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="BUNDLE2", help="folder to write (default: the engine stays in the cache)"
    )
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="real images for the gate (default: synthetic ones)"
    )
    parser.add_argument(
        "--masks", type=Path, metavar="DIR", help="their masks: classes are then judged against the truth"
    )
    parser.add_argument(
        "--gate-images",
        type=int,
        default=_GATE_IMAGES,
        metavar="N",
        help=f"how many of them the gate takes ({_GATE_IMAGES})",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="DIR",
        help="images that int8 takes its ranges from (default: those of --images that the gate leaves)",
    )
    parser.add_argument(
        "--check-only", action="store_true", help="say what would be built, and write nothing"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace BUNDLE2 if it is there")
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where built engines are kept (~/.cache/offroad_seg/engines, $OFFROAD_SEG_CACHE)",
    )
    parser.add_argument("--no-cache", action="store_true", help="build anew, and keep nothing")
    parser.add_argument("--height", type=int, metavar="H", help="input rows, where a checkpoint is given")
    parser.add_argument("--width", type=int, metavar="W", help="input columns, where a checkpoint is given")


def run(args: argparse.Namespace) -> int:
    """Plan, or build, gate, measure and write."""
    from offroad_seg.bundle import Bundle
    from offroad_seg.errors import InputError
    from offroad_seg.resources import check_output, keep_sources

    options = _options(args)
    if args.out is None and not args.check_only and options.cache is None:
        raise InputError("--out is missing", mend="--out BUNDLE2, or without --no-cache, or --check-only")
    if args.out is not None:
        keep_sources(args.out, args.bundle, args.images, args.masks, args.calibration)
        check_output(args.out, overwrite=args.overwrite)
    with _without_waiting():
        if _is_checkpoint(args.bundle):
            return _from_checkpoint(args, options)
        if args.height is not None or args.width is not None:
            raise InputError(
                "a bundle's input size is fixed",
                where="--height, --width",
                mend="offroad-seg export CHECKPOINT --height H --width W --out BUNDLE",
            )
        _compile(Bundle.load(args.bundle), args, options)
    return 0


def _options(args: argparse.Namespace) -> CompileOptions:
    from offroad_seg.compile.cache import default_cache
    from offroad_seg.compile.compiler import CompileOptions
    from offroad_seg.errors import InputError

    if args.gate_images < 1:
        raise InputError(f"--gate-images is {args.gate_images}", mend="give 1 or more")
    if args.no_cache and args.cache is not None:
        raise InputError("--cache and --no-cache exclude each other", mend="give one of them")
    if args.calibration is not None and args.precision != "int8":
        raise InputError(f"{args.precision} takes no calibration", where="--calibration", mend="leave it out")
    if args.masks is not None and args.images is None:
        raise InputError("masks without images", where="--masks", mend="give --images DIR, too")
    return CompileOptions(
        backend=args.backend,
        route=args.route,
        precision=args.precision,
        images=args.images,
        overwrite=args.overwrite,
        masks=args.masks,
        gate_count=args.gate_images,
        calibration=args.calibration,
        cache=None if args.no_cache else args.cache or default_cache(),
    )


@contextmanager
def _without_waiting() -> Iterator[None]:
    """End the process at Ctrl-C even where a run time still builds: it cannot be stopped from outside."""
    from offroad_seg.compile.watch import abandoned

    try:
        yield
    except KeyboardInterrupt:
        if abandoned():
            print("interrupted", file=sys.stderr, flush=True)
            sys.stdout.flush()
            os._exit(130)
        raise


def _is_checkpoint(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in _CHECKPOINTS


def _from_checkpoint(args: argparse.Namespace, options: CompileOptions) -> int:
    """Export with the trainer's own command, then compile what it wrote."""
    from offroad_seg.bundle import Bundle
    from offroad_seg.cli.main import find_commands, load_command
    from offroad_seg.errors import InputError
    from offroad_seg.scratch import scratch_folder

    point = find_commands().get("export")
    export = None if point is None else load_command(point)
    if export is None:
        raise InputError(
            "this is a checkpoint, and exporting it needs the trainer, which is not installed here",
            where=str(args.bundle),
            mend="pip install 'offroad-seg[train]', or run `offroad-seg export` on the machine that trained "
            "and copy the bundle",
        )
    parser = argparse.ArgumentParser(prog="offroad-seg export")
    export.add_arguments(parser)
    # Beside the output where there is one: /tmp may be too small for a large network.
    parent = Path(tempfile.gettempdir()) if args.out is None else args.out.resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(parent, _EXPORT_WORK) as work:
        portable = work / "portable"
        words = [str(args.bundle), "--out", str(portable)]
        for name in ("height", "width", "images"):
            value = getattr(args, name)
            words += [] if value is None else [f"--{name}", str(value)]
        status = export.run(parser.parse_args(words))
        if status != 0:
            return status
        _compile(Bundle.load(portable), args, options)
    return 0


def _compile(bundle: Bundle, args: argparse.Namespace, options: CompileOptions) -> None:
    from offroad_seg.compile.compiler import compile_bundle

    if args.check_only:
        _print_plan(bundle, options)
    else:
        _print_result(compile_bundle(bundle, args.out, options))


def _print_plan(bundle: Bundle, options: CompileOptions) -> None:
    from offroad_seg.compile.compiler import find_cached, plan_compile
    from offroad_seg.compile.gate import LIMITS

    plan, manifest, limits = plan_compile(bundle, options), bundle.manifest, LIMITS[options.precision]
    print(f"would build: {plan.backend} {plan.precision} from {manifest.name} ({bundle.path})")
    print(f"  input: {manifest.input_width}×{manifest.input_height} RGB, {bundle.ontology.n_classes} classes")
    print(f"  for:   {plan.device}")
    print(f"  with:  {', '.join(f'{name} {version}' for name, version in plan.versions.items())}")
    pictures = "synthetic pictures (give --images DIR)" if options.images is None else str(options.images)
    change = limits.iou_loss if options.masks is None else limits.iou_change
    print(
        f"  gate:  {limits.agreement:.1%} of the labels agree, no class's IoU changes by more than {change}, "
        f"on {pictures}"
    )
    if options.cache is not None:
        cached = find_cached(bundle, options)
        print(
            f"  cache: {options.cache}: {'not built yet' if cached is None else f'built already, {cached}'}"
        )
    for note in plan.notes:
        print(f"  note:  {note}")


def _print_result(bundle: Bundle) -> None:
    manifest = bundle.manifest
    backend = manifest.backend
    parity, latency = manifest.parity[backend], manifest.latency_ms[backend]
    memory = manifest.memory_mb[backend]
    print(
        f"{backend} {manifest.precision}: {parity['agreement']:.4%} of {parity['pixels']} pixels agree with "
        f"the portable bundle ({parity['images']} {parity['source']} images)"
    )
    if parity["worst_class"] is not None:
        against = "the masks" if parity["iou_against"] == "truth" else "the portable bundle"
        print(f"worst class: {parity['worst_class']}, IoU with {against} {parity['worst_iou_change']:+.4f}")
    print(f"latency: p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms over {latency['runs']} runs")
    ood = manifest.ood
    if ood is not None:
        print(_ood_line(ood))
    known = [f"{where} {amount:.0f} MiB" for where, amount in memory.items() if amount is not None]
    if known:
        print(f"memory: {', '.join(known)}")
    print(f"bundle: {bundle.path}")


def _ood_line(ood: dict[str, Any]) -> str:
    """Where out of distribution begins, and how that was found."""
    if "level" not in ood:
        return "out of distribution: from the threshold of the export (real --images would fit it to this engine)"
    fitted = ood["level_fitted_on"]
    return (
        f"out of distribution: from level {ood['level']} on, fitted to this engine: {fitted['flagged']:.2%} of the "
        f"pixels of {fitted['images']} images (at most {100 - ood['percentile']:g}%; the export's 128 would flag "
        f"{fitted['flagged_at_export']:.2%})"
    )


COMMAND = Command(
    name="compile",
    help="turn a portable bundle into an engine for this machine, proven by a gate",
    add_arguments=add_arguments,
    run=run,
    epilog=_EPILOG,
)
