# SPDX-License-Identifier: Apache-2.0
"""What ``costmap_truth.py`` counts of one way to map; it says what each number is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BANDS = ((0, 4), (4, 6), (6, 8), (8, 10))
"""Distances from the camera, metres."""


@dataclass
class Score:
    """Counts over a drive."""

    free: int = 0
    free_wrong: int = 0
    foot: NDArray[np.intp] = field(default_factory=lambda: np.zeros(len(BANDS), np.intp))
    foot_lethal: NDArray[np.intp] = field(default_factory=lambda: np.zeros(len(BANDS), np.intp))
    lethal: int = 0
    lethal_right: int = 0
    known_lethal: int = 0
    known_lethal_passable: int = 0
    ground: int = 0
    ground_known: int = 0
    # Rows: everywhere, on the trail. Columns: at any distance, then by band.
    passable: NDArray[np.intp] = field(default_factory=lambda: np.zeros((2, 1 + len(BANDS)), np.intp))
    passable_kept: NDArray[np.intp] = field(default_factory=lambda: np.zeros((2, 1 + len(BANDS)), np.intp))
    passable_known: NDArray[np.intp] = field(default_factory=lambda: np.zeros((2, 1 + len(BANDS)), np.intp))
    passable_cost: NDArray[np.intp] = field(default_factory=lambda: np.zeros((2, 1 + len(BANDS)), np.intp))
    passable_lethal: NDArray[np.intp] = field(default_factory=lambda: np.zeros((2, 1 + len(BANDS)), np.intp))

    def numbers(self) -> dict[str, float]:
        """Shares, and how many cells they rest on."""
        return {
            "free_precision": 1 - self.free_wrong / max(1, self.free),
            "lethal_recall": float(self.foot_lethal.sum() / max(1, self.foot.sum())),
            **{
                f"lethal_recall_{low}_{high}_m": float(hit / max(1, n))
                for (low, high), hit, n in zip(BANDS, self.foot_lethal, self.foot, strict=True)
            },
            "lethal_precision": self.lethal_right / max(1, self.lethal),
            "lethal_called_passable": self.known_lethal_passable / max(1, self.known_lethal),
            "coverage": self.ground_known / max(1, self.ground),
            "free_kept": float(self.passable_kept[0, 0] / max(1, self.passable[0, 0])),
            "false_lethal": float(self.passable_lethal[0, 0] / max(1, self.passable[0, 0])),
            **{
                f"trail_{what}_{low}_{high}_m": float(some[1, 1 + k] / max(1, self.passable[1, 1 + k]))
                for what, some in (("kept", self.passable_kept), ("lethal", self.passable_lethal))
                for k, (low, high) in enumerate(BANDS)
            },
            "trail_cost": float(self.passable_cost[1, 0] / max(1, 100 * self.passable_known[1, 0])),
            "free_cells": self.free,
            "lethal_foot_cells": int(self.foot.sum()),
        }
