# SPDX-License-Identifier: Apache-2.0
"""Replay one bag with the options of ``offroad-seg replay``: here, or in a worker of a fleet."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from offroad_seg.cli.replay_measures import measures_of, second_bundle
from offroad_seg.cli.replay_source import load_pipelines, open_source
from offroad_seg.cli.view import open_server, shown
from offroad_seg.errors import InputError

if TYPE_CHECKING:
    import argparse

    from offroad_seg.cli.replay_source import Opened
    from offroad_seg.replay.live_server import LiveServer
    from offroad_seg.replay.runner import Replay


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
