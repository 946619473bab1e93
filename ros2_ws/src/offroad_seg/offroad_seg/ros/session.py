# SPDX-License-Identifier: Apache-2.0
"""What ``configure`` makes and ``cleanup`` frees, and what comes in between: messages in, worker, watchdogs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offroad_seg.errors import ImageError, TransformError
from offroad_seg.ros.camera_info import CalibrationCache
from offroad_seg.ros.frame_processor import FrameProcessor, Surroundings
from offroad_seg.ros.health import Level
from offroad_seg.ros.loading import load_grouping
from offroad_seg.ros.outputs import Outputs
from offroad_seg.ros.settings import COST_PREFIX
from offroad_seg.ros.stamp_guard import Order, StampGuard, age_problem
from offroad_seg.ros.transform_source import TransformSource
from offroad_seg.ros.watchdog import Watchdog
from offroad_seg.ros.worker import Worker
from offroad_seg.sensor_messages import check_image, stamp_ns

if TYPE_CHECKING:
    from offroad_seg.pipeline import PerceptionPipeline
    from offroad_seg.ros.node import PerceptionNode
    from offroad_seg.ros.settings import Settings


class Session:
    """One configured life of the node. Its ``on_…`` methods are called by the executor's thread only.

    Args:
        node: Gives time, log, health, statistics and publishers.
        pipeline: Loaded and warmed up; the session closes it.
        settings: The parameters.
    """

    def __init__(self, node: PerceptionNode, pipeline: PerceptionPipeline, settings: Settings) -> None:
        self._node, self.pipeline, self._settings = node, pipeline, settings
        ontology = pipeline.segmenter.bundle.ontology
        self.outputs = Outputs(node, ontology, settings, load_grouping(settings, ontology))
        self._transforms = TransformSource(settings)
        self._calibration = CalibrationCache()
        self._guard = StampGuard()
        self._camera_dog, self._costmap_dog = Watchdog(), Watchdog()
        self._give_up_reason = ""
        around = Surroundings(
            pipeline=pipeline,
            calibration=self._calibration,
            transforms=self._transforms,
            outputs=self.outputs,
            health=node.health,
            statistics=node.statistics,
            now_ns=node.now_ns,
            warn=node.warn,
            costmap_published=lambda: self._costmap_dog.feed(node.now_s()),
            give_up=self._give_up,
        )
        self._processor = FrameProcessor(around, settings)
        self._worker: Worker[Any] = Worker(self._processor.process, self._failed, self._min_period_s)

    def activate(self) -> None:
        """Begin to work."""
        self._give_up_reason = ""
        self._node.statistics.clear()
        self._guard.reset()
        self._calibration.clear()
        self._transforms.open()
        self._camera_dog.start(self._node.now_s())
        self.outputs.announce(self._node.now_ns())
        self._worker.start()

    def deactivate(self) -> None:
        """Finish the frame at hand and stop; what consumers hold is declared unknown."""
        self._camera_dog.stop()
        self._costmap_dog.stop()
        self._transforms.close()
        self._processor.forget()
        self._worker.stop()
        self._worker.post(self._processor.reset)
        if self._settings.stall_action == "unknown" and self.outputs.has_known_cells:
            self.outputs.publish_unknown(self._node.now_ns())
        self._node.health.clear("camera")
        self._node.health.clear("costmap")
        self._node.health.clear("inference")

    def destroy(self) -> None:
        """Free everything."""
        self._worker.stop()
        self.outputs.destroy()
        self.pipeline.close()

    def apply(self, settings: Settings, changes: dict[str, Any]) -> None:
        """Take checked changes of dynamic parameters."""
        self._settings = self._processor.settings = settings
        for name, value in changes.items():
            if name.startswith(COST_PREFIX):
                class_name = name[len(COST_PREFIX) :]
                self._worker.post(lambda n=class_name, v=value: self.pipeline.set_class_cost(n, v))  # type: ignore[misc]

    def on_image(self, message: Any) -> None:
        """The newest image: judged by its header, then left in the slot."""
        node = self._node
        node.statistics.event("image")
        now_ns = node.now_ns()
        if now_ns == 0:
            self._drop("no_clock", "waiting for /clock: use_sim_time is true and the time is 0")
            return
        node.health.clear("camera", "no_clock")
        stamp = stamp_ns(message.header)
        if problem := age_problem(stamp, now_ns, self._settings.max_age):
            self._drop(*problem)
            return
        order = self._guard.order(stamp)
        if order is Order.TIME_RAN_BACK:
            self.time_ran_back("the image stamps")
        if order is Order.LATE:
            self._drop("out_of_order", "an image came with a stamp that is not newer than the one before")
            return
        try:
            check_image(message)
        except ImageError as error:
            self._drop("bad_image", error.one_line())
            return
        if self._camera_dog.dead:
            node.get_logger().info("the camera is back")
        self._camera_dog.feed(node.now_s())
        node.health.clear("camera", "stalled", "too_old", "from_future", "out_of_order")
        if self._worker.slot.put(message):
            node.statistics.drop("replaced")

    def on_camera_info(self, message: Any) -> None:
        """The newest calibration."""
        self._calibration.put(message)

    def on_odometry(self, message: Any) -> None:
        """The vehicle's pose."""
        try:
            self._transforms.add_odometry(message)
        except TransformError as error:
            self._bad_transform(error)

    def on_transforms(self, message: Any, *, static: bool) -> None:
        """A message of /tf or /tf_static."""
        for error in self._transforms.add_transforms(message.transforms, static=static):
            self._bad_transform(error)

    def time_ran_back(self, what: str) -> None:
        """Clear what belongs to the old time: slot, fusion, moving transforms, statistics."""
        node = self._node
        node.warn(
            "time_ran_back", f"time ran back ({what}): fusion, statistics and pending frames are cleared"
        )
        self._worker.slot.clear()
        self._processor.forget()
        self._worker.post(self._processor.reset)
        self._transforms.clear()
        self._guard.reset()
        node.statistics.clear()
        if self.outputs.has_known_cells:
            self.outputs.publish_unknown(node.now_ns())
            self.outputs.forget()
        self._camera_dog.start(node.now_s())

    def watch(self) -> str:
        """Look after the camera and the costmap; returns why the node must deactivate itself, or nothing."""
        node, now_s = self._node, self._node.now_s()
        if node.now_ns() == 0:
            node.health.set("camera", "no_clock", Level.WARN, "waiting for /clock: use_sim_time is true")
            return self._give_up_reason
        if self._camera_dog.expired(now_s, self._settings.stall_timeout):
            silence = self._camera_dog.silence_s(now_s)
            self._stalled("camera", f"no usable image for {silence:.1f} s")
        # A network that takes long is no stall: it has the time of two of its frames.
        limit_s = max(self._settings.stall_timeout, 2.0 * self._processor.longest_s)
        if self._costmap_dog.expired(now_s, limit_s) and self.outputs.has_known_cells:
            self._stalled("costmap", f"no new costmap for {self._costmap_dog.silence_s(now_s):.1f} s")
        return self._give_up_reason

    def _stalled(self, component: str, text: str) -> None:
        node = self._node
        node.health.set(component, "stalled", Level.ERROR, text)
        node.statistics.event(f"{component}_stall")
        node.get_logger().error(f"{component}: {text}")
        if self._settings.stall_action == "unknown" and (
            component == "camera" or self.outputs.has_known_cells
        ):
            self.outputs.publish_unknown(node.now_ns())
        node.publish_diagnostics()

    def _drop(self, cause: str, reason: str) -> None:
        self._node.statistics.drop(cause, reason)
        self._node.health.set("camera", cause, Level.WARN, reason)
        self._node.warn(cause, f"camera: {reason}")

    def _bad_transform(self, error: TransformError) -> None:
        self._node.statistics.drop("bad_transform", error.one_line())
        self._node.health.set("costmap", "bad_transform", Level.WARN, error.one_line())
        self._node.warn("bad_transform", f"transform refused: {error.one_line()}")

    def _failed(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        self._node.statistics.drop("internal_error", text)
        self._node.health.set("inference", "internal_error", Level.ERROR, text)
        self._node.warn("internal_error", f"a frame failed: {text}", error=error)

    def _give_up(self, reason: str) -> None:
        self._give_up_reason = reason

    def _min_period_s(self) -> float:
        return 1.0 / self._settings.max_rate if self._settings.max_rate > 0 else 0.0
