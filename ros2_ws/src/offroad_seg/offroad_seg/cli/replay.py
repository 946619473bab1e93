# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg replay``: a bag in, numbers and a picture of the truth out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.cli.command import Command
from offroad_seg.cli.replay_fleet import add_fleet_arguments, is_fleet, run_fleet
from offroad_seg.cli.replay_measures import add_measure_arguments
from offroad_seg.cli.replay_one import replay_one
from offroad_seg.cli.replay_source import add_source_arguments
from offroad_seg.cli.view import add_server_arguments
from offroad_seg.errors import InputError

if TYPE_CHECKING:
    import argparse

_EPILOG = """\
examples:
  offroad-seg replay BUNDLE drive.mcap --out result
  offroad-seg replay BUNDLE drive --topic /front/image_raw/compressed --params config/perception.yaml --out result
  offroad-seg replay BUNDLE drive --topic /left/image_raw --topic /right/image_raw --out result
  offroad-seg replay BUNDLE drive.mcap --out result --resume
  offroad-seg replay BUNDLE drive --via-ros --rate 1 --out result
  offroad-seg replay BUNDLE bags/*.mcap --workers 8 --out archive

Topics that are not given are guessed and named in the report; `none` as a topic leaves it out.
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("bundle", type=Path, metavar="BUNDLE", help="folder of the bundle to run")
    add("bag", type=Path, nargs="+", metavar="BAG", help="a bag folder, .mcap or .db3 file; or several")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    add("--overwrite", action="store_true", help="replace the folder where it is not empty")
    add("--resume", action="store_true", help="go on with a replay to this folder that was broken off")
    add_source_arguments(parser)
    add_measure_arguments(parser)
    add_fleet_arguments(parser)
    add("--view", action="store_true", help="show what is replayed in a browser while it runs")
    add_server_arguments(parser)
    add("--via-ros", action="store_true", help="play the bag over DDS into the real node, in another process")
    add(
        "--rate",
        type=float,
        metavar="R",
        help="with --via-ros: R times real time, drops counted; without it the bag waits for the node",
    )


def _run(args: argparse.Namespace) -> int:
    from offroad_seg.resources import check_output, keep_sources

    if args.rate is not None and (not args.via_ros or not 0 < args.rate <= 100):
        raise InputError(
            "--rate is a factor above 0 and at most 100, and needs --via-ros", where=f"--rate {args.rate}"
        )
    if args.via_ros and args.resume:
        raise InputError("--resume goes without --via-ros: what the node has fused is not kept")
    keep_sources(
        args.out, args.bundle, *args.bag, *args.camera_info, *args.truth, *args.params, args.compare_with
    )
    if is_fleet(args):
        return run_fleet(args)
    args.bag = args.bag[0]
    check_output(args.out, overwrite=args.overwrite)
    print(_summary(replay_one(args), args.out))
    return 0


def _summary(metrics: dict[str, Any], out: Path) -> str:
    from offroad_seg.replay.report_tables import figures, notes
    from offroad_seg.replay.report_verdict import verdict

    found = verdict(metrics)
    lines = [f"{found.title}. {found.reason}"]
    lines += [f"  {f['name']:<28}{f['value'] + ' ' + f['unit']:>10}  {f['note']}" for f in figures(metrics)]
    lines += [f"  note: {note}" for note in notes(metrics)]
    files = [f"  {name:<8} {(out / file).resolve()}" for name, file in _FILES]
    return "\n".join([*lines, *files])


_FILES = (
    ("report", "report.html"),
    ("metrics", "metrics.json"),
    ("frames", "frames.jsonl"),
    ("bag", "annotated.mcap"),
)

COMMAND = Command(
    name="replay",
    help="run a bundle over a bag: metrics.json, report.html, annotated.mcap",
    add_arguments=_add_arguments,
    run=_run,
    epilog=_EPILOG,
)
