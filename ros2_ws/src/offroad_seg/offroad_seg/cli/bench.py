# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg bench``: how fast a bundle runs on this machine."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.cli.command import Command
from offroad_seg.errors import InputError

if TYPE_CHECKING:
    import argparse

    from offroad_seg.bench.plan import BenchPlan
    from offroad_seg.bench.workloads import Pictures
    from offroad_seg.bundle import Bundle

_RATES = "10,30,60"
_EPILOG = """examples:
  offroad-seg bench bundles/tiny --out bench
  offroad-seg bench bundles/tiny --images DIR --level pipeline --rates 10,20 --seconds 10
  offroad-seg bench bundles/tiny --size 1280x720 --level ros

Levels: engine (the network alone), segmenter (with letterbox, and labels at the image's size), pipeline (with
projection and costmap), ros (the real node, image published → labels received). For each: the peak rate at which no
more than 5 % of the frames are missed, and runs at fixed rates. docs/bench.md defines every figure."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="what to measure")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="the camera's pictures (default: drawn ones)"
    )
    parser.add_argument("--size", default="1280x720", metavar="WxH", help="size of drawn pictures (1280x720)")
    parser.add_argument(
        "--level",
        action="append",
        choices=("engine", "segmenter", "pipeline", "ros"),
        help="what to measure; may be given several times (default: all but ros)",
    )
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="length of each run (5)")
    parser.add_argument(
        "--rates", default=_RATES, metavar="HZ,…", help=f"fixed rates; 'none' for none ({_RATES})"
    )
    parser.add_argument("--no-peak", action="store_true", help="do not search the peak rate")
    parser.add_argument("--backend", metavar="B", help="engine (default: the bundle's own)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (auto)")
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="threads of a CPU engine (0: its choice)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write bench.json, bench.txt and Isaac's files there"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace DIR if it is there")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")


def _run(args: argparse.Namespace) -> int:
    from offroad_seg.bench.plan import BenchPlan, run_bench
    from offroad_seg.bench.report import about, heading, row, stages, write_report
    from offroad_seg.bench.workloads import LEVELS, load_pictures
    from offroad_seg.bundle import Bundle
    from offroad_seg.resources import check_output, keep_sources

    if args.seconds <= 0:
        raise InputError(f"--seconds is {args.seconds}", mend="give more than 0")
    plan = BenchPlan(
        levels=tuple(args.level or LEVELS),
        rates=_rates(args.rates),
        seconds=args.seconds,
        peak=not args.no_peak,
        backend=args.backend,
        device=args.device,
        threads=args.threads,
    )
    if not plan.peak and not plan.rates:
        raise InputError("nothing to measure", where="--rates none --no-peak", mend="leave one of them out")
    if args.out is not None:
        keep_sources(args.out, args.bundle, args.images)
        check_output(args.out, overwrite=args.overwrite)
    width, height = _size(args.size)
    bundle = Bundle.load(args.bundle)
    pictures = load_pictures(args.images, width, height)

    def show(report: dict[str, Any], level: str, name: str) -> None:
        found = report["levels"][level][name]
        if sum(len(runs) for runs in report["levels"].values()) == 1:
            print("\n".join([*about(report), "", heading()]))
        print(row(level, name, found), flush=True)

    report = run_bench(
        bundle, pictures, plan, (lambda *_: None) if args.json else show, _others(plan, bundle, pictures)
    )
    if args.json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        print("\n".join(["", *stages(report)]))
    if args.out is not None:
        write_report(args.out, report, overwrite=args.overwrite)
        if not args.json:
            print(f"written: {args.out}")
    return 0


def _others(plan: BenchPlan, bundle: Bundle, pictures: Pictures) -> dict[str, Any]:
    """Levels that need ROS."""
    if "ros" not in plan.levels:
        return {}
    if find_spec("rclpy") is None:
        raise InputError(
            "ROS 2 is not installed: there is no rclpy",
            where="--level ros",
            mend="source /opt/ros/DISTRO/setup.bash, or pip install 'offroad-seg[ros]'",
        )
    from offroad_seg.ros.bench_player import NodePlayer

    values = {"backend": plan.backend or "", "device": plan.device, "threads": plan.threads}
    return {"ros": lambda: NodePlayer(bundle.path, pictures.images, values)}


def _rates(text: str) -> tuple[float, ...]:
    if text == "none":
        return ()
    try:
        rates = tuple(float(word) for word in text.split(","))
    except ValueError:
        rates = ()
    if not rates or not all(0 < rate <= 10000 for rate in rates):
        raise InputError(f"'{text}' is no list of rates", where="--rates", mend="such as --rates 10,30,60")
    return tuple(dict.fromkeys(rates))


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text)
    width, height = (int(v) for v in match.groups()) if match else (0, 0)
    if not (16 <= width <= 8192 and 16 <= height <= 8192):
        raise InputError(f"'{text}' is no size", where="--size", mend="width×height, such as --size 1280x720")
    return width, height


COMMAND = Command(
    name="bench",
    help="rates, latency, drops and load of a bundle on this machine",
    add_arguments=_add_arguments,
    run=_run,
    epilog=_EPILOG,
)
