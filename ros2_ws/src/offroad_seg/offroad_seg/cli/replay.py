# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg replay``: a bag in, numbers and a picture of the truth out."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.cli.command import Command
from offroad_seg.cli.replay_fleet import add_fleet_arguments, is_fleet, run_fleet
from offroad_seg.cli.replay_measures import add_measure_arguments, measures_of, second_bundle
from offroad_seg.cli.replay_source import add_source_arguments, load_pipelines, open_source
from offroad_seg.cli.view import add_server_arguments, open_server, shown
from offroad_seg.errors import InputError

if TYPE_CHECKING:
    import argparse

    from offroad_seg.cli.replay_source import Opened
    from offroad_seg.replay.live_server import LiveServer
    from offroad_seg.replay.runner import Replay

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


def replay_one(args: argparse.Namespace) -> dict[str, Any]:
    """Replay the one bag of ``args``; what stands in ``metrics.json``.

    Raises:
        OffroadSegError: Something cannot be used, or failed.
    """
    with open_source(args) as opened:
        return _replay(args, opened)


def _replay(args: argparse.Namespace, opened: Opened) -> dict[str, Any]:
    from offroad_seg.replay.runner import Replay

    replay = Replay(
        source=opened.source,
        bundle=opened.bundle,
        out=args.out,
        mode="via_ros" if args.via_ros else "offline",
        engine={},
        settings=opened.values,
        overwrite=args.overwrite,
        measures=measures_of(args, opened),
    )
    with ExitStack() as stack:
        server = stack.enter_context(open_server(args, opened.source.topics.names)) if args.view else None
        if args.via_ros:
            return _via_ros(args, opened, replay, server)
        return _offline(args, opened, replay, server)


def _offline(
    args: argparse.Namespace, opened: Opened, replay: Replay, server: LiveServer | None
) -> dict[str, Any]:
    from offroad_seg.cli.replay_resume import identity_of, say_kept, say_resumed
    from offroad_seg.replay.offline import perceive
    from offroad_seg.replay.resume import partial_run, spooled

    pipelines = load_pipelines(opened, opened.source.topics.names)
    pipeline = next(iter(pipelines.values()))
    try:
        info = pipeline.segmenter.engine.info
        replay.engine |= {
            "backend": info.backend,
            "version": info.version,
            "device": info.device,
            "precision": info.precision,
            "providers": " ".join(info.providers),
        }
        identity = identity_of(args, opened, replay.engine)
        with (
            partial_run(args.out, identity, resume=args.resume, overwrite=args.overwrite) as spools,
            shown(server, opened, pipelines) as show,
            second_bundle(args, opened, replay) as beside,
        ):
            say_resumed(args, len(spools[0]))
            run = spooled(pipelines, spools[0], lambda items: perceive(items, pipelines))
            return replay.run(lambda items: beside(show(run(items)), spools[1]))
    except InputError:
        raise
    except BaseException:
        say_kept(args)
        raise
    finally:
        pipeline.close()


def _via_ros(
    args: argparse.Namespace, opened: Opened, replay: Replay, server: LiveServer | None
) -> dict[str, Any]:
    from importlib.util import find_spec

    if find_spec("rclpy") is None:
        raise InputError(
            "--via-ros needs ROS 2, and there is no rclpy",
            mend="source /opt/ros/DISTRO/setup.bash, or pip install 'offroad-seg[ros]'; or leave --via-ros out",
        )
    from offroad_seg.ros.player import NodeReplay

    with NodeReplay(opened.source, opened.values, args.bundle, rate=args.rate) as node:
        replay.engine = node.engine
        replay.extra = node.extra
        with shown(server, opened, None) as show, second_bundle(args, opened, replay) as beside:
            return replay.run(lambda items: beside(show(node.perceive(items)), None))


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
