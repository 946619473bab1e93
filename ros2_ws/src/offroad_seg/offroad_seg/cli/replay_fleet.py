# SPDX-License-Identifier: Apache-2.0
"""``replay`` over several bags: one after the other, or on the workers of a Ray cluster."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import InputError, OffroadSegError

if TYPE_CHECKING:
    from offroad_seg.replay.fleet import Job, Runner

_NOT_THE_SAME = ("bag", "out", "overwrite", "resume", "view", "host", "port", "workers", "ray_address")
_FAILED_SHOWN = 20


def add_fleet_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of several bags."""
    parser.add_argument(
        "--ray-address",
        metavar="A",
        help="replay the bags on a Ray cluster: local, auto (this machine's) or HOST:PORT",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="bags at once, each on one core; without --ray-address on this machine",
    )


def is_fleet(args: argparse.Namespace) -> bool:
    """Whether the options ask for several bags, or for workers."""
    return len(args.bag) > 1 or args.ray_address is not None or args.workers is not None


@dataclass(frozen=True)
class ReplayOne:
    """Replays one bag with the options of the command; it is sent to the workers.

    Attributes:
        args: The command's options.
    """

    args: argparse.Namespace

    def __call__(self, bag: Path, out: Path) -> None:
        """Replay ``bag`` into ``out``; a replay of it that was broken off goes on."""
        from offroad_seg.cli.replay_one import replay_one
        from offroad_seg.replay.resume import partial_folder

        one = {"bag": bag, "out": out, "resume": partial_folder(out).is_dir(), "overwrite": False}
        replay_one(argparse.Namespace(**(vars(self.args) | one)))


def run_fleet(args: argparse.Namespace) -> int:
    """Replay all bags; 0 if every one gave a result, else 1.

    Raises:
        InputError: An option cannot be used.
        OffroadSegError: No bag gave a result.
    """
    from offroad_seg.bundle import Bundle
    from offroad_seg.replay.fleet import jobs_of, prepare, run_all
    from offroad_seg.replay.fleet_merge import check_arrow
    from offroad_seg.resources import check_output

    _check(args)
    check_arrow()
    bundle = Bundle.load(args.bundle)
    jobs = jobs_of(args.bag, args.out)
    _one_thread(args)
    identity = _identity(args, bundle.manifest.digest, jobs)
    check_output(args.out, overwrite=args.overwrite or args.resume)
    started = time.perf_counter()
    failed: dict[str, str] = {}
    with ExitStack() as stack:
        runner = _runner(args, stack)
        prepare(args.out, identity, resume=args.resume, overwrite=args.overwrite)
        for outcome in _shown(run_all(jobs, runner), len(jobs)):
            if outcome.error:
                failed[outcome.name] = outcome.error
                print(f"{outcome.name}: no result: {outcome.error}", file=sys.stderr)
    done = [job for job in jobs if job.name not in failed]
    if not done:
        first = next(iter(failed.items()))
        raise OffroadSegError(
            f"not one of the {len(jobs)} bags gave a result", where=f"{first[0]}: {first[1]}"
        )
    metrics = _finish(args.out, done, failed, bundle.ontology, time.perf_counter() - started)
    print(_summary(metrics, args.out))
    return 1 if failed else 0


def _check(args: argparse.Namespace) -> None:
    if args.workers is not None and not 1 <= args.workers <= 4096:
        raise InputError(f"--workers is {args.workers}", mend="give 1 to 4096")
    if args.view:
        raise InputError("--view shows one bag at a time", mend="leave it out, or give one bag")
    if args.via_ros and (args.ray_address or args.workers):
        raise InputError(
            "--via-ros replays one bag after the other", mend="leave --ray-address and --workers out"
        )
    if args.resume and args.overwrite:
        raise InputError("--resume goes on and --overwrite begins anew", mend="give one of them")


def _one_thread(args: argparse.Namespace) -> None:
    # Numbers must not depend on how many bags run at once, and workers must not fight for the cores.
    if not args.via_ros and not any(word.startswith("threads=") for word in args.param):
        args.param = [*args.param, "threads=1"]


def _identity(args: argparse.Namespace, digest: str, jobs: list[Job]) -> dict[str, Any]:
    options = {
        name: [str(v) for v in value] if isinstance(value, list) else None if value is None else str(value)
        for name, value in sorted(vars(args).items())
        if name not in (*_NOT_THE_SAME, "command", "run", "verbose", "bundle")
    }
    return {"bundle": digest, "options": options, "bags": {job.name: str(job.bag) for job in jobs}}


def _runner(args: argparse.Namespace, stack: ExitStack) -> Runner:
    from offroad_seg.replay.fleet import InProcess
    from offroad_seg.replay.fleet_ray import LOCAL, OnRay

    for name in ("bundle", "out", "compare_with"):
        if (value := getattr(args, name)) is not None:
            setattr(args, name, value.resolve())
    args.params = [file.resolve() for file in args.params]
    for name in ("camera_info", "truth"):
        setattr(args, name, [str(Path(w).resolve()) if Path(w).exists() else w for w in getattr(args, name)])
    # What argparse put in is a function of this process, of no use in another.
    work = ReplayOne(argparse.Namespace(**{k: v for k, v in vars(args).items() if k != "run"}))
    if args.ray_address is None and args.workers is None:
        return InProcess(work)
    runner = OnRay(work, address=args.ray_address or LOCAL, workers=args.workers, gpu=args.device != "cpu")
    return stack.enter_context(runner)


def _shown(outcomes: Any, total: int) -> Any:
    from offroad_seg.progress import progress

    return progress(outcomes, what="bags", total=total, unit="bag")


def _finish(
    out: Path, done: list[Job], failed: dict[str, str], ontology: Any, seconds: float
) -> dict[str, Any]:
    from offroad_seg.replay.fleet_merge import PARQUET_NAME, merge, write_parquet
    from offroad_seg.replay.fleet_report import write_report
    from offroad_seg.resources import write_text

    metrics = merge(done, failed, ontology, seconds=seconds)
    text = json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False)
    write_parquet(out / PARQUET_NAME, done, ontology)
    write_report(out / "report.html", metrics)
    write_text(out / "metrics.json", text + "\n")
    return metrics


def _summary(metrics: dict[str, Any], out: Path) -> str:
    from offroad_seg.replay.report_tables import figures

    lines = [f"  {f['name']:<22}{f['value'] + ' ' + f['unit']:>10}  {f['note']}" for f in figures(metrics)]
    lines.append(f"  {'Bags':<22}{len(metrics['bags']):>9}   {len(metrics['failed'])} gave no result")
    for name, error in list(metrics["failed"].items())[:_FAILED_SHOWN]:
        lines.append(f"  no result: {name}: {error}")
    names = (("report", "report.html"), ("metrics", "metrics.json"), ("frames", "frames.parquet"))
    return "\n".join([*lines, *(f"  {name:<8} {(out / file).resolve()}" for name, file in names)])
