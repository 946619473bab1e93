# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg compare``: is this engine better than the last, and how sure is that."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from offroad_seg.cli.command import Command
from offroad_seg.errors import InputError

if TYPE_CHECKING:
    import argparse

    from offroad_seg.replay.compare import Comparison

_EPILOG = """\
examples:
  offroad-seg compare result_old result_new --out compared
  offroad-seg compare result_old result_new --fail-if 'miou<0.5' --fail-if 'miou drop>0.02' --junit gates.xml
  offroad-seg compare BUNDLE_OLD BUNDLE_NEW --bag drive.mcap --out compared

The first is what the others are compared with. Conditions of --fail-if: KEY<NUMBER is the figure itself,
'KEY drop>NUMBER' how far it fell below the first's, 'KEY rise>NUMBER' and 'delta:KEY<NUMBER' likewise; with 'certain'
at the end only if the whole 95 % interval says so. Exit status: 0 passed, 1 a gate failed, 2 bad usage or input.
"""
_FEWEST, _MOST = 100, 100_000


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "results",
        nargs="+",
        type=Path,
        metavar="RESULT",
        help="results folders of replay, or bundles with --bag",
    )
    add("--bag", nargs="+", type=Path, metavar="BAG", help="replay the bundles on it first, into DIR/replays")
    add("--out", type=Path, metavar="DIR", help="write compare.json and compare.html there")
    add("--overwrite", action="store_true", help="replace DIR if it is there")
    add(
        "--fail-if",
        action="append",
        default=[],
        metavar="CONDITION",
        help="a gate; may be given several times",
    )
    add("--junit", type=Path, metavar="FILE", help="write the gates as JUnit XML")
    add("--json", action="store_true", help="print JSON in place of the table")
    add("--resamples", type=int, default=1000, metavar="N", help="of the bootstrap (1000)")
    add("--seed", type=int, default=0, metavar="K", help="of the bootstrap (0)")
    add(
        "--block", type=float, default=5.0, metavar="S", help="seconds of driving that count as one piece (5)"
    )


def _run(args: argparse.Namespace) -> int:
    import time

    from offroad_seg.replay.compare import compare
    from offroad_seg.replay.compare_gates import parse_gate

    _check(args)
    started = time.perf_counter()
    gates = [parse_gate(text) for text in args.fail_if]
    folders = _replay_bundles(args) if args.bag else args.results
    comparison = compare(folders, gates, resamples=args.resamples, seed=args.seed, block_s=args.block)
    if args.out is not None:
        _write(args, comparison)
    if args.junit is not None:
        _write_junit(args.junit, comparison, time.perf_counter() - started)
    _print(args, comparison)
    return 0 if comparison.passed else 1


def _check(args: argparse.Namespace) -> None:
    from offroad_seg.resources import check_output, keep_sources

    if len(args.results) < 2:
        raise InputError(
            "there is nothing to compare it with", where=str(args.results[0]), mend="give two or more"
        )
    if not _FEWEST <= args.resamples <= _MOST:
        raise InputError(f"--resamples is {args.resamples}", mend=f"give {_FEWEST} to {_MOST}")
    if not 0 < args.block <= 3600:
        raise InputError(f"--block is {args.block:g} s", mend="give more than 0, at most 3600")
    bundles = [p for p in args.results if (p / "manifest.json").is_file()]
    if bundles and not args.bag:
        raise InputError(
            "this is a bundle, not a result", where=str(bundles[0]), mend="add --bag BAG to replay it"
        )
    if args.bag and len(bundles) < len(args.results):
        other = next(p for p in args.results if p not in bundles)
        raise InputError("with --bag only bundles are compared", where=str(other), mend="leave --bag out")
    if args.bag and args.out is None:
        raise InputError("the replays need a folder", where="--bag", mend="give --out DIR")
    if args.out is not None:
        keep_sources(args.out, *args.results, *(args.bag or []))
        check_output(args.out, overwrite=args.overwrite)


def _replay_bundles(args: argparse.Namespace) -> list[Path]:
    """Replay each bundle with the ``replay`` command itself; results that are there and finished are kept."""
    from offroad_seg.cli.main import build_parser
    from offroad_seg.replay.compare_results import labels_of
    from offroad_seg.resources import prepare_output

    prepare_output(args.out, overwrite=args.overwrite)
    parser, folders = build_parser(only="replay"), []
    for bundle, label in zip(args.results, labels_of(args.results), strict=True):
        folder = args.out / "replays" / label.replace("/", "_")
        print(f"replaying {label}", file=sys.stderr)
        words = ["replay", str(bundle), *map(str, args.bag), "--out", str(folder)]
        replay = parser.parse_args(words)
        with redirect_stdout(sys.stderr):
            status = int(replay.run(replay))
        if status:
            raise InputError(
                f"the replay ended with {status}", where=str(bundle), mend="see what it said above"
            )
        folders.append(folder)
    return folders


def _write(args: argparse.Namespace, comparison: Comparison) -> None:
    from offroad_seg.replay.compare_report import write_report
    from offroad_seg.resources import prepare_output, write_text

    if not args.bag:
        prepare_output(args.out, overwrite=args.overwrite)
    text = json.dumps(comparison.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(args.out / "compare.json", text + "\n")
    write_report(args.out / "compare.html", comparison)


def _write_junit(path: Path, comparison: Comparison, seconds: float) -> None:
    from datetime import datetime, timezone

    from offroad_seg.replay.compare_junit import junit_xml
    from offroad_seg.resources import write_text

    figures = {
        label: {key: value for key, value in found.items() if value is not None}
        for label, found in zip(comparison.labels[1:], comparison.figures[1:], strict=True)
    }
    when = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    write_text(path, junit_xml(comparison.verdicts, figures, when=when, seconds=seconds).decode("utf-8"))


def _print(args: argparse.Namespace, comparison: Comparison) -> None:
    from offroad_seg.replay.compare_tables import text_table

    if args.json:
        print(json.dumps(comparison.to_json(), indent=2, ensure_ascii=False, allow_nan=False))
        return
    print("\n".join(text_table(comparison)))
    for label, agreement in zip(comparison.labels[1:], comparison.agreements, strict=True):
        if agreement is not None and agreement.share is not None:
            print(
                f"{label}: {100 * agreement.share:.2f} % of the pixels have the label of {comparison.labels[0]}"
            )
    for note in comparison.notes():
        print(f"note: {note}")
    for verdict in comparison.verdicts:
        print(f"{verdict.state}: fail if {verdict.gate.text}: {verdict.label}: {verdict.words}")
    if args.out is not None:
        print(f"written: {(args.out / 'compare.html').resolve()}")


COMMAND = Command(
    name="compare",
    help="two or more replays beside each other: differences, intervals, gates for CI",
    add_arguments=_add_arguments,
    run=_run,
    epilog=_EPILOG,
)
