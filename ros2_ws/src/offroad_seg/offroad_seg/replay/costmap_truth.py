# SPDX-License-Identifier: Apache-2.0
"""Scoring costmaps against the world's true grid. ``docs/replay.md`` gives the same definitions to users.

Compared are, for every frame with a costmap, the cells whose centre lies within ``SCORED_RANGE_M`` of the vehicle
and whose true cost is known. One cell counts once for each frame in which it is compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from offroad_seg.types import COST_UNKNOWN, Costmap, GridSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    I8 = NDArray[np.int8]
    Mask = NDArray[np.bool_]

SCORED_RANGE_M = 10.0
FREE_BELOW = 50
"""A cell that costs less is one that a planner would readily drive over."""
LETHAL_FROM = 99
TOLERANCE_M = 0.3
"""How far beside the true obstacle a lethal cell may lie and still be the obstacle: about three cells of 0.1 m."""


def sample(truth: Costmap, grid: GridSpec) -> I8:
    """The true cost at the centre of each cell of ``grid``, int8 (H, W); −1 where there is no truth.

    Both grids are axis-aligned in one frame.
    """
    spec = truth.grid
    x = grid.origin_x + (np.arange(grid.width) + 0.5) * grid.resolution
    y = grid.origin_y + (np.arange(grid.height) + 0.5) * grid.resolution
    column = np.floor((x - spec.origin_x) / spec.resolution).astype(np.int64)
    row = np.floor((y - spec.origin_y) / spec.resolution).astype(np.int64)
    inside = ((row >= 0) & (row < spec.height))[:, None] & ((column >= 0) & (column < spec.width))[None, :]
    values = truth.cost_HW[
        np.clip(row, 0, spec.height - 1)[:, None], np.clip(column, 0, spec.width - 1)[None, :]
    ]
    result: I8 = np.where(inside, values, np.int8(COST_UNKNOWN))
    return result


def near(grid: GridSpec, x: float, y: float, radius: float = SCORED_RANGE_M) -> Mask:
    """Cells whose centre lies within ``radius`` metres of a point, bool (H, W)."""
    dx = grid.origin_x + (np.arange(grid.width) + 0.5) * grid.resolution - x
    dy = grid.origin_y + (np.arange(grid.height) + 0.5) * grid.resolution - y
    result: Mask = dx[None, :] ** 2 + dy[:, None] ** 2 <= radius**2
    return result


@dataclass
class CostmapScore:
    """Counts over all frames.

    Args:
        truth: The world's grid, in the frame of the costmaps.
    """

    truth: Costmap
    frames: int = 0
    skipped: str = ""
    _n: dict[str, int] = field(default_factory=dict)
    _error: float = 0.0

    def add(self, costmap: Costmap, x: float, y: float) -> None:
        """Compare one costmap; ``x`` and ``y`` are the vehicle's place in its frame, metres."""
        if costmap.frame_id != self.truth.frame_id:
            self.skipped = f"the costmap is in '{costmap.frame_id}', the truth in '{self.truth.frame_id}'"
            return
        truth_HW, cost_HW = sample(self.truth, costmap.grid), costmap.cost_HW
        compared = near(costmap.grid, x, y) & (truth_HW != COST_UNKNOWN)
        known = compared & (cost_HW != COST_UNKNOWN)
        free, truly_free = known & (cost_HW < FREE_BELOW), truth_HW < FREE_BELOW
        lethal, truly_lethal = cost_HW >= LETHAL_FROM, truth_HW >= LETHAL_FROM
        reach = max(1, round(TOLERANCE_M / costmap.grid.resolution))
        self.frames += 1
        self._count("compared", compared)
        self._count("known", known)
        self._count("free", free)
        self._count("free_right", free & truly_free)
        self._count("free_lethal", free & truly_lethal)
        self._count("lethal", known & lethal)
        self._count("lethal_right", known & lethal & _grown(truly_lethal, reach))
        self._count("true_lethal", known & truly_lethal)
        self._count("true_lethal_found", known & truly_lethal & _grown(lethal, reach))
        difference = cost_HW[known].astype(np.float64) - truth_HW[known]
        self._error += float(np.abs(difference).sum())

    def result(self) -> dict[str, Any]:
        """The figures under ``costmap`` in ``metrics.json``; None where there is nothing to divide by."""
        n = self._n
        return {
            "frames": self.frames,
            "cells": n.get("compared", 0),
            "known_share": _share(n.get("known", 0), n.get("compared", 0)),
            "free_precision": _share(n.get("free_right", 0), n.get("free", 0)),
            "lethal_recall": _share(n.get("true_lethal_found", 0), n.get("true_lethal", 0)),
            "lethal_precision": _share(n.get("lethal_right", 0), n.get("lethal", 0)),
            "lethal_as_free": _share(n.get("free_lethal", 0), n.get("true_lethal", 0)),
            "mean_abs_error": _share(self._error, n.get("known", 0)),
            "range_m": SCORED_RANGE_M,
            "free_below": FREE_BELOW,
            "tolerance_m": TOLERANCE_M,
            **({"skipped": self.skipped} if self.skipped else {}),
        }

    def _count(self, name: str, mask: Mask) -> None:
        self._n[name] = self._n.get(name, 0) + int(np.count_nonzero(mask))


def _grown(mask: Mask, cells: int) -> Mask:
    """The mask and everything within so many cells of it."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * cells + 1, 2 * cells + 1))
    grown: Mask = cv2.dilate(mask.astype(np.uint8), kernel) > 0
    return grown


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None
