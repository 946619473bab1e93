# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg replay``: a bag in, numbers and a picture of the truth out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.cli.command import Command
from offroad_seg.errors import InputError

if TYPE_CHECKING:
    import argparse

    from offroad_seg.bundle import Bundle
    from offroad_seg.replay.frames import FrameSource
    from offroad_seg.ros.settings import Settings

_EPILOG = """\
examples:
  offroad-seg replay BUNDLE drive.mcap --out result
  offroad-seg replay BUNDLE drive --topic /front/image_raw/compressed --params config/perception.yaml --out result
  offroad-seg replay BUNDLE drive --via-ros --rate 1 --out result

Topics that are not given are guessed and named in the report; `none` as a topic leaves it out.
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("bundle", type=Path, metavar="BUNDLE", help="folder of the bundle to run")
    add("bag", type=Path, metavar="BAG", help="a bag folder, .mcap or .db3 file")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    add("--overwrite", action="store_true", help="replace the folder where it is not empty")
    add("--topic", metavar="T", help="the camera's Image or CompressedImage topic")
    add("--camera-info", metavar="T", help="its CameraInfo topic")
    add("--odom", metavar="T", help="the vehicle's Odometry topic")
    add("--truth", metavar="T", help="true class ids, mono8 (labels_truth beside the image)")
    add("--true-costmap", metavar="T", help="the world's true OccupancyGrid (/ground_truth/costmap)")
    add("--base-frame", metavar="F", help="the vehicle's frame (the odometry's child frame, else base_link)")
    add("--odom-frame", metavar="F", help="the frame to fuse in (the odometry's frame, else odom)")
    add("--backend", metavar="B", help="back end that runs the bundle (its own)")
    add("--device", default=None, help="auto, cpu, cuda or cuda:N (auto)")
    add("--params", action="append", default=[], type=Path, metavar="YAML", help="the node's parameter file")
    add("--param", action="append", default=[], metavar="NAME=VALUE", help="one of the node's parameters")
    add("--via-ros", action="store_true", help="play the bag over DDS into the real node, in another process")
    add(
        "--rate",
        type=float,
        metavar="R",
        help="with --via-ros: R times real time, drops counted; without it the bag waits for the node",
    )


def _run(args: argparse.Namespace) -> int:
    from offroad_seg.bundle import Bundle
    from offroad_seg.cli.replay_settings import read_parameters, settings_of
    from offroad_seg.replay.bag import open_bag
    from offroad_seg.replay.frames import FrameSource
    from offroad_seg.replay.topics import choose_topics
    from offroad_seg.resources import check_output
    from offroad_seg.transforms import camera_mount

    if args.rate is not None and (not args.via_ros or not 0 < args.rate <= 100):
        raise InputError(
            "--rate is a factor above 0 and at most 100, and needs --via-ros", where=f"--rate {args.rate}"
        )
    check_output(args.out, overwrite=args.overwrite)
    values = read_parameters(args.params, args.param)
    bundle = Bundle.load(args.bundle)
    with open_bag(args.bag) as bag:
        topics = choose_topics(
            bag,
            image=args.topic,
            camera_info=args.camera_info,
            odometry=args.odom,
            truth=args.truth,
            grid=args.true_costmap,
        )
        settings, _ = settings_of(values)
        mount = settings.mount()
        source = FrameSource(
            bag,
            topics,
            base_frame=args.base_frame or values.get("base_frame"),
            odom_frame=args.odom_frame or values.get("odom_frame"),
            mount=None if mount is None else camera_mount(*mount),
        )
        source.check_calibration()
        values |= {"base_frame": source.base_frame, "odom_frame": source.odom_frame}
        if not values.get("costmap_frame") and not source.has_odometry:
            # Without a pose over time nothing can be fused: each frame is mapped by itself.
            values["costmap_frame"] = source.base_frame
        for name, value in (("backend", args.backend), ("device", args.device)):
            if value is not None:
                values[name] = value
        metrics = _replay(args, values, bundle, source)
    print(_summary(metrics, args.out))
    return 0


def _replay(
    args: argparse.Namespace, values: dict[str, Any], bundle: Bundle, source: FrameSource
) -> dict[str, Any]:
    from offroad_seg.cli.replay_settings import settings_of
    from offroad_seg.replay.runner import Replay

    replay = Replay(
        source=source,
        bundle=bundle,
        out=args.out,
        mode="via_ros" if args.via_ros else "offline",
        engine={},
        settings=values,
        overwrite=args.overwrite,
    )
    if args.via_ros:
        return _via_ros(args, values, replay)
    settings, costs = settings_of(values)
    return _offline(settings, costs, replay)


def _offline(settings: Settings, costs: dict[str, Any], replay: Any) -> dict[str, Any]:
    from offroad_seg.pipeline import build_pipeline
    from offroad_seg.replay.offline import perceive
    from offroad_seg.ros.loading import pipeline_settings

    pipeline = build_pipeline(
        replay.bundle,
        backend=settings.backend or None,
        device=settings.device,
        threads=settings.threads,
        settings=pipeline_settings(settings, costs),
    )
    try:
        pipeline.segmenter.warm_up()
        info = pipeline.segmenter.engine.info
        replay.engine |= {
            "backend": info.backend,
            "version": info.version,
            "device": info.device,
            "precision": info.precision,
            "providers": " ".join(info.providers),
        }
        metrics: dict[str, Any] = replay.run(lambda items: perceive(items, pipeline))
    finally:
        pipeline.close()
    return metrics


def _via_ros(args: argparse.Namespace, values: dict[str, Any], replay: Any) -> dict[str, Any]:
    from importlib.util import find_spec

    if find_spec("rclpy") is None:
        raise InputError(
            "--via-ros needs ROS 2, and there is no rclpy",
            mend="source /opt/ros/DISTRO/setup.bash, or pip install 'offroad-seg[ros]'; or leave --via-ros out",
        )
    from offroad_seg.ros.player import NodeReplay

    with NodeReplay(replay.source, values, args.bundle, rate=args.rate) as node:
        replay.engine = node.engine
        replay.extra = node.extra
        metrics: dict[str, Any] = replay.run(node.perceive)
    return metrics


def _summary(metrics: dict[str, Any], out: Path) -> str:
    from offroad_seg.replay.report_tables import figures, notes

    lines = [f"  {f['name']:<22}{f['value'] + ' ' + f['unit']:>10}  {f['note']}" for f in figures(metrics)]
    lines += [f"  note: {note}" for note in notes(metrics)]
    files = [f"  {name:<8} {(out / file).resolve()}" for name, file in _FILES]
    return "\n".join([*lines, *files])


_FILES = (("report", "report.html"), ("metrics", "metrics.json"), ("bag", "annotated.mcap"))

COMMAND = Command(
    name="replay",
    help="run a bundle over a bag: metrics.json, report.html, annotated.mcap",
    add_arguments=_add_arguments,
    run=_run,
    epilog=_EPILOG,
)
