# SPDX-License-Identifier: Apache-2.0
"""What happens to one image message, in the worker's thread: check, segment, locate, map, publish."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.errors import CameraError, EngineError, ImageError, OffroadSegError, TransformError
from offroad_seg.mapping.doubt import ood_share
from offroad_seg.ros.health import Level
from offroad_seg.ros.stamp_guard import age_problem
from offroad_seg.sensor_messages import compressed_to_rgb, image_to_rgb, stamp_ns
from offroad_seg.types import COST_UNKNOWN, Frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from offroad_seg.camera import CameraModel
    from offroad_seg.pipeline import PerceptionPipeline
    from offroad_seg.ros.camera_info import CalibrationCache
    from offroad_seg.ros.health import Health
    from offroad_seg.ros.outputs import Outputs
    from offroad_seg.ros.settings import Settings
    from offroad_seg.ros.statistics import Statistics
    from offroad_seg.ros.transform_source import Poses, TransformSource
    from offroad_seg.segmenter import NetworkSegmentation
    from offroad_seg.types import Segmentation

MAX_ENGINE_ERRORS = 10
"""So many frames in a row without a usable result, and the node deactivates itself."""


@dataclass(frozen=True)
class Surroundings:
    """What the processor works with."""

    pipeline: PerceptionPipeline
    calibration: CalibrationCache
    transforms: TransformSource
    outputs: Outputs
    health: Health
    statistics: Statistics
    now_ns: Callable[[], int]
    warn: Callable[[str, str], None]
    costmap_published: Callable[[], None]
    give_up: Callable[[str], None]


class FrameProcessor:
    """Turns image messages into outputs; nothing it meets in a message ends the node.

    Args:
        around: The parts of the node that it works with.
        settings: Replaced whole when a dynamic parameter changes.
    """

    def __init__(self, around: Surroundings, settings: Settings) -> None:
        self.settings = settings
        self._around = around
        self._engine_errors = 0
        self._generation = 0
        self.longest_s = 0.0

    def forget(self) -> None:
        """Time ran back: nothing that is still being worked on may be published."""
        self._generation += 1

    def reset(self) -> None:
        """Clear the fused costmap; in the worker's thread."""
        self._around.pipeline.reset()

    def process(self, message: Any) -> None:
        """All of one frame."""
        started = time.monotonic()
        generation = self._generation
        try:
            frame = self._frame(message)
            if frame is None:
                return
            segmentation = self._segment(frame)
            if segmentation is None or generation != self._generation:
                return
            outputs = self._around.outputs
            outputs.publish_segmentation(frame, segmentation, message.header)
            height, width = segmentation.labels_HW.shape
            calibration = self._around.calibration
            outputs.nav.publish_camera_info(lambda: calibration.scaled_info(height, width, message.header))
            self._around.statistics.event("labels")
            self._map(frame, segmentation, generation, message.header)
        finally:
            took_s = time.monotonic() - started
            # Slowly forgets a long frame, such as the first one.
            self.longest_s = max(took_s, 0.9 * self.longest_s)
            self._around.statistics.sample("total_ms", 1e3 * took_s)

    def _frame(self, message: Any) -> Frame | None:
        stamp = stamp_ns(message.header)
        if problem := age_problem(stamp, self._around.now_ns(), self.settings.max_age):
            self._drop("camera", *problem)
            return None
        started = time.monotonic()
        try:
            image = image_to_rgb(message) if hasattr(message, "encoding") else compressed_to_rgb(message)
        except ImageError as error:
            self._drop("camera", "bad_image", error.one_line())
            return None
        self._around.health.clear("camera", "bad_image", "too_old", "from_future")
        camera = self._camera(*image.shape[:2])
        self._around.statistics.sample("decode_ms", 1e3 * (time.monotonic() - started))
        return Frame(image, stamp, message.header.frame_id, camera)

    def _camera(self, height: int, width: int) -> CameraModel | None:
        try:
            camera = self._around.calibration.model(height, width)
        except CameraError as error:
            self._drop("costmap", "bad_camera_info", error.one_line())
            return None
        self._around.health.clear("costmap", "bad_camera_info")
        return camera

    def _segment(self, frame: Frame) -> NetworkSegmentation | None:
        started = time.monotonic()
        try:
            segmentation = self._around.pipeline.segmenter.segment(frame)
        except EngineError as error:
            self._engine_errors += 1
            self._drop("inference", "engine_error", error.one_line(), Level.ERROR)
            if self._engine_errors >= MAX_ENGINE_ERRORS:
                self._engine_errors = 0
                self._around.give_up(f"{MAX_ENGINE_ERRORS} frames in a row failed: {error.one_line()}")
            return None
        self._engine_errors = 0
        self._around.health.clear("inference", "engine_error", "internal_error")
        self._around.statistics.sample("segment_ms", 1e3 * (time.monotonic() - started))
        self._around.statistics.sample("mean_confidence", segmentation.mean_confidence)
        share = ood_share(segmentation.network or segmentation)
        if share is not None:
            self._around.statistics.sample("ood_share", share)
        return segmentation

    def _map(self, frame: Frame, segmentation: Segmentation, generation: int, header: Any) -> None:
        if frame.camera is None or (poses := self._poses(frame)) is None:
            return
        try:
            perception = self._around.pipeline.map(
                frame, segmentation, poses.base_T_camera, poses.odom_T_base
            )
            self._publish_points(frame, segmentation, poses, header)
        except OffroadSegError as error:
            self._drop("costmap", "no_costmap", error.one_line())
            return
        for stage, milliseconds in perception.timings_ms.items():
            self._around.statistics.sample(f"{stage}_ms", milliseconds)
        costmap = perception.costmap
        if costmap is None:
            self._drop("costmap", "no_costmap", perception.costmap_reason)
            return
        if generation != self._generation:
            return
        try:
            published = self._around.outputs.publish_costmap(costmap)
        except ValueError as error:
            self._drop("costmap", "invalid_grid", str(error), Level.ERROR)
            return
        if not published:
            self._around.statistics.drop("revoked", "the costmap came after everything was declared unknown")
            return
        self._around.costmap_published()
        self._around.health.clear("costmap")
        self._around.statistics.event("costmap")
        self._around.statistics.sample("unknown_share", float(np.mean(costmap.cost_HW == COST_UNKNOWN)))

    def _publish_points(self, frame: Frame, segmentation: Segmentation, poses: Poses, header: Any) -> None:
        nav = self._around.outputs.nav
        if not nav.wants_points:
            return
        started = time.monotonic()
        points_HW = self._around.pipeline.points(frame, segmentation, poses.base_T_camera, poses.odom_T_base)
        if points_HW is not None:
            nav.publish_points(points_HW, header)
            self._around.statistics.sample("points_ms", 1e3 * (time.monotonic() - started))

    def _poses(self, frame: Frame) -> Poses | None:
        started = time.monotonic()
        try:
            poses = self._around.transforms.poses(frame.frame_id, frame.stamp_ns, self.settings.tf_timeout)
        except TransformError as error:
            self._drop("costmap", "no_transform", error.one_line())
            return None
        self._around.health.clear("costmap", "no_transform")
        self._around.statistics.sample("tf_wait_ms", 1e3 * (time.monotonic() - started))
        newest = self._around.transforms.newest_ns()
        if newest is not None:
            self._around.statistics.sample("tf_age_ms", (self._around.now_ns() - newest) / 1e6)
        return poses

    def _drop(self, component: str, cause: str, reason: str, level: Level = Level.WARN) -> None:
        self._around.statistics.drop(cause, reason)
        self._around.health.set(component, cause, level, reason)
        self._around.warn(cause, f"{component}: {reason}")
