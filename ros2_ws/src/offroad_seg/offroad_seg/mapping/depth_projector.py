# SPDX-License-Identifier: Apache-2.0
"""Projection by depth: every measured pixel is a point, and says something about the cell that it lies in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.errors import CameraError, DepthError
from offroad_seg.mapping.bounds import check_depth, check_view_limits
from offroad_seg.mapping.buffers import Scratch
from offroad_seg.mapping.depth_cells import FIRM, NAMELESS, SOFT, STANDS, part_of
from offroad_seg.mapping.depth_points import PointCaster
from offroad_seg.mapping.height import UNSEEN, Limits, hazards, square, stack, without_bumps
from offroad_seg.mapping.lens import Lens
from offroad_seg.mapping.level import ground_view
from offroad_seg.types import COST_LETHAL, OBSTACLE, UNLABELLED, GridObservation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel
    from offroad_seg.mapping.depth_cells import Part
    from offroad_seg.mapping.grid import GridSize
    from offroad_seg.mapping.height import Stacks
    from offroad_seg.mapping.projector import Depth
    from offroad_seg.ontology import Ontology
    from offroad_seg.transforms import Transform
    from offroad_seg.types import Segmentation

    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]
    Bool = NDArray[np.bool_]
    Index = NDArray[np.intp]

# So many points are a full look at a cell.
_FULL_LOOK = 4.0
# So many points that stand out, in a cell and those beside it, are a body.
_BODY = 3
# Between things that are nearer to each other than this, nothing is free.
_GAP_M = 0.4


class DepthProjector:
    """Puts labelled pixels where depth says that they are.

    A cell is looked at by the points that lie in it. Nothing is known (label 255, evidence 0) of a cell without a
    point: what no ray reached, what lies behind something or in a ditch, pixels without depth, beyond ``max_range``.

    - **Standing classes** block the cells that their points lie in, from the ground up to ``clearance``. What hangs
      higher, such as a crown, does not block what lies under it. Fewer than ``min_standing_px`` points in a cell and
      those around it are noise: they mark nothing, but their cell is unknown.
    - **Shape**, whatever the class: solid ground that rises or falls by more than ``max_step`` at once, or stands out
      of, or lies below, all that is within ``height.NARROW`` metres by as much (blocks, ditches), or is steeper than
      ``max_slope`` against gravity, is ``OBSTACLE``. Soft classes (high grass) are not held to the step, but to the
      slope; standing ones have their own cost. Points without a class (unlabelled, sky, below ``min_confidence``) are
      held to the step: something is there, and nobody knows what. Points that stand out so, but are fewer than three,
      are noise of the sensor: their cell is unknown. Ground that rises within one cell more than a slope
      does, yet less than a step, is unknown.
    - **Ground classes** else: the class of one of the cell's points, as in all projectors, with the share of its
      points that agree.

    Evidence is confidence × share × points, four being a full look. The plane serves only as the height under the
    vehicle and where no ground was seen around: attitude must be right, the ground may be anything.

    Args:
        ontology: The classes.
        size: The window around the vehicle.
        max_range: Metres from the camera's foot.
        min_confidence: 0–1.
        ground_height: Height of the base frame's origin above the ground, metres.
        max_step: Metres. With cells so large that three of them at ``max_slope`` rise higher, that is the limit.
        max_slope: Degrees.
        clearance: Metres above the ground.
        min_standing_px: Points of standing classes from which a thing is believed, 1–4.
        keep_unlabelled: Report ground that was seen but carries no label as seen: label 255 with evidence.

    Raises:
        InputError: A number is out of bounds.
    """

    needs_depth = True
    contact_slope = 0.0

    def __init__(
        self,
        ontology: Ontology,
        size: GridSize,
        *,
        max_range: float = 15.0,
        min_confidence: float = 0.0,
        ground_height: float = 0.0,
        max_step: float = 0.25,
        max_slope: float = 30.0,
        clearance: float = 2.0,
        min_standing_px: int = 2,
        keep_unlabelled: bool = False,
    ) -> None:
        check_view_limits(max_range, min_confidence, ground_height, min_standing_px)
        check_depth(max_step, max_slope, clearance)
        self._size = size
        self._ground_height = ground_height
        self._min_confidence = math.ceil(min_confidence * 255)
        self._limits = Limits(max_step, math.tan(math.radians(max_slope)), size.resolution)
        self._clearance = np.float32(clearance)
        self._min_standing_px = min_standing_px
        known_256 = ontology.costs_256 >= 0
        ground_256 = known_256 & ~ontology.standing_256
        ground_256[UNLABELLED] = keep_unlabelled
        self._kind_256 = np.full(256, NAMELESS, np.uint8)
        self._kind_256[known_256 & ontology.standing_256] = STANDS
        self._kind_256[ground_256] = FIRM
        self._kind_256[ground_256 & ontology.soft_256] = SOFT
        # The worse class wins a cell where several things stand.
        self._rank_256 = (ontology.costs_256.astype(np.int16) + 1).clip(0, COST_LETHAL + 1).astype(np.uint16)
        self._gap = square(_GAP_M, size.resolution)
        self._caster = PointCaster(max_range)
        self._scratch = Scratch()
        self._lens: Lens | None = None
        shape = (size.cells_y, size.cells_x)
        self._outputs = [
            (np.empty(shape, np.uint8), np.empty(shape, np.float32), np.empty(shape, np.uint8))
            for _ in range(2)
        ]

    def reset(self) -> None:
        """Nothing: each frame stands alone."""

    def project(
        self,
        segmentation: Segmentation,
        camera: CameraModel,
        base_T_camera: Transform,
        odom_T_base: Transform | None = None,
        *,
        in_base_frame: bool = False,
        ground_up_3: NDArray[np.float64] | None = None,
        depth_HW: Depth | None = None,
    ) -> GridObservation:
        """See ``Projector.project``. The result's arrays are kept buffers: they last until the next but one call."""
        labels_HW = segmentation.labels_HW
        if depth_HW is None:
            raise DepthError("no_depth: there is no depth image for this frame", where="depth")
        if labels_HW.shape != (camera.height, camera.width):
            raise CameraError(
                f"the camera is {camera.width}×{camera.height}, the labels {labels_HW.shape[1]}×{labels_HW.shape[0]}",
                mend="use the CameraInfo of the image that was segmented",
            )
        view = ground_view(
            base_T_camera,
            odom_T_base,
            ground_height=self._ground_height,
            ground_up_3=ground_up_3,
            in_base_frame=in_base_frame,
        )
        if self._lens is None or self._lens.camera != camera:
            self._lens = Lens(camera, Scratch())
        grid = self._size.around(view.base_x, view.base_y)
        labels_HW = np.ascontiguousarray(labels_HW)
        kind_M, spare_M = self._kinds(labels_HW)
        points = self._caster.cast(depth_HW, self._lens, view, grid, spare_M)
        self._outputs.reverse()
        out_labels_HW, out_evidence_HW, out_confidence_HW = self._outputs[0]
        out_labels_HW.fill(UNLABELLED)
        out_evidence_HW.fill(0.0)
        out_confidence_HW.fill(0)
        part = part_of(
            points, labels_HW, kind_M, segmentation.confidence_HW, view, grid, self._min_confidence
        )
        if part is not None:
            labels, evidence, confidence = self._judge(part, (view.slope_x, view.slope_y))
            out_labels_HW[part.window] = labels[part.inner]
            out_evidence_HW[part.window] = evidence[part.inner]
            out_confidence_HW[part.window] = np.where(evidence > 0, np.rint(confidence), 0)[part.inner]
        return GridObservation(out_labels_HW, out_evidence_HW, grid, segmentation.stamp_ns, out_confidence_HW)

    def _kinds(self, labels_HW: U8) -> tuple[U8, Bool]:
        """What every pixel is, and which are ground; kept buffers, flat."""
        get, shape = self._scratch.get, labels_HW.shape
        kind_HW = cv2.LUT(labels_HW, self._kind_256, dst=get("kind", shape, np.uint8))
        spare_HW = np.greater(kind_HW, STANDS, out=get("spare", shape, np.bool_))
        return kind_HW.ravel(), spare_HW.ravel()

    def _judge(self, part: Part, lean: tuple[float, float]) -> tuple[U8, F32, F32]:
        """Class and evidence of every cell of the part, and confidence, 0–255, where there is evidence."""
        stands_N = part.kind_N == STANDS
        other = np.flatnonzero(~stands_N)
        stacks = stack(part.cell_N[other], part.up_N[other], part.kind_N[other], part.shape, self._scratch)
        ground_N = stacks.kind_N >= FIRM
        lowest = self._under_vehicle(part, stacks.extremes(ground_N)[0])
        level = without_bumps(lowest, self._limits.resolution)
        level[level >= UNSEEN] = 0.0
        # What hangs above the vehicle's height is out of its way.
        above_N = stacks.up_N - np.take(level, stacks.cell_N)
        body_N = (above_N < self._clearance) & (stacks.kind_N <= FIRM)
        specks = self._take_out_specks(stacks, above_N, body_N)
        _, high, cells, count = stacks.extremes(body_N)
        looks = np.zeros(part.shape, np.float32)
        looks.ravel()[cells] = count
        soft, soft_N = None, stacks.kind_N == SOFT
        if soft_N.any():
            soft, _, cells, count = stacks.extremes(soft_N)
            looks.ravel()[cells] += count
        firm = lowest if soft is None else stacks.extremes(stacks.kind_N == FIRM)[0]
        lethal, doubtful = hazards(self._under_vehicle(part, firm), high, soft, level, lean, self._limits)

        labels, evidence, confidence = self._ground(part, part.kind_N >= FIRM, looks)
        hanging = (lowest - level >= self._clearance) & (lowest < UNSEEN)
        found = lethal & (looks > 0)
        labels[found] = OBSTACLE
        evidence[found] = np.minimum(looks[found] * np.float32(1.0 / _FULL_LOOK), 1.0)
        # A shape is measured, whatever the network takes it for.
        confidence[found] = 255.0
        standing = np.flatnonzero(stands_N)
        standing = standing[part.up_N[standing] - np.take(level, part.cell_N[standing]) < self._clearance]
        stands = self._add_standing(part, standing, found, (labels, evidence, confidence))
        # Nothing drives through a gap between two things that is narrower than a wheel, or under half a branch.
        between = cv2.morphologyEx((stands | found).view(np.uint8), cv2.MORPH_CLOSE, self._gap).view(np.bool_)
        silent = (between & ~(stands | found)) | ((doubtful | hanging | specks) & ~(stands | found))
        labels[silent] = UNLABELLED
        evidence[silent] = 0.0
        return labels, evidence, confidence

    def _take_out_specks(self, stacks: Stacks, above_N: F32, body_N: Bool) -> Bool:
        """Points so few that they hang in mid-air are no body: taken out of ``body_N``; returns their cells."""
        tall = np.flatnonzero(body_N & (above_N > np.float32(0.5 * self._limits.tellable_step)))
        cell = stacks.cell_N[tall]
        count = np.bincount(cell, minlength=stacks.shape[0] * stacks.shape[1]).reshape(stacks.shape)
        around = _around(count.astype(np.float32))
        alone = np.take(around, cell) < _BODY - 0.5
        body_N[tall[alone]] = False
        return np.asarray((count > 0) & (around < _BODY - 0.5))

    def _under_vehicle(self, part: Part, low_HW: F32) -> F32:
        """The same heights, with the plane's under the vehicle where nothing was seen."""
        low_HW[part.footprint & (low_HW >= UNSEEN)] = 0.0
        return low_HW

    def _ground(self, part: Part, ground: Bool, looks: F32) -> tuple[U8, F32, F32]:
        """The class of one of a cell's points, mean confidence of those that agree × their share × points, and that."""
        cell, label, confidence = part.cell_N[ground], part.label_N[ground], part.confidence_N[ground]
        size = part.shape[0] * part.shape[1]
        class_flat = np.full(size, UNLABELLED, np.uint8)
        class_flat[cell] = label
        agrees = label == class_flat[cell]
        agreeing = np.bincount(cell, weights=confidence * agrees, minlength=size).reshape(part.shape)
        count = np.bincount(cell, weights=agrees, minlength=size).reshape(part.shape)
        mean = (agreeing / np.maximum(count, 1.0)).astype(np.float32)
        looks = np.maximum(looks, 1.0)
        share = agreeing * (np.minimum(looks, _FULL_LOOK) / (255.0 * _FULL_LOOK * looks))
        # Points that hang are no looks at the ground, but may be of the class.
        return class_flat.reshape(part.shape), np.minimum(share, 1.0).astype(np.float32), mean

    def _add_standing(self, part: Part, standing: Index, found: Bool, out: tuple[U8, F32, F32]) -> Bool:
        """Write what stands over the ground; returns the cells where anything does."""
        labels, evidence, sure = out
        cell, label, confidence = part.cell_N[standing], part.label_N[standing], part.confidence_N[standing]
        if cell.size == 0:
            return np.zeros(part.shape, np.bool_)
        # Within a cell the worst class, then the surest point, is written last and stays.
        order = np.argsort(self._rank_256[label] * 256 + confidence, kind="stable")
        size = part.shape[0] * part.shape[1]
        class_flat, confidence_flat = np.full(size, UNLABELLED, np.uint8), np.zeros(size, np.float32)
        class_flat[cell[order]] = label[order]
        confidence_flat[cell[order]] = confidence[order]
        count = np.bincount(cell, minlength=size).astype(np.float32).reshape(part.shape)
        around = _around(count)
        class_HW = class_flat.reshape(part.shape)
        believed = (count > 0) & (around >= self._min_standing_px - 0.5)
        # A lethal shape is not made passable by what stands on it.
        written = believed & ~found
        worth = np.minimum(count * np.float32(1.0 / _FULL_LOOK), 1.0) * confidence_flat.reshape(part.shape)
        labels[written] = class_HW[written]
        evidence[written] = worth[written] * np.float32(1.0 / 255.0)
        sure[written] = confidence_flat.reshape(part.shape)[written]
        speck = (count > 0) & ~believed & ~found
        labels[speck] = UNLABELLED
        evidence[speck] = 0.0
        return np.asarray(believed)


def _around(count_HW: F32) -> F32:
    """Sum over each cell and the eight beside it."""
    return np.asarray(cv2.boxFilter(count_HW, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT))
