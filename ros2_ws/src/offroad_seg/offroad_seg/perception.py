# SPDX-License-Identifier: Apache-2.0
"""What happens to one camera's frames: label, project, fuse. No ROS, no training."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import CameraError, DepthError, OffroadSegError, TransformError
from offroad_seg.mapping.bounds import check_sure_confidence
from offroad_seg.mapping.depth_cloud import DepthCloud
from offroad_seg.mapping.doubt import Doubt
from offroad_seg.mapping.slope import GroundSlope
from offroad_seg.ontology import cost_value
from offroad_seg.segmenter import NetworkSegmentation
from offroad_seg.sight import MIN_CONTRAST, Sight
from offroad_seg.types import Perception

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from offroad_seg.mapping.cloud import GroundCloud
    from offroad_seg.mapping.projector import Projector
    from offroad_seg.mapping.rolling import RollingCostmap
    from offroad_seg.ontology import Cost
    from offroad_seg.segmenter import Segmenter
    from offroad_seg.transforms import Transform
    from offroad_seg.types import Costmap, Frame, GridObservation, Segmentation

STAGES = ("letterbox", "engine", "restore", "project", "fuse", "total")
"""Names of the stages in ``Perception.timings_ms``; ``project`` and ``fuse`` only where they ran."""

NO_DEPTH = "no_depth"
"""How ``Perception.costmap_reason`` begins where the projection needs depth and the frame has none, or an empty one."""


class PerceptionPipeline:
    """One camera's frames, in the order of their stamps.

    Several cameras have one pipeline each, which share engine and costmap (``build_pipelines``): their frames come in
    turn, each in the order of its own camera's stamps, and every ``Perception`` holds the costmap of all of them.

    Arrays in a ``Perception`` other than the costmap's are kept buffers: they stay valid until the next but one
    call of ``process``. Not safe for several threads at once.

    Args:
        segmenter: From image to labels.
        projector: From labels to cells; None gives labels only.
        costmap: Fuses cells; None gives observations only.
        in_base_frame: The costmap is in the base frame, each frame by itself: no odometry is needed, though its
            attitude levels the plane where there is one.
        slope_time: Seconds over which the vehicle's tilt becomes the ground's; see ``GroundSlope``.
        cloud: Gives pixels their places for ``points``; None gives none.
        heed_ood: Pixels that the bundle's OOD score calls unlike its validation images say nothing about the ground.
        source: The camera's name among those that share the costmap.
        min_contrast: A picture with less shows nothing, and is refused (see ``Sight``); 0: none is.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        projector: Projector | None = None,
        costmap: RollingCostmap | None = None,
        *,
        in_base_frame: bool = False,
        slope_time: float = 1.0,
        cloud: GroundCloud | DepthCloud | None = None,
        heed_ood: bool = True,
        source: str = "",
        min_contrast: float = MIN_CONTRAST,
    ) -> None:
        self.segmenter = segmenter
        self.source = source
        self.cloud = cloud
        self._sight = Sight(min_contrast)
        self._doubt = Doubt() if heed_ood else None
        self._up_3: NDArray[np.float64] | None = None
        self.projector = projector
        self.costmap = costmap
        self._in_base_frame = in_base_frame
        self._slope = GroundSlope(slope_time)

    def process(
        self, frame: Frame, base_T_camera: Transform | None = None, odom_T_base: Transform | None = None
    ) -> Perception:
        """Label a frame, and where camera and poses are known, project and fuse it.

        Args:
            frame: The image, with its calibration where there is one, and with depth where the projection is by
                depth (``needs_depth``): without it there is no costmap for the frame, and ``costmap_reason`` begins
                with ``NO_DEPTH``. The ground plane never takes its place.
            base_T_camera: Pose of the camera's optical frame in the base frame, at the image's stamp.
            odom_T_base: Pose of the base frame in odom, at the image's stamp.

        Returns:
            Labels always; the costmap, or in ``costmap_reason`` why there is none.

        Raises:
            BlindError: The picture shows nothing.
            ImageError: The image cannot be used.
            EngineError: Inference failed.
            OffroadSegError: The frame is older than the last one: ``reset`` first.
        """
        started = time.perf_counter()
        self._check_time(frame)
        self.check_sight(frame)
        segmentation = self.segmenter.segment(frame)
        timings = dict(self.segmenter.timings_ms)
        perception = self._map(frame, segmentation, base_T_camera, odom_T_base, timings)
        timings["total"] = 1e3 * (time.perf_counter() - started)
        return perception

    def check_sight(self, frame: Frame) -> None:
        """The beginning of ``process``, for who calls its parts: whether the picture shows anything.

        Raises:
            BlindError: It does not: neither label nor map it.
        """
        self._sight.check(frame)

    def map(
        self,
        frame: Frame,
        segmentation: Segmentation,
        base_T_camera: Transform | None = None,
        odom_T_base: Transform | None = None,
    ) -> Perception:
        """The second half of ``process``: project and fuse labels that are there already.

        So a node can publish labels while it still waits for a transform, or for depth, which then comes with
        ``dataclasses.replace(frame, depth_HW=…)``.

        Raises:
            OffroadSegError: The frame is older than the last one: ``reset`` first.
        """
        self._check_time(frame)
        return self._map(frame, segmentation, base_T_camera, odom_T_base, {})

    def _map(
        self,
        frame: Frame,
        segmentation: Segmentation,
        base_T_camera: Transform | None,
        odom_T_base: Transform | None,
        timings: dict[str, float],
    ) -> Perception:
        observation: GridObservation | None = None
        costmap: Costmap | None = None
        reason = self._missing(frame, base_T_camera, odom_T_base)
        if not reason and base_T_camera is not None:
            try:
                observation = self._project(frame, segmentation, base_T_camera, odom_T_base, timings)
                costmap = self._fuse(observation, odom_T_base, timings)
            except (CameraError, DepthError, TransformError) as error:
                reason = error.one_line()
        return Perception(segmentation, observation, costmap, timings, reason)

    def points(
        self,
        frame: Frame,
        segmentation: Segmentation,
        base_T_camera: Transform,
        odom_T_base: Transform | None = None,
    ) -> NDArray[Any] | None:
        """The points of labelled pixels, aligned with the labels; after ``map`` of the same frame.

        Returns:
            ``mapping.cloud.POINT`` (H, W) in the optical frame, a kept buffer: on the ground plane, or where depth has
            them. None without a costmap or calibration, and with a projection by depth without depth.

        Raises:
            CameraError: The calibration does not fit the image.
            DepthError: It is no depth image of this view.
            TransformError: The pose leaves no ground to look at.
        """
        if self.cloud is None or frame.camera is None:
            return None
        camera = frame.camera.scaled(*segmentation.labels_HW.shape)
        if isinstance(self.cloud, DepthCloud):
            if frame.depth_HW is None:
                return None
            return self.cloud.points(segmentation, camera, frame.depth_HW, base_T_camera, odom_T_base)
        network = segmentation.network if isinstance(segmentation, NetworkSegmentation) else None
        return self.cloud.points(segmentation, camera, base_T_camera, odom_T_base, self._up_3, network)

    def reset(self) -> None:
        """Forget the past: after the clock jumped back, or when another log begins."""
        self._sight.reset()
        self._slope.reset()
        if self.projector is not None:
            self.projector.reset()
        if self.costmap is not None:
            self.costmap.reset()

    def set_class_cost(self, name: str, cost: Cost) -> None:
        """Change what a class costs, while running.

        Raises:
            OntologyError: There is no such class, or it is not a cost.
        """
        if self.costmap is None:
            self.segmenter.bundle.ontology.id_of(name)
            cost_value(cost, where=f"class_cost.{name}")
            return
        self.costmap.set_class_cost(name, cost)

    def set_sure_confidence(self, sure_confidence: float) -> None:
        """Change the mean confidence below which a cell costs more, while running; 0: none does.

        Raises:
            InputError: It is out of bounds.
        """
        if self.costmap is None:
            check_sure_confidence(sure_confidence)
        else:
            self.costmap.set_sure_confidence(sure_confidence)

    def unknown_costmap(self, stamp_ns: int, odom_T_base: Transform | None = None) -> Costmap | None:
        """A costmap that is unknown as a whole, for a camera that has stalled; None where there is no costmap."""
        return None if self.costmap is None else self.costmap.unknown(stamp_ns, odom_T_base)

    @property
    def needs_depth(self) -> bool:
        """Whether frames without depth give no costmap."""
        return self.projector is not None and self.projector.needs_depth

    def forget(self) -> Costmap | None:
        """This camera is dead: every cell of which it was the last to say anything becomes unknown at once.

        Its sector goes unknown, what other cameras see stays; when it returns, it just goes on.

        Returns:
            The costmap as it now stands, at the stamp of the newest frame of any camera; None where there is none.
        """
        if self.costmap is None or self.costmap.stamp_ns is None:
            return None
        self.costmap.forget(self.source)
        return self.costmap.costmap()

    def close(self) -> None:
        """Free the engine, which all cameras' pipelines share."""
        self.segmenter.engine.close()

    def _check_time(self, frame: Frame) -> None:
        newest = None if self.costmap is None else self.costmap.newest_ns(self.source)
        if newest is not None and frame.stamp_ns < newest:
            raise OffroadSegError(
                f"time runs back by {(newest - frame.stamp_ns) / 1e9:.3f} s",
                where="PerceptionPipeline.process",
                mend="call reset() when the clock jumps back, and feed frames in the order of their stamps",
            )

    def _missing(self, frame: Frame, base_T_camera: Transform | None, odom_T_base: Transform | None) -> str:
        """Why this frame cannot be projected, or an empty string."""
        if self.projector is None:
            return "the costmap is switched off"
        if frame.camera is None:
            return "no usable camera_info for this image"
        if base_T_camera is None:
            return "no transform from the camera to the base frame at the image's stamp"
        if odom_T_base is None and not self._in_base_frame:
            return "no odometry at the image's stamp"
        if self.needs_depth and frame.depth_HW is None:
            return f"{NO_DEPTH}: the projection is by depth, and there is no depth image for this frame"
        return ""

    def _project(
        self,
        frame: Frame,
        segmentation: Segmentation,
        base_T_camera: Transform,
        odom_T_base: Transform | None,
        timings: dict[str, float],
    ) -> GridObservation:
        assert self.projector is not None
        camera = frame.camera
        assert camera is not None
        started = time.perf_counter()
        if isinstance(segmentation, NetworkSegmentation) and segmentation.network is not None:
            small = segmentation.network
            # A camera of another size goes on to the projector, which says what is wrong.
            if (camera.height, camera.width) == frame.image_HWC.shape[:2]:
                segmentation, camera = small, camera.scaled(*small.labels_HW.shape)
        if self._doubt is not None:
            segmentation = self._doubt.apply(segmentation)
        up_3 = None if odom_T_base is None else self._slope.update(odom_T_base, frame.stamp_ns)
        self._up_3 = up_3
        observation = self.projector.project(
            segmentation,
            camera,
            base_T_camera,
            odom_T_base,
            in_base_frame=self._in_base_frame,
            ground_up_3=up_3,
            depth_HW=frame.depth_HW,
        )
        timings["project"] = 1e3 * (time.perf_counter() - started)
        return observation

    def _fuse(
        self, observation: GridObservation, odom_T_base: Transform | None, timings: dict[str, float]
    ) -> Costmap | None:
        if self.costmap is None:
            return None
        started = time.perf_counter()
        if self._in_base_frame:
            # Cells that move with the vehicle hold something else in every frame: nothing to fuse.
            self.costmap.reset()
            costmap = self.costmap.update(observation, source=self.source)
        else:
            costmap = self.costmap.update(observation, odom_T_base, source=self.source)
        timings["fuse"] = 1e3 * (time.perf_counter() - started)
        return costmap
