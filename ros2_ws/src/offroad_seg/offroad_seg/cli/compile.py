# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg compile``: a portable bundle becomes an engine for this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from offroad_seg.cli.command import Command

if TYPE_CHECKING:
    from offroad_seg.bundle import Bundle
    from offroad_seg.compile.builder import Plan
    from offroad_seg.compile.compiler import CompileOptions

_CHECKPOINTS = {".ckpt"}
_EPILOG = """examples:
  offroad-seg compile bundles/tiny --backend onnxruntime --precision fp32 --out bundles/tiny-cpu --images DIR
  offroad-seg compile bundles/tiny --backend onnxruntime --check-only
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
    parser.add_argument("--precision", default="fp32", choices=("fp32", "fp16"), help="fp32 or fp16 (fp32)")
    parser.add_argument("--out", type=Path, metavar="BUNDLE2", help="folder to write")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="real images for the parity gate (default: synthetic ones)"
    )
    parser.add_argument(
        "--check-only", action="store_true", help="say what would be built, and write nothing"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace BUNDLE2 if it is there")
    parser.add_argument("--height", type=int, metavar="H", help="input rows, where a checkpoint is given")
    parser.add_argument("--width", type=int, metavar="W", help="input columns, where a checkpoint is given")


def run(args: argparse.Namespace) -> int:
    """Plan, or build, gate, measure and write."""
    from offroad_seg.bundle import Bundle
    from offroad_seg.compile.compiler import CompileOptions, compile_bundle, plan_compile
    from offroad_seg.errors import InputError
    from offroad_seg.resources import check_output

    options = CompileOptions(args.backend, args.precision, args.images, args.overwrite)
    if args.out is None and not args.check_only:
        raise InputError("--out is missing", mend="--out BUNDLE2, or --check-only")
    if args.out is not None:
        check_output(args.out, overwrite=args.overwrite)
    if _is_checkpoint(args.bundle):
        return _from_checkpoint(args, options)
    if args.height is not None or args.width is not None:
        raise InputError(
            "a bundle's input size is fixed",
            where="--height, --width",
            mend="offroad-seg export CHECKPOINT --height H --width W --out BUNDLE",
        )
    bundle = Bundle.load(args.bundle)
    if args.check_only:
        _print_plan(bundle, plan_compile(bundle, options))
        return 0
    _print_result(compile_bundle(bundle, args.out, options))
    return 0


def _is_checkpoint(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in _CHECKPOINTS


def _from_checkpoint(args: argparse.Namespace, options: CompileOptions) -> int:
    """Export with the trainer's own command, then compile what it wrote."""
    from offroad_seg.bundle import Bundle
    from offroad_seg.cli.main import find_commands, load_command
    from offroad_seg.compile.compiler import compile_bundle, plan_compile
    from offroad_seg.errors import InputError

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
    parent = None if args.out is None else args.out.resolve().parent
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".offroad-seg-export-", dir=parent) as work:
        portable = Path(work) / "portable"
        words = [str(args.bundle), "--out", str(portable)]
        for name in ("height", "width", "images"):
            value = getattr(args, name)
            words += [] if value is None else [f"--{name}", str(value)]
        status = export.run(parser.parse_args(words))
        if status != 0:
            return status
        bundle = Bundle.load(portable)
        if args.check_only:
            _print_plan(bundle, plan_compile(bundle, options))
        else:
            _print_result(compile_bundle(bundle, args.out, options))
    return 0


def _print_plan(bundle: Bundle, plan: Plan) -> None:
    manifest = bundle.manifest
    print(f"would build: {plan.backend} {plan.precision} from {manifest.name} ({bundle.path})")
    print(f"  input: {manifest.input_width}×{manifest.input_height} RGB, {bundle.ontology.n_classes} classes")
    print(f"  for:   {plan.device}")
    print(f"  with:  {', '.join(f'{name} {version}' for name, version in plan.versions.items())}")
    for note in plan.notes:
        print(f"  note:  {note}")


def _print_result(bundle: Bundle) -> None:
    backend = bundle.manifest.backend
    parity, latency = bundle.manifest.parity[backend], bundle.manifest.latency_ms[backend]
    print(
        f"{backend} {bundle.manifest.precision}: {parity['agreement']:.4%} of {parity['pixels']} pixels agree with "
        f"the portable bundle ({parity['images']} {parity['source']} images)"
    )
    print(f"latency: p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms over {latency['runs']} runs")
    print(f"bundle: {bundle.path}")


COMMAND = Command(
    name="compile",
    help="turn a portable bundle into an engine for this machine, with a parity gate",
    add_arguments=add_arguments,
    run=run,
    epilog=_EPILOG,
)
