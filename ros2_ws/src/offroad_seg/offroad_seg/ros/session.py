# SPDX-License-Identifier: Apache-2.0
"""What ``configure`` makes and ``cleanup`` frees, and what comes in between: messages in, worker, watchdogs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offroad_seg.errors import ImageError, TransformError
from offroad_seg.ros.camera_source import CameraSource, Captured
from offroad_seg.ros.diagnostics import component_names
from offroad_seg.ros.frame_processor import FrameProcessor, Surroundings
from offroad_seg.ros.health import Level
from offroad_seg.ros.loading import load_grouping
from offroad_seg.ros.outputs import GridOutputs
from offroad_seg.ros.rules import COST_PREFIX, plain_name
from offroad_seg.ros.stamp_guard import Order, age_problem
from offroad_seg.ros.transform_source import TransformSource
from offroad_seg.ros.worker import Worker
from offroad_seg.sensor_messages import check_image, stamp_ns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offroad_seg.ros.node_services import NodeServices
    from offroad_seg.ros.rig import Rig
    from offroad_seg.ros.settings import Settings
    from offroad_seg.ros.statistics import Statistics

_LEAST_WAIT_S, _LONGEST_WAIT_S = 1.0, 4.0
"""How long ``deactivate`` waits for the frame at hand: twice what a frame takes, within these bounds."""


class Session:
    """One configured life of the node. Its ``on_…`` methods are called by the executor's thread only.

    Args:
        node: Gives time, log, health, statistics and publishers.
        rig: Loaded and warmed up; the session closes it.
        settings: The parameters.

    Attributes:
        cameras: One or several.
    """

    def __init__(self, node: NodeServices, rig: Rig, settings: Settings) -> None:
        self._node, self._rig, self._settings = node, rig, settings
        grouping = load_grouping(settings, rig.first.segmenter.bundle.ontology)
        node.health.set_components(component_names(tuple(map(plain_name, settings.cameras))))
        self._grid = GridOutputs(node, settings)
        self.cameras = [
            CameraSource(node, lane, rig.pipelines[name], settings, grouping)
            for lane, name in enumerate(settings.camera_names)
        ]
        self._transforms = TransformSource(settings)
        self._give_up: tuple[str, bool] = ("", False)
        around = Surroundings(
            rig=rig,
            transforms=self._transforms,
            grid=self._grid,
            now_ns=node.now_ns,
            seeing=self._seeing,
            mapped=self._mapped,
            give_up=self._set_give_up,
        )
        self._processor = FrameProcessor(around, settings)
        self._worker: Worker[Captured] = Worker(
            self._processor.process, self._failed, self._min_period_s, len(self.cameras)
        )

    @property
    def hangs(self) -> bool:
        """Whether the worker was told to stop and has not."""
        return self._worker.alive

    def camera_statistics(self) -> Mapping[str, Statistics]:
        """The statistics of each of several cameras, by component; empty where there is one."""
        return {c.report.component: c.report.own for c in self.cameras if c.name}

    def activate(self) -> None:
        """Begin to work. What a node of before, that died, said of the ground counts no more."""
        node = self._node
        self._give_up = ("", False)
        node.statistics.clear()
        self._rig.reset()
        self._transforms.open()
        for camera in self.cameras:
            camera.activate(node.now_s())
            camera.outputs.announce(node.now_ns())
        if self._settings.stall_action == "unknown":
            self._grid.publish_unknown(node.now_ns())
        self._worker.start()

    def deactivate(self) -> None:
        """Finish the frame at hand and stop; what consumers hold is declared unknown.

        A frame that takes too long is left to itself: ``hangs`` says so.
        """
        node = self._node
        self._processor.forget()
        for camera in self.cameras:
            camera.deactivate()
        self._transforms.close()
        if self._settings.stall_action == "unknown" and self._grid.has_known_cells:
            self._grid.publish_unknown(node.now_ns())  # first: no need to wait for a frame that hangs
        wait_s = min(max(_LEAST_WAIT_S, 2.0 * self._processor.longest_s), _LONGEST_WAIT_S)
        if self._worker.stop(wait_s):
            self._rig.reset()
        else:
            text = f"the network has not answered for {self._worker.busy_s():.1f} s and is left to itself"
            node.get_logger().error(text)
            node.health.set("node", "hangs", Level.ERROR, f"{text}: until it answers, only a restart helps")
        node.health.clear("inference")
        node.health.clear("costmap")

    def destroy(self) -> bool:
        """Remove the publishers, and free the engine, if nothing uses it any more; False if it ``hangs``."""
        for camera in self.cameras:
            camera.outputs.destroy()
        self._grid.destroy()
        if self.hangs:
            return False
        self.close()
        return True

    def close(self) -> None:
        """Free the engine; not while it ``hangs``."""
        self._worker.stop()
        self._rig.close()

    def apply(self, settings: Settings, changes: dict[str, Any]) -> None:
        """Take checked changes of dynamic parameters."""
        self._settings = self._processor.settings = settings
        for name, value in changes.items():
            if name.startswith(COST_PREFIX):
                class_name = name[len(COST_PREFIX) :]
                self._worker.post(lambda n=class_name, v=value: self._rig.set_class_cost(n, v))  # type: ignore[misc]
            elif name == "costmap.sure_confidence":
                self._worker.post(lambda v=value: self._rig.set_sure_confidence(v))  # type: ignore[misc]

    def on_image(self, camera: CameraSource, message: Any) -> None:
        """The newest image: judged by its header, then left in the slot."""
        node, report = self._node, camera.report
        report.event("image")
        now_ns = node.now_ns()
        if now_ns == 0:
            report.drop("camera", "no_clock", "waiting for /clock: use_sim_time is true and the time is 0")
            return
        report.clear("camera", "no_clock")
        stamp = stamp_ns(message.header)
        if problem := age_problem(stamp, now_ns, self._settings.max_age):
            report.drop("camera", *problem)
            return
        order = camera.guard.order(stamp)
        if order is Order.TIME_RAN_BACK:
            self.time_ran_back("the image stamps")
        if order is Order.LATE:
            reason = "an image came with a stamp that is not newer than the one before"
            report.drop("camera", "out_of_order", reason)
            return
        try:
            check_image(message)
        except ImageError as error:
            report.drop("camera", "bad_image", error.one_line())
            return
        if not camera.blind:
            self._lives(camera)
        report.clear("camera", "too_old", "from_future", "out_of_order")
        captured = Captured(camera, message, camera.claim_depth(stamp, self._settings))
        if self._worker.slot.put(captured, camera.lane):
            report.count("replaced")

    def on_odometry(self, message: Any) -> None:
        """The vehicle's pose."""
        try:
            self._transforms.add_odometry(message)
        except TransformError as error:
            self._bad_transform(error)

    def on_imu(self, message: Any) -> None:
        """The vehicle's attitude."""
        try:
            self._transforms.add_imu(message)
        except TransformError as error:
            self._bad_transform(error)

    def on_transforms(self, message: Any, *, static: bool) -> None:
        """A message of /tf or /tf_static."""
        for error in self._transforms.add_transforms(message.transforms, static=static):
            self._bad_transform(error)

    def time_ran_back(self, what: str) -> None:
        """Clear what belongs to the old time: slot, fusion, moving transforms, depth, statistics."""
        node = self._node
        node.warn(
            "time_ran_back", f"time ran back ({what}): fusion, statistics and pending frames are cleared"
        )
        self._worker.slot.clear()
        self._processor.forget()
        self._worker.post(self._rig.reset)
        self._transforms.clear()
        node.statistics.clear()
        for camera in self.cameras:
            camera.guard.reset()
            camera.depth.clear()
            camera.report.own.clear()
            camera.images.start(node.now_s())
        if self._grid.has_known_cells:
            self._grid.publish_unknown(node.now_ns())

    def watch(self) -> tuple[str, bool]:
        """Look after cameras, costmap and network; returns why the node must stop, or nothing, and if by an error."""
        node, now_s = self._node, self._node.now_s()
        if node.now_ns() == 0:
            for camera in self.cameras:
                text = "waiting for /clock: use_sim_time is true"
                camera.report.set("camera", "no_clock", Level.WARN, text)
            return self._give_up
        # A network that takes long is no stall: it has the time of two of its frames, for each camera.
        patience_s = max(self._settings.stall_timeout, 2.0 * self._processor.longest_s * len(self.cameras))
        for camera in self.cameras:
            if camera.images.expired(now_s, self._settings.stall_timeout):
                silence_s = camera.images.silence_s(now_s)
                self._stalled(camera, "camera", f"no usable image for {silence_s:.1f} s")
            if camera.maps.expired(now_s, patience_s) and not camera.silent:
                self._stalled(camera, "costmap", f"no new costmap for {camera.maps.silence_s(now_s):.1f} s")
        busy_s = self._worker.busy_s()
        if busy_s > patience_s + 2.0 * self._settings.tf_timeout:
            text = f"the network has not answered for {busy_s:.1f} s"
            if node.health.set("inference", "hangs", Level.ERROR, text):
                node.get_logger().error(f"inference: {text}")
                node.publish_diagnostics()
        else:
            node.health.clear("inference", "hangs")
        return self._give_up

    def _stalled(self, camera: CameraSource, component: str, text: str) -> None:
        node = self._node
        camera.report.set(component, "stalled", Level.ERROR, text)
        camera.report.event(f"{component}_stall")
        node.get_logger().error(f"{camera.report.component}: {text}")
        camera.silent = True
        self._worker.slot.clear(camera.lane)
        if self._settings.stall_action == "unknown":
            if not all(other.silent for other in self.cameras):
                self._worker.post(lambda: self._forget(camera))
            elif component == "camera" or self._grid.has_known_cells:
                self._grid.publish_unknown(node.now_ns())
        node.publish_diagnostics()

    def _forget(self, camera: CameraSource) -> None:
        """In the worker: what this camera was the last to see is unknown; the others go on."""
        revocations = self._grid.revocations
        costmap = camera.pipeline.forget()
        if costmap is not None:
            self._grid.publish(costmap, revocations)

    def _lives(self, camera: CameraSource) -> None:
        if camera.images.dead:
            self._node.get_logger().info(f"{camera.report.component} is back")
        camera.images.feed(self._node.now_s())
        camera.report.clear("camera", "stalled")

    def _seeing(self, camera: CameraSource, sees: bool) -> None:
        """In the worker: whether the newest picture shows anything. Until one does, none counts as a sign of life."""
        was_blind, camera.blind = camera.blind, not sees
        if was_blind and sees:
            self._lives(camera)

    def _mapped(self, camera: CameraSource) -> None:
        camera.maps.feed(self._node.now_s())
        camera.silent = False

    def _bad_transform(self, error: TransformError) -> None:
        self._node.statistics.drop("bad_transform", error.one_line())
        self._node.health.set("costmap", "bad_transform", Level.WARN, error.one_line())
        self._node.warn("bad_transform", f"transform refused: {error.one_line()}")

    def _failed(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        self._node.statistics.drop("internal_error", text)
        self._node.health.set("inference", "internal_error", Level.ERROR, text)
        self._node.warn("internal_error", f"a frame failed: {text}", error=error)

    def _set_give_up(self, reason: str, is_error: bool) -> None:
        self._give_up = (reason, is_error)

    def _min_period_s(self) -> float:
        rate = self._settings.max_rate * len(self.cameras)
        return 1.0 / rate if rate > 0 else 0.0
