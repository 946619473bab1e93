# SPDX-License-Identifier: Apache-2.0
"""Where along the line of sight something lethal may really stand, on ground that is not quite the plane.

A foot that is seen ``a`` radians below the horizon, on ground that rises or falls by ``s`` against the plane between
the camera and the foot, stands at height / (tan a + tan s) from the camera's foot. By the plane alone it is at
height / tan a: at 10 m from a camera 1.2 m up, 2° are 2 to 4 m. All of that range is doubtful, and of something lethal
a doubt is worth a stop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.mapping.buffers import Scratch
from offroad_seg.mapping.directions import with_neighbours

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.cells import CellLookup, Placement
    from offroad_seg.mapping.level import GroundView
    from offroad_seg.mapping.looks import Cells
    from offroad_seg.mapping.occlusion import Edges

    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]

# Slopes within so many standard deviations are thought of.
_CUT = 1.5
FARTHEST = 100.0
"""Metres: how far a foot may seem to be."""
# exp(q) for q from −_CUT² / 2 to 0, to 1e-7 of its value, highest power first: the same on every machine, and in
# native/cells.c, which has the same numbers.
_FALLING = tuple(
    np.float32(c)
    for c in (
        0.0007726692711003125,
        0.007415345869958401,
        0.040940605103969574,
        0.16635969281196594,
        0.4999363422393799,
        0.9999951124191284,
        0.9999999403953552,
    )
)


@dataclass(frozen=True)
class Feet:
    """The nearest lethal thing in each direction.

    Attributes:
        fall_B: float32 tangent of its foot's angle below the horizon; −∞ for none.
        labels_B: uint8 class id.
        confidence_B: uint8.
    """

    fall_B: F32
    labels_B: U8
    confidence_B: U8


class FootRange:
    """Marks a lethal thing's class over the range in which its foot may be.

    Of the things in one direction the nearest counts: what stands behind it is hidden anyway. Evidence falls with the
    slope that it takes, as a normal distribution, and as everything does with distance.

    Args:
        lethal_256: Which labels are lethal.
        slope_std: Radians, one standard deviation of the ground's slope against the plane; above 0.
        max_range: Metres from the camera's foot up to which cells are marked.
        min_confidence: 0–255; feet that are less sure mark nothing.
    """

    def __init__(
        self, lethal_256: NDArray[np.bool_], *, slope_std: float, max_range: float, min_confidence: int
    ) -> None:
        self.lethal_256 = lethal_256
        self._max_range = max_range
        self._min_confidence = min_confidence
        self._scratch = Scratch()
        self.set_slope(slope_std)

    def set_slope(self, slope_std: float) -> None:
        """Change how much the ground rises and falls: radians, one standard deviation, above 0."""
        self.std = math.tan(slope_std)
        """Tangent of one standard deviation of the slope."""
        self.cut = _CUT * self.std
        """Tangent of the greatest slope that is thought of."""

    def farthest(self, view: GroundView) -> float:
        """Feet that seem to be farther than this, metres, cannot be within ``max_range``."""
        nearest = -view.drop / self._max_range - self.cut
        return min(FARTHEST, -view.drop / nearest) if nearest > 0.0 else FARTHEST

    def feet(self, edges: Edges, view: GroundView, count: int) -> Feet | None:
        """The nearest lethal foot in each direction or one beside it; None where there is none at all.

        Args:
            edges: Where things meet the plane.
            view: Where the camera is.
            count: How many directions there are.
        """
        lethal_N = edges.touches_N & np.take(self.lethal_256, edges.labels_N)
        lethal_N &= edges.confidence_N >= self._min_confidence
        return _nearest(edges.where(lethal_N), -view.drop, count) if lethal_N.any() else None

    def mark(self, feet: Feet, placed: Placement, cells: CellLookup, out: Cells) -> None:
        """Write the cells where a lethal thing may stand, over what was there.

        Args:
            feet: What stands.
            placed: The part of the window in view.
            cells: Its cells.
            out: The window.
        """
        shape = cells.distance.shape
        get = self._scratch.get
        unlike = get("unlike", shape)
        with np.errstate(divide="ignore"):
            np.divide(np.float32(-placed.view.drop), cells.distance, out=unlike)
        fall = np.take(feet.fall_B, cells.direction, out=get("fall", shape), mode="clip")
        np.subtract(unlike, fall, out=unlike)
        size = np.abs(unlike, out=fall)
        doubtful = np.less_equal(size, np.float32(self.cut), out=get("doubtful", shape, np.bool_))
        np.logical_and(doubtful, cells.near, out=doubtful)
        # Flat indices: several times as fast as those of rows and columns.
        cells_K = np.flatnonzero(doubtful)
        direction_K = np.take(cells.direction, cells_K)
        unlike_K = np.take(unlike, cells_K)
        unlike_K *= np.float32(1.0 / self.std)
        unlike_K *= unlike_K
        unlike_K *= np.float32(-0.5)
        worth_K = unlike_K * _FALLING[0]
        for c in _FALLING[1:-1]:
            worth_K += c
            worth_K *= unlike_K
        worth_K += _FALLING[-1]
        worth_K *= np.take(cells.worth, cells_K)
        confidence_K = np.take(feet.confidence_B, direction_K)
        worth_K *= confidence_K * np.float32(1.0 / 255.0)
        at_K = placed.places(cells_K, out.labels_HW.shape[1])
        out.labels_HW.ravel()[at_K] = np.take(feet.labels_B, direction_K)
        out.evidence_HW.ravel()[at_K] = worth_K
        out.confidence_HW.ravel()[at_K] = confidence_K


def _nearest(edges: Edges, height: float, count: int) -> Feet:
    """Of each direction the nearest foot."""
    fall_N = (height / np.maximum(edges.range_N, 1e-3)).astype(np.float32)
    order = np.argsort(fall_N, kind="stable")
    at = np.take(edges.direction_N, order)
    fall_B, foot_B = np.full(count, -np.inf, np.float32), np.zeros(count, np.intp)
    # Of several values for one direction the last stays: the nearest.
    fall_B[at], foot_B[at] = np.take(fall_N, order), order
    # And of those beside it, so that one thing leaves no gaps.
    beside, which = with_neighbours(fall_B), with_neighbours(foot_B)
    pick = beside.argmax(axis=0)
    every = np.arange(count)
    foot_B = which[pick, every]
    return Feet(beside[pick, every], np.take(edges.labels_N, foot_B), np.take(edges.confidence_N, foot_B))
