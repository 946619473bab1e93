# SPDX-License-Identifier: Apache-2.0
"""One camera of the node: what comes in from it, whether it lives, and where its results go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import ImageError
from offroad_seg.ros.camera_info import CalibrationCache
from offroad_seg.ros.depth import DepthBuffer
from offroad_seg.ros.outputs import ImageOutputs
from offroad_seg.ros.reporter import Reporter
from offroad_seg.ros.rules import plain_name
from offroad_seg.ros.stamp_guard import StampGuard
from offroad_seg.ros.watchdog import Watchdog

if TYPE_CHECKING:
    from offroad_seg.grouping import Grouping
    from offroad_seg.pipeline import PerceptionPipeline
    from offroad_seg.ros.depth import DepthClaim
    from offroad_seg.ros.node_services import NodeServices
    from offroad_seg.ros.settings import Settings


class CameraSource:
    """What the node keeps of one camera.

    Args:
        node: Gives log, health, statistics and publishers.
        lane: Its place in the worker's slot.
        pipeline: Its half of the work; engine and costmap are shared.
        settings: The parameters.
        grouping: Merges classes in its ``labels``.

    Attributes:
        name: Its namespace; empty where there is one camera only.
        lane: See above.
        pipeline: See above.
        outputs: Its publishers.
        calibration: Its newest CameraInfo.
        depth: Its newest depth images.
        guard: Follows its stamps.
        images: Watches over its images.
        maps: Watches over what they give to the costmap.
        blind: Its pictures show nothing: they do not feed ``images``.
        silent: It gives nothing to the costmap (any more), and the costmap shows that.
        report: How its doings come into diagnostics.
    """

    def __init__(
        self,
        node: NodeServices,
        lane: int,
        pipeline: PerceptionPipeline,
        settings: Settings,
        grouping: Grouping | None,
    ) -> None:
        self.name, self.lane, self.pipeline = settings.camera_names[lane], lane, pipeline
        ontology = pipeline.segmenter.bundle.ontology
        self.outputs = ImageOutputs(node, self.name, ontology, settings, grouping)
        self.report = Reporter(node.health, node.statistics, node.warn, plain_name(self.name))
        self.calibration = CalibrationCache()
        self.depth = DepthBuffer()
        self.guard = StampGuard()
        self.images, self.maps = Watchdog(), Watchdog()
        self.blind, self.silent = False, True

    def activate(self, now_s: float) -> None:
        """Begin anew: nothing of an earlier life counts."""
        self.report.own.clear()
        self.guard.reset()
        self.calibration.clear()
        self.depth.open()
        self.images.start(now_s)
        self.blind, self.silent = False, True

    def deactivate(self) -> None:
        """Stop watching and waiting."""
        self.images.stop()
        self.maps.stop()
        self.depth.close()
        for component in ("camera", "inference", "costmap"):
            self.report.clear(component)

    def put_depth(self, message: Any) -> None:
        """A depth image came."""
        self.report.event("depth")
        try:
            self.depth.put(message)
        except ImageError as error:
            self.report.drop("costmap", "bad_depth", error.one_line())

    def claim_depth(self, stamp: int, settings: Settings) -> DepthClaim | None:
        """Ask for the depth of an image; None where the projection needs none."""
        if not self.pipeline.needs_depth:
            return None
        return self.depth.claim(stamp, settings.depth_tolerance)


@dataclass(frozen=True)
class Captured:
    """An image on its way to the worker.

    Attributes:
        camera: Where it comes from.
        message: Image or CompressedImage.
        depth: Its depth, which may still be on its way; None where it needs none.
    """

    camera: CameraSource
    message: Any
    depth: DepthClaim | None
