# SPDX-License-Identifier: Apache-2.0
"""Cells of the costmap that change their mind: free, then lethal, or lethal, then free."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.mapping.grid import origin_cell
from offroad_seg.replay.costmap_truth import FREE_BELOW, LETHAL_FROM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.types import Costmap, GridSpec

LISTED = 200
"""Cells that one frame's record names; all are counted."""

WORST = 10
"""Cells that ``metrics.json`` lists."""

_FREE, _LETHAL = 1, 2
_MAX_COUNTED = 100_000


class Stability:
    """Remembers of each cell in the window whether it was last called free or lethal; unknown changes nothing."""

    def __init__(self) -> None:
        self._grid: GridSpec | None = None
        self._said_HW: NDArray[np.uint8] = np.zeros((0, 0), np.uint8)

    def reset(self) -> None:
        """Forget all: another time begins."""
        self._grid = None

    def add(self, costmap: Costmap) -> dict[str, Any]:
        """One more costmap, in a frame that stands still.

        Returns:
            ``to_lethal``, ``to_free``: cells that changed; ``decided``: cells that are free or lethal; ``cells``: where
            they changed, as whole cells [x, y] of the frame, at most ``LISTED``; ``resolution`` of a cell, metres.
        """
        said_HW = self._moved(costmap.grid)
        cost_HW = costmap.cost_HW
        lethal_HW = cost_HW >= LETHAL_FROM
        free_HW = (cost_HW >= 0) & (cost_HW < FREE_BELOW)
        to_lethal_HW, to_free_HW = lethal_HW & (said_HW == _FREE), free_HW & (said_HW == _LETHAL)
        said_HW[free_HW], said_HW[lethal_HW] = _FREE, _LETHAL
        self._grid, self._said_HW = costmap.grid, said_HW
        x, y = origin_cell(costmap.grid)
        rows, columns = np.nonzero(to_lethal_HW | to_free_HW)
        return {
            "to_lethal": int(np.count_nonzero(to_lethal_HW)),
            "to_free": int(np.count_nonzero(to_free_HW)),
            "decided": int(np.count_nonzero(lethal_HW | free_HW)),
            "cells": np.stack([columns + x, rows + y], axis=1)[:LISTED].tolist(),
            "resolution": costmap.grid.resolution,
        }

    def _moved(self, grid: GridSpec) -> NDArray[np.uint8]:
        """What was said, in the window of a grid."""
        moved_HW: NDArray[np.uint8] = np.zeros((grid.height, grid.width), np.uint8)
        old = self._grid
        if old is None or old.resolution != grid.resolution:
            return moved_HW
        (old_x, old_y), (new_x, new_y) = origin_cell(old), origin_cell(grid)
        left, right = max(old_x, new_x), min(old_x + old.width, new_x + grid.width)
        low, high = max(old_y, new_y), min(old_y + old.height, new_y + grid.height)
        if left < right and low < high:
            moved_HW[low - new_y : high - new_y, left - new_x : right - new_x] = self._said_HW[
                low - old_y : high - old_y, left - old_x : right - old_x
            ]
        return moved_HW


class StabilitySum:
    """The figures under ``costmap_stability`` in ``metrics.json``, from what ``Stability`` said of each frame."""

    def __init__(self) -> None:
        self._n: Counter[str] = Counter()
        self._cells = CellCounts()

    def add(self, found: dict[str, Any], bag: str = "") -> None:
        """One more frame; ``bag`` where there are several."""
        self._n["frames"] += 1
        for key in ("to_lethal", "to_free", "decided"):
            self._n[key] += found[key]
        self._cells.add(found["cells"], found["resolution"], bag)

    def result(self) -> dict[str, Any] | None:
        """None where no frame had a costmap that stands still."""
        n = self._n
        if not n["frames"]:
            return None
        flips = n["to_lethal"] + n["to_free"]
        return {
            "frames": n["frames"],
            "flips": flips,
            "to_lethal": n["to_lethal"],
            "to_free": n["to_free"],
            "decided_cells": n["decided"],
            "flip_share": flips / n["decided"] if n["decided"] else None,
            "worst": self._cells.worst("flips"),
        }


class CellCounts:
    """How often each cell was named; memory is bounded, the rarest are forgotten first."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, int, int]] = Counter()
        self._resolutions: dict[str, float] = {}

    def add(self, cells: list[list[int]], resolution: float, bag: str = "") -> None:
        """Whole cells [x, y] of a size in metres; those of two bags are never the same place."""
        self._resolutions[bag] = resolution
        self._counts.update((bag, x, y) for x, y in cells)
        if len(self._counts) > _MAX_COUNTED:
            self._counts = Counter(dict(self._counts.most_common(_MAX_COUNTED // 2)))

    def worst(self, name: str) -> list[dict[str, Any]]:
        """The cells that were named most, by their centres in metres."""
        ranked = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))[:WORST]
        return [
            {
                **({"bag": bag} if bag else {}),
                "x": round((x + 0.5) * self._resolutions[bag], 3),
                "y": round((y + 0.5) * self._resolutions[bag], 3),
                name: n,
            }
            for (bag, x, y), n in ranked
        ]
