# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg view``: watch a running node, or a bundle on a bag, in a browser."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.cli.command import Command
from offroad_seg.cli.replay_source import add_source_arguments, load_pipelines, open_source
from offroad_seg.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from offroad_seg.cli.replay_source import Opened
    from offroad_seg.pipeline import PerceptionPipeline
    from offroad_seg.replay.live import LiveView
    from offroad_seg.replay.live_server import LiveServer

_HOST, _PORT = "127.0.0.1", 8765
_WAIT_S, _LAST_S = 0.1, 1.0
_EPILOG = """\
examples:
  offroad-seg view                                     the node that runs here
  offroad-seg view --image /camera/image_raw --namespace front
  offroad-seg view BUNDLE drive.mcap --rate 1          a bundle on a bag, at the speed of the recording

Open the address that it prints in Foxglove or Lichtblick ("Open connection", "Foxglove WebSocket").
"""


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Where viewers connect to."""
    parser.add_argument(
        "--host",
        default=_HOST,
        metavar="ADDRESS",
        help="address to listen on (127.0.0.1: this machine only; 0.0.0.0: everybody who can reach it)",
    )
    parser.add_argument(
        "--port", type=int, default=_PORT, metavar="N", help=f"port ({_PORT}; 0: any free one)"
    )


def open_server(args: argparse.Namespace, cameras: Sequence[str] = ()) -> LiveServer:
    """The server, and on the terminal where it is.

    Raises:
        InputError: As ``LiveServer``.
    """
    from offroad_seg.replay.live_server import LiveServer

    server = LiveServer(args.host, args.port, cameras=cameras)
    print(f"live view at {server.url} (Foxglove or Lichtblick: Open connection)", file=sys.stderr)
    if not server.is_local:
        print(
            "  note: everybody who can reach this address sees what the camera sees; nothing is encrypted",
            file=sys.stderr,
        )
    return server


def live_view(
    server: LiveServer, opened: Opened, pipelines: Mapping[str, PerceptionPipeline] | None
) -> LiveView:
    """What shows a replay; ``pipelines`` of the cameras give the points, where they run in this process."""
    from offroad_seg.replay.live import LiveView

    def points_of(frame: Any, perception: Any) -> Any:
        if pipelines is None or frame.base_T_camera is None:
            return None
        pipeline = pipelines[frame.camera]
        return pipeline.points(frame.frame, perception.segmentation, frame.base_T_camera, frame.odom_T_base)

    source = opened.source
    return LiveView(
        server,
        opened.bundle.ontology,
        odom_frame=source.odom_frame,
        base_frame=source.base_frame,
        points_of=points_of,
    )


@contextmanager
def shown(
    server: LiveServer | None, opened: Opened, pipelines: Mapping[str, PerceptionPipeline] | None
) -> Iterator[Callable[[Any], Any]]:
    """A function that lets results pass and shows them, where there is a server."""
    if server is None:
        yield lambda results: results
        return
    with live_view(server, opened, pipelines) as view:
        yield view.tap


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("bundle", type=Path, nargs="?", metavar="BUNDLE", help="with BAG: folder of the bundle to run")
    add("bag", type=Path, nargs="?", metavar="BAG", help="a bag folder, .mcap or .db3 file")
    add_server_arguments(parser)
    add("--rate", type=float, metavar="R", help="of a bag: R times the recording's speed at most (1)")
    add("--loop", action="store_true", help="of a bag: begin again at its end")
    add("--namespace", default="", metavar="NS", help="of a node: its namespace")
    add("--image", metavar="T", help="of a node: the camera's topic (image, below the namespace)")
    add("--colors", type=Path, metavar="BUNDLE", help="of a node: class colours (those of the node's bundle)")
    add_source_arguments(parser.add_argument_group("of a bag, as for replay"))


def _run(args: argparse.Namespace) -> int:
    from offroad_seg.replay.live_server import check_installed

    check_installed()
    if args.bundle is None:
        return _watch_node(args)
    if args.bag is None:
        raise InputError("there is no BAG", where=f"view {args.bundle}", mend="offroad-seg view BUNDLE BAG")
    if args.rate is None:
        args.rate = 1.0
    if not 0 < args.rate <= 100:
        raise InputError("--rate is a factor above 0 and at most 100", where=f"--rate {args.rate}")
    with open_source(args) as opened:
        names = opened.source.topics.names
        pipelines = load_pipelines(opened, names)
    try:
        with open_server(args, names) as server:
            print("playing begins when somebody looks", file=sys.stderr)
            while not server.any_wanted():
                time.sleep(_WAIT_S)
            _play(args, pipelines, server)
            while args.loop:
                for pipeline in pipelines.values():
                    pipeline.reset()
                server.restart_time()
                _play(args, pipelines, server)
            time.sleep(_LAST_S)
    finally:
        next(iter(pipelines.values())).close()
    return 0


def _play(args: argparse.Namespace, pipelines: Mapping[str, PerceptionPipeline], server: LiveServer) -> None:
    from offroad_seg.progress import progress
    from offroad_seg.replay.live import paced
    from offroad_seg.replay.offline import perceive
    from offroad_seg.replay.prefetch import Prefetch

    with (
        open_source(args) as opened,
        live_view(server, opened, pipelines) as view,
        Prefetch(opened.source.frames) as items,
    ):
        results = view.tap(perceive(paced(iter(items), args.rate), pipelines))
        for _ in progress(results, what="view", total=opened.source.topics.images):
            pass


def _watch_node(args: argparse.Namespace) -> int:
    from importlib.util import find_spec

    if find_spec("rclpy") is None:
        raise InputError(
            "watching a node needs ROS 2, and there is no rclpy",
            mend="source /opt/ros/DISTRO/setup.bash, or pip install 'offroad-seg[ros]'; or give BUNDLE BAG",
        )
    from offroad_seg.bundle import read_manifest
    from offroad_seg.ontology import Ontology
    from offroad_seg.ros.live_node import watch

    colors = None
    if args.colors is not None:
        colors = Ontology.from_dict(read_manifest(args.colors).ontology).colors_2563
    with open_server(args) as server:
        return watch(server, namespace=args.namespace, image=args.image, colors_2563=colors)


COMMAND = Command(
    name="view",
    help="watch a running node, or a bundle on a bag, in a browser (Foxglove, Lichtblick)",
    add_arguments=_add_arguments,
    run=_run,
    epilog=_EPILOG,
)
