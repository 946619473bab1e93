# SPDX-License-Identifier: Apache-2.0
"""Projection on the ground plane: every cell of the window looks up its pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.errors import CameraError, InputError
from offroad_seg.mapping.bounds import check_contact_slope, check_view_limits
from offroad_seg.mapping.buffers import Scratch
from offroad_seg.mapping.cells import SPREAD_M, CellTable
from offroad_seg.mapping.foot_range import FARTHEST, FootRange
from offroad_seg.mapping.lens import Lens
from offroad_seg.mapping.level import ground_view
from offroad_seg.mapping.looks import CellReader, Cells
from offroad_seg.mapping.marks import Marker
from offroad_seg.mapping.occlusion import MAX_EDGE_PIXELS, EdgeFinder
from offroad_seg.mapping.relief import Relief
from offroad_seg.mapping.shadow import Shadow
from offroad_seg.native import plane as native
from offroad_seg.types import COST_LETHAL, UNLABELLED, GridObservation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel
    from offroad_seg.mapping.grid import GridSize
    from offroad_seg.mapping.level import GroundView
    from offroad_seg.mapping.projector import Depth
    from offroad_seg.ontology import Ontology
    from offroad_seg.transforms import Transform
    from offroad_seg.types import GridSpec, Segmentation

    U8 = NDArray[np.uint8]

SHADOWS = ("ray", "object", "none")


class GroundPlaneProjector:
    """Projects labels on a ground plane.

    A cell takes the class of its centre's pixel. Nothing is known (label 255, evidence 0) of a cell whose centre is
    outside the image or the lens's range, farther than ``max_range``, seen with less than ``min_confidence``, of a
    class that says nothing about the ground (sky), covered by something that stands, or in its shadow. A cell
    where something that stands meets the ground takes that class; in a shadow too, for a tree seen over a bush
    stands there all the same.

    Evidence is confidence × share of the cell (centre and corners) seen as that class × pixels that the cell covers
    along the line of sight, at most one × how well the plane places it: 1 / (1 + (spread / 0.3 m)²), where
    spread = slope uncertainty · distance² / camera height is how far a cell may be from where it seems to be.

    Args:
        ontology: The classes.
        size: The window around the vehicle.
        max_range: Metres from the camera's foot.
        min_confidence: 0–1.
        ground_height: Height of the base frame's origin above the ground, metres.
        slope_uncertainty: Degrees (one standard deviation) by which the ground may rise or fall against the plane.
        shadow: What something standing hides: ``ray``, all that lies behind it in that direction; ``object``, only
            what its own pixels cover, so that ground seen over a low rock counts; ``none``, for comparison only:
            its pixels are cells of its class, as in a plain bird's-eye view.
        contact_slope: Degrees (one standard deviation) by which the ground may rise or fall between the camera and the
            foot of something lethal: it is marked over the range where it may then stand (``FootRange``). 0: only
            where it meets the plane.
        contact_slope_least: Degrees down to which the ground that was driven may bring that (``Relief``); None, or as
            much as ``contact_slope``: it stays.
        min_standing_px: Fewer standing pixels along the line of sight are noise: their cells are unknown, but they
            mark nothing and cast no shadow. 1–4; 1 takes every pixel for real.
        keep_unlabelled: Report cells whose pixel has no label as seen: label 255 with evidence.

    Raises:
        InputError: A number is out of bounds.
    """

    needs_depth = False

    def __init__(
        self,
        ontology: Ontology,
        size: GridSize,
        *,
        max_range: float = 15.0,
        min_confidence: float = 0.0,
        ground_height: float = 0.0,
        slope_uncertainty: float = 2.0,
        shadow: str = "ray",
        contact_slope: float = 0.0,
        contact_slope_least: float | None = None,
        min_standing_px: int = 2,
        keep_unlabelled: bool = False,
    ) -> None:
        check_view_limits(max_range, min_confidence, ground_height, min_standing_px)
        _check_shadow(slope_uncertainty, shadow)
        check_contact_slope(contact_slope)
        least = contact_slope if contact_slope_least is None else contact_slope_least
        check_contact_slope(least, "contact_slope_least")
        self._relief = Relief(least, contact_slope)
        self._size = size
        self._ground_height = ground_height
        self._shadow = shadow
        self._max_range = max_range
        least_sure = math.ceil(min_confidence * 255)
        slope_std = math.radians(slope_uncertainty)
        known_256 = ontology.costs_256 >= 0
        known_256[UNLABELLED] = keep_unlabelled
        standing_256 = ontology.standing_256 if shadow != "none" else np.zeros(256, np.bool_)
        self._edges = EdgeFinder(standing_256, min_standing_px=min_standing_px)
        self._feet: FootRange | None = None
        if contact_slope > 0.0:
            lethal_256 = standing_256 & (ontology.costs_256 == COST_LETHAL)
            std = math.radians(contact_slope)
            self._feet = FootRange(lethal_256, slope_std=std, max_range=max_range, min_confidence=least_sure)
        self._table = CellTable(max_range, slope_std)
        ground_256 = np.asarray(known_256 & ~standing_256).view(np.uint8)
        self._reader = CellReader(self._table, ground_256, least_sure, self._feet)
        self._marker = Marker(
            ontology.costs_256, known_256, min_confidence=least_sure, slope_uncertainty=slope_std
        )
        self._rules = native.PlaneRules(
            standing_256=self._edges.standing_256,
            ground_256=ground_256,
            known_256=known_256,
            rank_256=self._marker.rank_256,
            lethal_256=None if self._feet is None else self._feet.lethal_256,
            casts_shadows=shadow == "ray",
            min_confidence=least_sure,
            min_standing_px=min_standing_px,
            most_px=MAX_EDGE_PIXELS,
            max_range=max_range,
            slope_std=slope_std,
            spread_m=SPREAD_M,
            foot_farthest=FARTHEST,
        )
        self._kernel: native.PlaneKernel | None = None
        self._scratch = Scratch()
        self._lens: Lens | None = None
        self._outputs = [Cells.empty(size.cells_y, size.cells_x) for _ in range(2)]

    @property
    def contact_slope(self) -> float:
        """Degrees that are in use now."""
        return self._relief.slope

    def reset(self) -> None:
        """Forget the past."""
        self._relief.reset()
        if self._feet is not None:
            self._feet.set_slope(math.radians(self._relief.slope))

    def project(
        self,
        segmentation: Segmentation,
        camera: CameraModel,
        base_T_camera: Transform,
        odom_T_base: Transform | None = None,
        *,
        in_base_frame: bool = False,
        ground_up_3: NDArray[np.float64] | None = None,
        depth_HW: Depth | None = None,  # noqa: ARG002
    ) -> GridObservation:
        """See ``Projector.project``; depth is not looked at.

        The result's arrays are kept buffers: they last until the next but one call.
        """
        labels_HW, confidence_HW = segmentation.labels_HW, segmentation.confidence_HW
        if labels_HW.shape != (camera.height, camera.width):
            raise CameraError(
                f"the camera is {camera.width}×{camera.height}, the labels {labels_HW.shape[1]}×{labels_HW.shape[0]}",
                mend="use the CameraInfo of the image that was segmented",
            )
        labels_HW = np.ascontiguousarray(labels_HW)
        confidence_HW = np.ascontiguousarray(confidence_HW)
        view = ground_view(
            base_T_camera,
            odom_T_base,
            ground_height=self._ground_height,
            ground_up_3=ground_up_3,
            in_base_frame=in_base_frame,
        )
        if self._feet is not None and odom_T_base is not None:
            self._feet.set_slope(math.radians(self._relief.update(odom_T_base, ground_up_3)))
        lens = self._lens_of(camera)
        grid = self._size.around(view.base_x, view.base_y)
        self._outputs.reverse()
        out = self._outputs[0]
        if native.fits(labels_HW):
            if self._kernel is None:
                self._kernel = native.PlaneKernel(lens, self._rules, grid)
            sides = self._edges.sides_towards_foot(lens, view)
            slope = (0.0, 0.0) if self._feet is None else (self._feet.std, self._feet.cut)
            self._kernel.project(labels_HW, confidence_HW, view, grid, sides, slope, out)
        else:
            self._look(labels_HW, confidence_HW, lens, view, grid, out)
        stamp_ns = segmentation.stamp_ns
        return GridObservation(out.labels_HW, out.evidence_HW, grid, stamp_ns, out.confidence_HW)

    def _look(
        self, labels_HW: U8, confidence_HW: U8, lens: Lens, view: GroundView, grid: GridSpec, out: Cells
    ) -> None:
        """Fill the window: native/plane.c does the same in the same order."""
        out.clear()
        placed = self._table.place(lens, view, grid)
        if placed is None:
            return
        # What seems to be out of range may stand within, and its foot is seen higher up in the image.
        far = self._max_range if self._feet is None else self._feet.farthest(view)
        edges = self._edges.find(labels_HW, confidence_HW, lens, view, grid.resolution, far)
        shadow = None
        if self._shadow == "ray" and edges.x_N.size:
            shadow = Shadow(edges, count=lens.directions_around, slack=1.5 * grid.resolution)
            edges = shadow.contacts
        feet = self._feet.feet(edges, view, lens.directions_around) if self._feet is not None else None
        self._reader.read(labels_HW, confidence_HW, placed, shadow, feet, out)
        if edges.x_N.size:
            limit = math.inf if self._feet is None else self._max_range
            self._marker.mark(edges, lens, view, grid, out, limit)

    def _lens_of(self, camera: CameraModel) -> Lens:
        if self._lens is None or self._lens.camera != camera:
            self._lens = Lens(camera, self._scratch)
            self._kernel = None
        return self._lens


def _check_shadow(slope_uncertainty: float, shadow: str) -> None:
    if not 0.0 <= slope_uncertainty < 45.0:
        raise InputError(
            f"slope_uncertainty is {slope_uncertainty!r}",
            where="slope_uncertainty",
            mend="give 0 to 45 degrees",
        )
    if shadow not in SHADOWS:
        raise InputError(f"shadow is {shadow!r}", where="shadow", mend=f"give one of: {', '.join(SHADOWS)}")
