# SPDX-License-Identifier: Apache-2.0
"""Where along the line of sight something lethal may really stand, on ground that is not quite the plane.

A foot that is seen ``a`` radians below the horizon, on ground that rises or falls by ``s`` against the plane between
the camera and the foot, stands at height / (tan a + tan s) from the camera's foot. By the plane alone it is at
height / tan a: at 10 m from a camera 1.2 m up, 2° are 2 to 4 m. All of that range is doubtful, and of something lethal
a doubt is worth a stop.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.mapping.buffers import Scratch
from offroad_seg.mapping.directions import with_neighbours

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.cells import CellLookup
    from offroad_seg.mapping.level import GroundView
    from offroad_seg.mapping.occlusion import Edges

    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]

# Slopes within so many standard deviations are thought of.
_CUT = 1.5
_FARTHEST = 100.0


class FootRange:
    """Marks a lethal thing's class over the range in which its foot may be.

    Of the things in one direction the nearest counts: what stands behind it is hidden anyway. Evidence falls with the
    slope that it takes, as a normal distribution, and as everything does with distance.

    Args:
        lethal_256: Which labels are lethal.
        slope_std: Radians, one standard deviation of the ground's slope against the plane; above 0.
        max_range: Metres from the camera's foot up to which cells are marked.
    """

    def __init__(self, lethal_256: NDArray[np.bool_], *, slope_std: float, max_range: float) -> None:
        self._lethal_256 = lethal_256
        self._std = math.tan(slope_std)
        self._max_range = max_range
        self._scratch = Scratch()

    def farthest(self, view: GroundView) -> float:
        """Feet that seem to be farther than this, metres, cannot be within ``max_range``."""
        nearest = -view.drop / self._max_range - _CUT * self._std
        return min(_FARTHEST, -view.drop / nearest) if nearest > 0.0 else _FARTHEST

    def mark(
        self,
        feet: Edges,
        cells: CellLookup,
        view: GroundView,
        count: int,
        min_confidence: int,
        out_labels_HW: U8,
        out_evidence_HW: F32,
    ) -> None:
        """Write the cells where a lethal thing may stand, over what was there.

        Args:
            feet: Where things meet the plane.
            cells: The part of the window in view.
            view: Where the camera is.
            count: How many directions there are.
            min_confidence: 0–255; feet that are less sure mark nothing.
            out_labels_HW: The window's cells.
            out_evidence_HW: Likewise.
        """
        lethal_N = np.take(self._lethal_256, feet.labels_N) & (feet.confidence_N >= min_confidence)
        if not lethal_N.any():
            return
        feet = feet.where(lethal_N)
        fall_B, foot_B = _nearest(feet, -view.drop, count)
        shape = cells.distance.shape
        get = self._scratch.get
        unlike = get("unlike", shape)
        with np.errstate(divide="ignore"):
            np.divide(np.float32(-view.drop), cells.distance, out=unlike)
        fall = np.take(fall_B, cells.direction, out=get("fall", shape), mode="clip")
        np.subtract(unlike, fall, out=unlike)
        size = np.abs(unlike, out=fall)
        doubtful = np.less_equal(size, np.float32(_CUT * self._std), out=get("doubtful", shape, np.bool_))
        np.logical_and(doubtful, cells.near, out=doubtful)
        # Flat indices: several times as fast as those of rows and columns.
        cells_K = np.flatnonzero(doubtful)
        foot_K = np.take(foot_B, np.take(cells.direction, cells_K), mode="clip")
        unlike_K = np.take(unlike, cells_K)
        unlike_K *= np.float32(1.0 / self._std)
        unlike_K *= unlike_K
        unlike_K *= np.float32(-0.5)
        worth_K = np.exp(unlike_K, out=unlike_K)
        worth_K *= np.take(cells.worth, cells_K)
        sure_N = feet.confidence_N * np.float32(1.0 / 255.0)
        worth_K *= np.take(sure_N, foot_K)
        at_K = cells.places(cells_K, out_labels_HW.shape[1])
        out_labels_HW.ravel()[at_K] = np.take(feet.labels_N, foot_K)
        out_evidence_HW.ravel()[at_K] = worth_K


def _nearest(feet: Edges, height: float, count: int) -> tuple[F32, NDArray[np.intp]]:
    """For each direction the nearest foot: tangent of its angle below the horizon (−∞ for none), and which it is."""
    fall_N = (height / np.maximum(feet.range_N, 1e-3)).astype(np.float32)
    order = np.argsort(fall_N, kind="stable")
    at = np.take(feet.direction_N, order)
    fall_B, foot_B = np.full(count, -np.inf, np.float32), np.zeros(count, np.intp)
    # Of several values for one direction the last stays: the nearest.
    fall_B[at], foot_B[at] = np.take(fall_N, order), order
    # And of those beside it, so that one thing leaves no gaps.
    beside, which = with_neighbours(fall_B), with_neighbours(foot_B)
    pick = beside.argmax(axis=0)
    every = np.arange(count)
    return beside[pick, every], which[pick, every]
