# SPDX-License-Identifier: Apache-2.0
"""Projection on the ground plane: every cell of the window looks up its pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.errors import CameraError, InputError
from offroad_seg.mapping.bounds import check_contact_slope, check_view_limits
from offroad_seg.mapping.buffers import Scratch
from offroad_seg.mapping.cells import CellTable, worth_of
from offroad_seg.mapping.foot_range import FootRange
from offroad_seg.mapping.lens import Lens
from offroad_seg.mapping.level import ground_view
from offroad_seg.mapping.occlusion import EdgeFinder, Shadow
from offroad_seg.types import COST_LETHAL, UNLABELLED, GridObservation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel
    from offroad_seg.mapping.cells import CellLookup
    from offroad_seg.mapping.grid import GridSize
    from offroad_seg.mapping.level import GroundView
    from offroad_seg.mapping.occlusion import Edges
    from offroad_seg.mapping.projector import Depth
    from offroad_seg.ontology import Ontology
    from offroad_seg.transforms import Transform
    from offroad_seg.types import GridSpec, Segmentation

    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]

# Marks corners outside the image: equal to no label.
_NO_PIXEL = 254
_LOOKS = 5  # centre and four corners
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
        min_standing_px: int = 2,
        keep_unlabelled: bool = False,
    ) -> None:
        check_view_limits(max_range, min_confidence, ground_height, min_standing_px)
        _check_shadow(slope_uncertainty, shadow)
        check_contact_slope(contact_slope)
        self._size = size
        self._ground_height = ground_height
        self._shadow = shadow
        self._min_confidence = math.ceil(min_confidence * 255)
        known_256 = ontology.costs_256 >= 0
        known_256[UNLABELLED] = keep_unlabelled
        standing_256 = ontology.standing_256 if shadow != "none" else np.zeros(256, np.bool_)
        self._ground_256 = (known_256 & ~standing_256).view(np.uint8)
        self._known_256 = known_256
        # The worse class wins a cell where several things stand.
        self._rank_256 = (ontology.costs_256.astype(np.int16) + 1).clip(0, COST_LETHAL + 1).astype(np.uint16)
        self._slope_uncertainty = math.radians(slope_uncertainty)
        self._table = CellTable(max_range, self._slope_uncertainty)
        self._edges = EdgeFinder(standing_256, min_standing_px=min_standing_px)
        self._max_range = max_range
        self._feet: FootRange | None = None
        if contact_slope > 0.0:
            lethal_256 = standing_256 & (ontology.costs_256 == COST_LETHAL)
            self._feet = FootRange(lethal_256, slope_std=math.radians(contact_slope), max_range=max_range)
        self._scratch = Scratch()
        self._lens: Lens | None = None
        self._outputs: list[tuple[U8, F32]] = [
            (
                np.empty((size.cells_y, size.cells_x), np.uint8),
                np.empty((size.cells_y, size.cells_x), np.float32),
            )
            for _ in range(2)
        ]

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
        lens = self._lens_of(camera)
        grid = self._size.around(view.base_x, view.base_y)
        self._outputs.reverse()
        out_labels_HW, out_evidence_HW = self._outputs[0]
        out_labels_HW.fill(UNLABELLED)
        out_evidence_HW.fill(0.0)
        cells = self._table.lookup(lens, view, grid)
        if cells is not None:
            # What seems to be out of range may stand within, and its foot is seen higher up in the image.
            far = self._max_range if self._feet is None else self._feet.farthest(view)
            edges = self._edges.find(labels_HW, confidence_HW, lens, view, grid.resolution, far)
            count = lens.directions_around
            hidden = None
            touches_N = edges.touches_N
            if self._shadow == "ray" and edges.x_N.size:
                shadow = Shadow(edges, count=count, slack=1.5 * grid.resolution)
                hidden = shadow.hides(cells.direction, cells.distance)
                touches_N = touches_N & ~shadow.at_its_edge(edges.direction_N, edges.range_N)
            contacts = edges.where(touches_N)
            part = cells.window
            self._look_up(labels_HW, confidence_HW, cells, hidden, out_labels_HW[part], out_evidence_HW[part])
            if self._feet is not None and contacts.x_N.size:
                self._feet.mark(
                    contacts, cells, view, count, self._min_confidence, out_labels_HW, out_evidence_HW
                )
                contacts = contacts.where(contacts.range_N <= self._max_range)
            if contacts.x_N.size:
                self._mark(contacts, lens, view, grid, out_labels_HW, out_evidence_HW)
        return GridObservation(out_labels_HW, out_evidence_HW, grid, segmentation.stamp_ns)

    def _lens_of(self, camera: CameraModel) -> Lens:
        if self._lens is None or self._lens.camera != camera:
            self._lens = Lens(camera, self._scratch)
        return self._lens

    def _look_up(
        self,
        labels_HW: U8,
        confidence_HW: U8,
        cells: CellLookup,
        hidden: NDArray[np.bool_] | None,
        out_labels: U8,
        out_evidence: F32,
    ) -> None:
        """Fill the part of the window in view with what the cells' own pixels say."""
        get = self._scratch.get
        shape = cells.u.shape
        label = _seen_at(labels_HW, cells.u, cells.v, _NO_PIXEL, get("label", shape, np.uint8))
        confidence = _seen_at(confidence_HW, cells.u, cells.v, 0, get("confidence", shape, np.uint8))
        corner = get("corner", cells.corner_u.shape, np.uint8)
        corner = _seen_at(labels_HW, cells.corner_u, cells.corner_v, _NO_PIXEL, corner)

        seen = np.asarray(cv2.LUT(label, self._ground_256, dst=get("seen", shape, np.uint8))).view(np.bool_)
        np.logical_and(seen, cells.near, out=seen)
        test = get("test", shape, np.bool_)
        if self._min_confidence > 0:
            np.greater_equal(confidence, self._min_confidence, out=test)
            np.logical_and(seen, test, out=seen)
        if hidden is not None:
            # Seen, and not hidden.
            np.greater(seen, hidden, out=seen)

        share = get("share", shape, np.uint8)
        share.fill(1)
        for same in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]):
            np.equal(label, same, out=test)
            np.add(share, test.view(np.uint8), out=share)
        np.multiply(share, seen.view(np.uint8), out=share)
        evidence = cv2.multiply(
            share, confidence, dst=get("evidence", shape), scale=1.0 / (255.0 * _LOOKS), dtype=cv2.CV_32F
        )
        np.multiply(evidence, cells.worth, out=out_evidence)
        np.copyto(out_labels, label, where=seen)

    def _mark(
        self,
        contacts: Edges,
        lens: Lens,
        view: GroundView,
        grid: GridSpec,
        out_labels: U8,
        out_evidence: F32,
    ) -> None:
        """Write the cells where something standing meets the ground."""
        column = np.floor((contacts.x_N + (view.x - grid.origin_x)) / grid.resolution).astype(np.intp)
        row = np.floor((contacts.y_N + (view.y - grid.origin_y)) / grid.resolution).astype(np.intp)
        inside = (column >= 0) & (column < grid.width) & (row >= 0) & (row < grid.height)
        sure = contacts.confidence_N >= self._min_confidence
        known = sure & self._known_256[contacts.labels_N]
        # Within a cell the worst class, then the surest pixel, is written last and stays.
        rank = np.where(known, self._rank_256[contacts.labels_N] * 256 + contacts.confidence_N, 0)
        order = np.argsort(rank.astype(np.uint16), kind="stable")
        order = order[inside[order]]
        at = (row * grid.width + column)[order]
        worth = worth_of(
            contacts.depth_N, contacts.range_N, lens, view, grid.resolution, self._slope_uncertainty
        )
        evidence = worth * (contacts.confidence_N * np.float32(1.0 / 255.0))
        out_labels.ravel()[at] = np.where(known, contacts.labels_N, UNLABELLED)[order]
        out_evidence.ravel()[at] = np.where(known, evidence, 0.0)[order]


def _seen_at(image_HW: U8, u: F32, v: F32, outside: int, out: U8) -> U8:
    """What the nearest pixels show, and a value of its own outside the image."""
    found = cv2.remap(
        image_HW, u, v, cv2.INTER_NEAREST, dst=out, borderMode=cv2.BORDER_CONSTANT, borderValue=outside
    )
    return np.asarray(found, np.uint8)


def _check_shadow(slope_uncertainty: float, shadow: str) -> None:
    if not 0.0 <= slope_uncertainty < 45.0:
        raise InputError(
            f"slope_uncertainty is {slope_uncertainty!r}",
            where="slope_uncertainty",
            mend="give 0 to 45 degrees",
        )
    if shadow not in SHADOWS:
        raise InputError(f"shadow is {shadow!r}", where="shadow", mend=f"give one of: {', '.join(SHADOWS)}")
