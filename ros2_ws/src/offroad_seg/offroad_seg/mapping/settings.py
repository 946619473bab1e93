# SPDX-License-Identifier: Apache-2.0
"""What of projection and fusion can be set from outside, checked in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from offroad_seg.errors import InputError
from offroad_seg.mapping.bounds import check_contact_slope, unlabelled_value
from offroad_seg.mapping.cloud import GroundCloud
from offroad_seg.mapping.depth_cloud import DepthCloud
from offroad_seg.mapping.depth_projector import DepthProjector
from offroad_seg.mapping.grid import GridSize
from offroad_seg.mapping.ground_plane import GroundPlaneProjector
from offroad_seg.mapping.rolling import RollingCostmap
from offroad_seg.mapping.slope import GroundSlope
from offroad_seg.ontology import cost_value
from offroad_seg.sight import MIN_CONTRAST, check_min_contrast
from offroad_seg.types import COST_UNKNOWN

if TYPE_CHECKING:
    from offroad_seg.mapping.projector import Projector
    from offroad_seg.ontology import Cost, Ontology

PROJECTIONS = ("ground_plane", "depth")


@dataclass(frozen=True)
class PipelineSettings:
    """What can be set from outside, in the units of the node's parameters.

    Attributes:
        min_confidence: Pixels below this probability (0–1) say nothing about the ground.
        min_contrast: Grey levels: a picture with less structure shows nothing, and is refused; 0: none is.
        costmap_width: Metres along x, 0 for no costmap at all.
        costmap_height: Metres along y.
        resolution: Metres a cell.
        max_range: Metres from the camera within which pixels count.
        decay_time: Seconds after which evidence has shrunk to 37 %.
        min_evidence: Evidence from which a cell is known; a clear look at a near cell is worth 1.
        max_evidence: Evidence at which a cell is saturated: a change is believed after about as many frames.
        lethal_share: Share of lethal evidence from which a cell is lethal.
        sure_confidence: Mean confidence below which a cell costs more, evenly up to 98 at ``min_confidence``; 0: none
            does (see ``RollingCostmap``).
        ground_height: Height of the base frame's origin above the ground, metres.
        slope_time: Seconds over which the vehicle's tilt becomes the ground's (see ``GroundSlope``): 0 takes the
            base frame's plane, infinite the horizontal one.
        slope_uncertainty: Degrees by which the ground may rise or fall against its plane; more trusts far cells less.
        contact_slope: Degrees by which the ground may rise or fall between the camera and the foot of something lethal,
            which is marked over the range where it may then stand; more finds more, and stops for more (see
            ``GroundPlaneProjector``).
        contact_slope_least: Degrees down to which ground that turned out more even, where the vehicle has driven, may
            bring that (see ``Relief``); as much as ``contact_slope`` or more: it stays.
        projection: ``ground_plane``, or ``depth``: frames without depth then give no costmap, never the plane.
        max_step: With depth: metres by which solid ground may rise or fall at once; more is lethal.
        max_slope: With depth: degrees by which the ground may be steep; more is lethal.
        clearance: With depth: metres above the ground that the vehicle needs; what hangs higher does not block.
        shadow: ``ray`` or ``object``: what a standing thing hides (see ``GroundPlaneProjector``).
        min_standing_px: Standing pixels along the ray from which a thing is believed, 1–4.
        costmap_frame: The grid's frame: ``odom_frame`` (fused over time) or ``base_frame`` (each frame by itself).
        odom_frame: Name of the odometry frame.
        base_frame: Name of the vehicle's frame.
        class_cost: Costs that differ from the ontology's, by class name.
        unlabelled_cost: Cost of ground that was seen but carries no label; never 0.
        heed_ood: Pixels out of distribution, by the bundle's score, say nothing about the ground.
        output_size: (width, height) of labels and confidence; None is the image's own size.
        rotation: Degrees clockwise (0, 90, 180, 270) that set the image upright.
    """

    min_confidence: float = 0.35
    min_contrast: float = MIN_CONTRAST
    costmap_width: float = 20.0
    costmap_height: float = 20.0
    resolution: float = 0.1
    max_range: float = 15.0
    decay_time: float = 10.0
    min_evidence: float = 0.05
    max_evidence: float = 10.0
    lethal_share: float = 0.25
    sure_confidence: float = 0.6
    ground_height: float = 0.0
    slope_time: float = 1.0
    slope_uncertainty: float = 2.0
    contact_slope: float = 5.0
    contact_slope_least: float = 2.0
    projection: str = "ground_plane"
    max_step: float = 0.25
    max_slope: float = 30.0
    clearance: float = 2.0
    shadow: str = "ray"
    min_standing_px: int = 2
    costmap_frame: str = "odom"
    odom_frame: str = "odom"
    base_frame: str = "base_link"
    class_cost: dict[str, Cost] = field(default_factory=dict)
    unlabelled_cost: Cost = "unknown"
    heed_ood: bool = True
    output_size: tuple[int, int] | None = None
    rotation: int = 0

    def __post_init__(self) -> None:
        if not self.odom_frame or not self.base_frame or self.odom_frame == self.base_frame:
            raise InputError(
                f"odom_frame is '{self.odom_frame}' and base_frame '{self.base_frame}'",
                where="odom_frame, base_frame",
                mend="give two different names",
            )
        if self.costmap_frame not in (self.odom_frame, self.base_frame):
            raise InputError(
                f"costmap_frame is '{self.costmap_frame}'",
                where="costmap_frame",
                mend=f"give '{self.odom_frame}' (fused over time) or '{self.base_frame}' (each frame by itself)",
            )
        if self.projection not in PROJECTIONS:
            raise InputError(
                f"projection is '{self.projection}'",
                where="projection",
                mend=f"give one of: {', '.join(PROJECTIONS)}",
            )
        GroundSlope(self.slope_time)
        check_min_contrast(self.min_contrast)
        check_contact_slope(self.contact_slope)
        check_contact_slope(self.contact_slope_least, "contact_slope_least")
        unlabelled_value(self.unlabelled_cost)
        for name, cost in self.class_cost.items():
            cost_value(cost, where=f"class_cost.{name}")
        if not math.isfinite(self.costmap_width) or self.costmap_width < 0:
            raise InputError(
                f"costmap.width is {self.costmap_width!r}",
                where="costmap.width",
                mend="give metres; 0 for no costmap",
            )

    @property
    def in_base_frame(self) -> bool:
        """The grid moves with the vehicle, and holds one frame."""
        return self.costmap_frame == self.base_frame

    def projector(self, ontology: Ontology) -> Projector:
        """The projector that these settings describe, for one camera: it keeps tables of its lens.

        Raises:
            InputError: A number is out of bounds.
        """
        keep_unlabelled = unlabelled_value(self.unlabelled_cost) != COST_UNKNOWN
        if self.projection == "depth":
            return DepthProjector(
                ontology,
                self._size(),
                max_range=self.max_range,
                min_confidence=self.min_confidence,
                ground_height=self.ground_height,
                max_step=self.max_step,
                max_slope=self.max_slope,
                clearance=self.clearance,
                min_standing_px=self.min_standing_px,
                keep_unlabelled=keep_unlabelled,
            )
        return GroundPlaneProjector(
            ontology,
            self._size(),
            max_range=self.max_range,
            min_confidence=self.min_confidence,
            ground_height=self.ground_height,
            slope_uncertainty=self.slope_uncertainty,
            shadow=self.shadow,
            contact_slope=self.contact_slope,
            contact_slope_least=self.contact_slope_least,
            min_standing_px=self.min_standing_px,
            keep_unlabelled=keep_unlabelled,
        )

    def cloud(self, ontology: Ontology) -> GroundCloud | DepthCloud:
        """What gives single pixels their points, by the same settings as the projector."""
        if self.projection == "depth":
            return DepthCloud(ontology, max_range=self.max_range, min_confidence=self.min_confidence)
        return GroundCloud(
            ontology,
            max_range=self.max_range,
            min_confidence=self.min_confidence,
            ground_height=self.ground_height,
        )

    def costmap(self, ontology: Ontology) -> RollingCostmap:
        """The costmap that these settings describe.

        Raises:
            InputError: A number is out of bounds.
            OntologyError: ``class_cost`` names a class that the ontology does not have.
        """
        costmap = RollingCostmap(
            ontology,
            self._size(),
            frame_id=self.costmap_frame,
            decay_time=self.decay_time,
            min_evidence=self.min_evidence,
            max_evidence=self.max_evidence,
            lethal_share=self.lethal_share,
            unlabelled_cost=self.unlabelled_cost,
            min_confidence=self.min_confidence,
            sure_confidence=self.sure_confidence,
        )
        for name, cost in self.class_cost.items():
            costmap.set_class_cost(name, cost)
        return costmap

    def _size(self) -> GridSize:
        return GridSize(self.costmap_width, self.costmap_height, self.resolution)
