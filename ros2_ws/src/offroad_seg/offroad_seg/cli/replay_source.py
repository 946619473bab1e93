# SPDX-License-Identifier: Apache-2.0
"""What every command that runs a bundle over a bag has in common: its options, and what they lead to."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from offroad_seg.bundle import Bundle
    from offroad_seg.pipeline import PerceptionPipeline
    from offroad_seg.replay.frames import FrameSource


@dataclass(frozen=True)
class Opened:
    """A bag that is open and a bundle that was checked.

    Attributes:
        bundle: What shall run.
        source: The bag's frames.
        values: The node's parameters by ROS name, completed from the bag.
    """

    bundle: Bundle
    source: FrameSource
    values: dict[str, Any]


def add_source_arguments(parser: argparse._ActionsContainer) -> None:
    """The options that choose topics, frames, back end and parameters."""
    add = parser.add_argument
    many: Any = {"action": "append", "default": [], "metavar": "T"}
    add(
        "--topic", **many, help="a camera's Image or CompressedImage topic; several times for several cameras"
    )
    add("--camera-info", **many, help="its CameraInfo topic, or a calibration file (YAML)")
    add("--odom", metavar="T", help="the vehicle's Odometry topic")
    add("--depth", **many, help="its aligned depth Image (depth beside the image)")
    add("--truth", **many, help="true class ids, mono8 (labels_truth beside the image), or a folder of masks")
    add("--true-costmap", metavar="T", help="the world's true OccupancyGrid (/ground_truth/costmap)")
    add("--base-frame", metavar="F", help="the vehicle's frame (the odometry's child frame, else base_link)")
    add("--odom-frame", metavar="F", help="the frame to fuse in (the odometry's frame, else odom)")
    add("--backend", metavar="B", help="back end that runs the bundle (its own)")
    add("--device", default=None, help="auto, cpu, cuda or cuda:N (auto)")
    add("--params", action="append", default=[], type=Path, metavar="YAML", help="the node's parameter file")
    add("--param", action="append", default=[], metavar="NAME=VALUE", help="one of the node's parameters")


@contextmanager
def open_source(args: argparse.Namespace) -> Iterator[Opened]:
    """Open the bag and the bundle that ``args`` name.

    Raises:
        InputError: An option, the bundle or the bag cannot be used.
    """
    from offroad_seg.bundle import Bundle
    from offroad_seg.cli.replay_settings import read_parameters, settings_of
    from offroad_seg.replay.bag import open_bag
    from offroad_seg.replay.frames import FrameSource
    from offroad_seg.replay.topic_search import choose_topics
    from offroad_seg.transforms import camera_mount

    values = read_parameters(args.params, args.param)
    if values.get("attitude") == "imu":
        raise InputError(
            "a replay takes roll and pitch from the bag's poses, not from an IMU",
            where="attitude: imu",
            mend="--param attitude=odom; where odometry is flat, the costmap is then that of a flat vehicle",
        )
    bundle = Bundle.load(args.bundle)
    with open_bag(args.bag) as bag:
        topics = choose_topics(
            bag,
            image=args.topic,
            camera_info=args.camera_info,
            odometry=args.odom,
            truth=args.truth,
            depth=args.depth,
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
            ontology=bundle.ontology,
        )
        source.check_calibration()
        values |= {"base_frame": source.base_frame, "odom_frame": source.odom_frame}
        if not values.get("costmap_frame") and not source.has_odometry:
            # Without a pose over time nothing can be fused: each frame is mapped by itself.
            values["costmap_frame"] = source.base_frame
        for name, value in (("backend", args.backend), ("device", args.device)):
            if value is not None:
                values[name] = value
        yield Opened(bundle, source, values)


def load_pipelines(opened: Opened, cameras: Sequence[str]) -> dict[str, PerceptionPipeline]:
    """A pipeline for each camera, which share engine and costmap, warmed up; close one.

    Raises:
        EngineError: The engine cannot run here.
    """
    from offroad_seg.cli.replay_settings import settings_of
    from offroad_seg.pipeline import build_pipelines
    from offroad_seg.ros.loading import pipeline_settings

    settings, costs = settings_of(opened.values)
    pipelines = build_pipelines(
        opened.bundle,
        cameras,
        backend=settings.backend or None,
        device=settings.device,
        threads=settings.threads,
        settings=pipeline_settings(settings, costs),
        spin=False,  # reading, measuring and drawing go on beside it
    )
    next(iter(pipelines.values())).segmenter.warm_up()
    return pipelines
