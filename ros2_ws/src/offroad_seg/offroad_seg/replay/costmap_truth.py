# SPDX-License-Identifier: Apache-2.0
"""Scoring costmaps against the world's true grid. ``docs/replay.md`` gives the same definitions to users.

Compared are, for every frame with a costmap, the cells whose centre lies within ``SCORED_RANGE_M`` of the vehicle
and whose true cost is known. One cell counts once for each frame in which it is compared.
"""

from __future__ import annotations

from collections import Counter
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


def compare(costmap: Costmap, truth: Costmap, x: float, y: float) -> dict[str, Any]:
    """What one costmap says against the true grid, as counts of cells that add up over frames.

    Args:
        costmap: The grid of one frame.
        truth: The world's grid.
        x: Where the vehicle is in their frame, metres.
        y: The same.

    Returns:
        ``cells`` (name → number) and ``abs_error`` (sum over the known cells); or ``skipped``, why there are none.
    """
    if costmap.frame_id != truth.frame_id:
        return {"skipped": f"the costmap is in '{costmap.frame_id}', the truth in '{truth.frame_id}'"}
    truth_HW, cost_HW = sample(truth, costmap.grid), costmap.cost_HW
    compared = near(costmap.grid, x, y) & (truth_HW != COST_UNKNOWN)
    known = compared & (cost_HW != COST_UNKNOWN)
    free, truly_free = known & (cost_HW < FREE_BELOW), truth_HW < FREE_BELOW
    lethal, truly_lethal = cost_HW >= LETHAL_FROM, truth_HW >= LETHAL_FROM
    reach = max(1, round(TOLERANCE_M / costmap.grid.resolution))
    masks = {
        "compared": compared,
        "known": known,
        "free": free,
        "free_right": free & truly_free,
        "free_lethal": free & truly_lethal,
        "lethal": known & lethal,
        "lethal_right": known & lethal & _grown(truly_lethal, reach),
        "true_lethal": known & truly_lethal,
        "true_lethal_found": known & truly_lethal & _grown(lethal, reach),
    }
    difference = cost_HW[known].astype(np.float64) - truth_HW[known]
    return {
        "cells": {name: int(np.count_nonzero(mask)) for name, mask in masks.items()},
        "abs_error": float(np.abs(difference).sum()),
    }


@dataclass
class CostmapScore:
    """Counts over all frames."""

    frames: int = 0
    skipped: str = ""
    _n: Counter[str] = field(default_factory=Counter)
    _error: float = 0.0

    def add(self, compared: dict[str, Any]) -> None:
        """What ``compare`` gave for one more frame."""
        if "skipped" in compared:
            self.skipped = compared["skipped"]
            return
        self.frames += 1
        self._n.update(compared["cells"])
        self._error += compared["abs_error"]

    def result(self) -> dict[str, Any]:
        """The figures under ``costmap`` in ``metrics.json``; None where there is nothing to divide by."""
        n = self._n
        return {
            "frames": self.frames,
            "cells": n["compared"],
            "known_share": _share(n["known"], n["compared"]),
            "free_precision": _share(n["free_right"], n["free"]),
            "lethal_recall": _share(n["true_lethal_found"], n["true_lethal"]),
            "lethal_precision": _share(n["lethal_right"], n["lethal"]),
            "lethal_as_free": _share(n["free_lethal"], n["true_lethal"]),
            "mean_abs_error": _share(self._error, n["known"]),
            "range_m": SCORED_RANGE_M,
            "free_below": FREE_BELOW,
            "tolerance_m": TOLERANCE_M,
            **({"skipped": self.skipped} if self.skipped else {}),
        }


def _grown(mask: Mask, cells: int) -> Mask:
    """The mask and everything within so many cells of it."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * cells + 1, 2 * cells + 1))
    grown: Mask = cv2.dilate(mask.astype(np.uint8), kernel) > 0
    return grown


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None
