# SPDX-License-Identifier: Apache-2.0
"""What happens to one image message, in the worker's thread: check, segment, locate, map, publish."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.errors import (
    BlindError,
    CameraError,
    EngineError,
    GpuMemoryError,
    ImageError,
    OffroadSegError,
    TransformError,
)
from offroad_seg.mapping.doubt import ood_share
from offroad_seg.pipeline import NO_DEPTH
from offroad_seg.ros.depth import samples_for
from offroad_seg.ros.health import Level
from offroad_seg.ros.stamp_guard import age_problem
from offroad_seg.sensor_messages import compressed_to_rgb, image_to_rgb, stamp_ns
from offroad_seg.types import COST_UNKNOWN, Frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from offroad_seg.camera import CameraModel
    from offroad_seg.ros.camera_source import CameraSource, Captured
    from offroad_seg.ros.outputs import GridOutputs
    from offroad_seg.ros.rig import Rig
    from offroad_seg.ros.settings import Settings
    from offroad_seg.ros.transform_source import Poses, TransformSource
    from offroad_seg.segmenter import NetworkSegmentation
    from offroad_seg.types import Segmentation

MAX_ENGINE_ERRORS = 10
"""So many frames in a row without a usable result, and the node deactivates itself."""


@dataclass(frozen=True)
class Surroundings:
    """What the processor works with.

    Attributes:
        rig: Engine, costmap and pipelines.
        transforms: Poses at a stamp.
        grid: Where the costmap goes.
        now_ns: ROS time.
        seeing: Told whether a camera's picture shows anything.
        mapped: Told which camera gave a costmap.
        give_up: Told why the node must stop, and whether that is an error of the node, not of its input.
    """

    rig: Rig
    transforms: TransformSource
    grid: GridOutputs
    now_ns: Callable[[], int]
    seeing: Callable[[CameraSource, bool], None]
    mapped: Callable[[CameraSource], None]
    give_up: Callable[[str, bool], None]


class FrameProcessor:
    """Turns image messages into outputs; nothing it meets in a message ends the node.

    Args:
        around: The parts of the node that it works with.
        settings: Replaced whole when a dynamic parameter changes.

    Attributes:
        longest_s: How long a frame takes, s; a long one is slowly forgotten.
    """

    def __init__(self, around: Surroundings, settings: Settings) -> None:
        self.settings = settings
        self._around = around
        self._engine_errors = 0
        self._generation = 0
        self.longest_s = around.rig.warm_up_s

    def forget(self) -> None:
        """Time ran back, or the node stops: nothing that is still being worked on may be published."""
        self._generation += 1

    def process(self, captured: Captured) -> None:
        """All of one frame."""
        started = time.monotonic()
        generation, revocations = self._generation, self._around.grid.revocations
        camera, header = captured.camera, captured.message.header
        try:
            frame = self._frame(camera, captured.message)
            if frame is None:
                return
            segmentation = self._segment(camera, frame)
            if segmentation is None or generation != self._generation:
                return
            camera.outputs.publish_segmentation(frame, segmentation, header)
            height, width = segmentation.labels_HW.shape
            camera.outputs.nav.publish_camera_info(
                lambda: camera.calibration.scaled_info(height, width, header)
            )
            camera.report.event("labels")
            located = self._located(captured, frame)
            if located is not None and generation == self._generation:
                self._map(camera, *located, segmentation, revocations, header)
        finally:
            took_s = time.monotonic() - started
            self.longest_s = max(took_s, 0.9 * self.longest_s)
            camera.report.sample("total_ms", 1e3 * took_s)

    def _frame(self, camera: CameraSource, message: Any) -> Frame | None:
        stamp = stamp_ns(message.header)
        if problem := age_problem(stamp, self._around.now_ns(), self.settings.max_age):
            camera.report.drop("camera", *problem)
            return None
        started = time.monotonic()
        try:
            image = image_to_rgb(message) if hasattr(message, "encoding") else compressed_to_rgb(message)
        except ImageError as error:
            camera.report.drop("camera", "bad_image", error.one_line())
            return None
        camera.report.clear("camera", "bad_image", "too_old", "from_future")
        frame = Frame(image, stamp, message.header.frame_id)
        try:
            camera.pipeline.check_sight(frame)
        except BlindError as error:
            self._around.seeing(camera, False)
            camera.report.drop("camera", "blind", error.one_line())
            return None
        self._around.seeing(camera, True)
        camera.report.clear("camera", "blind")
        model = self._calibration(camera, *image.shape[:2])
        camera.report.sample("decode_ms", 1e3 * (time.monotonic() - started))
        return replace(frame, camera=model)

    def _calibration(self, camera: CameraSource, height: int, width: int) -> CameraModel | None:
        try:
            model = camera.calibration.model(height, width)
        except CameraError as error:
            camera.report.drop("costmap", "bad_camera_info", error.one_line())
            return None
        camera.report.clear("costmap", "bad_camera_info")
        return model

    def _segment(self, camera: CameraSource, frame: Frame) -> NetworkSegmentation | None:
        report, started = camera.report, time.monotonic()

        def short_of_memory(reason: str) -> None:
            text = f"{reason}; its memory is freed, and the frame tried once more"
            report.drop("inference", "gpu_memory", text)

        try:
            segmentation = self._around.rig.segment(camera.name, frame, short_of_memory)
        except GpuMemoryError as error:
            report.drop("inference", "gpu_memory", error.one_line(), Level.ERROR)
            self._around.give_up(error.one_line(), True)
            return None
        except EngineError as error:
            report.drop("inference", "engine_error", error.one_line(), Level.ERROR)
            self._count_error(error.one_line())
            return None
        except Exception as error:
            self._count_error(f"{type(error).__name__}: {error}")
            raise
        self._engine_errors = 0
        report.clear("inference")
        report.sample("segment_ms", 1e3 * (time.monotonic() - started))
        report.sample("mean_confidence", segmentation.mean_confidence)
        share = ood_share(segmentation.network or segmentation)
        if share is not None:
            report.sample("ood_share", share)
        return segmentation

    def _count_error(self, reason: str) -> None:
        self._engine_errors += 1
        if self._engine_errors >= MAX_ENGINE_ERRORS:
            self._engine_errors = 0
            self._around.give_up(f"{MAX_ENGINE_ERRORS} frames in a row failed: {reason}", False)

    def _located(self, captured: Captured, frame: Frame) -> tuple[Frame, Poses] | None:
        """The frame with its depth, where that is asked for, and where it was taken; None if something is missing."""
        camera = captured.camera
        if frame.camera is None or (poses := self._poses(camera, frame)) is None:
            return None
        if captured.depth is None:
            return frame, poses
        message = camera.depth.wait(captured.depth, self.settings.tf_timeout)
        if message is None:
            reason = f"no depth image within {self.settings.depth_tolerance:g} s of the image's stamp"
            camera.report.drop("costmap", "no_depth", reason)
            return None
        camera.report.clear("costmap", "no_depth")
        try:
            return replace(frame, depth_HW=samples_for(message, frame)), poses
        except ImageError as error:
            camera.report.drop("costmap", "bad_depth", error.one_line())
            return None

    def _map(
        self,
        camera: CameraSource,
        frame: Frame,
        poses: Poses,
        segmentation: Segmentation,
        revocations: int,
        header: Any,
    ) -> None:
        report = camera.report
        try:
            perception = camera.pipeline.map(frame, segmentation, poses.base_T_camera, poses.odom_T_base)
            self._publish_points(camera, frame, segmentation, poses, header)
        except OffroadSegError as error:
            report.drop("costmap", "no_costmap", error.one_line())
            return
        for stage, milliseconds in perception.timings_ms.items():
            report.sample(f"{stage}_ms", milliseconds)
        costmap = perception.costmap
        if costmap is None:
            reason = perception.costmap_reason
            report.drop("costmap", "bad_depth" if reason.startswith(NO_DEPTH) else "no_costmap", reason)
            return
        try:
            published = self._around.grid.publish(costmap, revocations)
        except ValueError as error:
            report.drop("costmap", "invalid_grid", str(error), Level.ERROR)
            return
        if not published:
            report.count("revoked", "the costmap came after everything was declared unknown")
            return
        self._around.mapped(camera)
        report.clear("costmap")
        report.event("costmap")
        report.sample("unknown_share", float(np.mean(costmap.cost_HW == COST_UNKNOWN)))
        if camera.pipeline.projector is not None:
            report.sample("contact_slope", camera.pipeline.projector.contact_slope)

    def _publish_points(
        self, camera: CameraSource, frame: Frame, segmentation: Segmentation, poses: Poses, header: Any
    ) -> None:
        nav = camera.outputs.nav
        if not nav.wants_points:
            return
        started = time.monotonic()
        points_HW = camera.pipeline.points(frame, segmentation, poses.base_T_camera, poses.odom_T_base)
        if points_HW is not None:
            nav.publish_points(points_HW, header)
            camera.report.sample("points_ms", 1e3 * (time.monotonic() - started))

    def _poses(self, camera: CameraSource, frame: Frame) -> Poses | None:
        started = time.monotonic()
        transforms = self._around.transforms
        try:
            poses = transforms.poses(frame.frame_id, frame.stamp_ns, self.settings.tf_timeout, camera.name)
        except TransformError as error:
            camera.report.drop("costmap", "no_transform", error.one_line())
            return None
        camera.report.clear("costmap", "no_transform")
        camera.report.sample("tf_wait_ms", 1e3 * (time.monotonic() - started))
        newest = transforms.newest_ns()
        if newest is not None:
            camera.report.sample("tf_age_ms", (self._around.now_ns() - newest) / 1e6)
        return poses
