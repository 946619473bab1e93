# SPDX-License-Identifier: Apache-2.0
"""A check that needs no labels: where the vehicle drove, the ground can be driven on.

Each cell that the footprint comes to cover is looked up in the costmaps of the approach: what was it called when the
vehicle was 2 to 4 m, 4 to 6 m … away? Lethal was wrong; unknown made the planner blind.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.errors import InputError
from offroad_seg.mapping.grid import origin_cell
from offroad_seg.replay.costmap_truth import LETHAL_FROM
from offroad_seg.replay.stability import CellCounts
from offroad_seg.types import COST_UNKNOWN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.transforms import Transform
    from offroad_seg.types import Costmap

    Cells = NDArray[np.int64]
    Keys = NDArray[np.int64]

EDGES_M = (2.0, 4.0, 6.0, 8.0, 10.0)
"""Distances between which the approach is looked at."""
LOOK_EVERY_M = 0.25
"""A costmap is kept for the check whenever the vehicle has moved so far."""
JUMP_M = 5.0
"""A longer way between two frames is a leap of the odometry, not a drive."""
LISTED = 100
_ROWS = 2**32


@dataclass(frozen=True)
class Footprint:
    """The rectangle of ground under the vehicle, in its base frame.

    Attributes:
        length: Metres along x.
        width: Metres along y.
        ahead: Metres from the base frame's origin to the rectangle's centre.

    Raises:
        InputError: A size is not positive.
    """

    length: float = 2.5
    width: float = 1.6
    ahead: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.length <= 30 and 0 < self.width <= 30 and abs(self.ahead) <= 30):
            raise InputError(
                f"a footprint of {self.length:g} × {self.width:g} m, {self.ahead:g} m ahead",
                where="--footprint",
                mend="give LENGTH,WIDTH or LENGTH,WIDTH,AHEAD in metres, as 2.5,1.6",
            )


@dataclass(frozen=True)
class _Look:
    """A costmap of the approach, and from where it was made."""

    cost_HW: NDArray[np.int8]
    cell: tuple[int, int]
    x: float
    y: float
    yaw: float


class DrivenPath:
    """Follows the vehicle and looks back at what it was told.

    Args:
        footprint: The vehicle's.
    """

    def __init__(self, footprint: Footprint) -> None:
        self._footprint = footprint
        self.reset()

    def reset(self) -> None:
        """Another drive begins."""
        self._looks: deque[_Look] = deque()
        self._pose: tuple[float, float, float] | None = None
        self._resolution = 0.0
        self._covered: Keys = np.zeros(0, np.int64)

    def add(self, costmap: Costmap, odom_T_base: Transform) -> dict[str, Any]:
        """One more costmap, in the frame of the odometry.

        Returns:
            ``metres`` driven since the frame before; ``bins``: for each distance [looks, unknown, lethal], where one
            look is one cell in one costmap of the approach; ``lethal_cells``: the whole cells [x, y] that some of them
            called lethal, at most ``LISTED``; ``resolution`` of a cell, metres.
        """
        pose = _planar(odom_T_base)
        metres = 0.0 if self._pose is None else math.dist(pose[:2], self._pose[:2])
        if metres > JUMP_M or costmap.grid.resolution != self._resolution:
            self.reset()
            metres, self._resolution = 0.0, costmap.grid.resolution
        bins = np.zeros((len(EDGES_M) - 1, 3), np.int64)
        wrong: Cells = np.zeros((0, 2), np.int64)
        entered_N2 = self._entered(pose)
        if len(entered_N2) and self._looks:
            wrong = self._look_up(entered_N2, bins)
        self._pose = pose
        self._keep(costmap, pose)
        return {
            "metres": metres,
            "bins": bins.tolist(),
            "lethal_cells": wrong[:LISTED].tolist(),
            "resolution": self._resolution,
        }

    def _entered(self, pose: tuple[float, float, float]) -> Cells:
        """Cells that the footprint has come to cover since the frame before, (N, 2) as x, y, sorted."""
        x, y, yaw = self._pose or pose
        turn = math.remainder(pose[2] - yaw, math.tau)
        reach = math.dist(pose[:2], (x, y)) + abs(turn) * self._footprint.length
        steps = max(1, math.ceil(reach / max(0.2, self._resolution)))
        swept: list[Keys] = []
        for step in range(1, steps + 1):
            share = step / steps
            under_K = self._under(x + share * (pose[0] - x), y + share * (pose[1] - y), yaw + share * turn)
            swept.append(under_K)
        before_K, self._covered = self._covered, under_K
        if self._pose is None:
            return np.zeros((0, 2), np.int64)
        return _cells(np.setdiff1d(np.concatenate(swept), before_K))

    def _under(self, x: float, y: float, yaw: float) -> Keys:
        """Cells whose centre lies under the vehicle at a pose, as keys."""
        f, cell = self._footprint, self._resolution
        c, s = math.cos(yaw), math.sin(yaw)
        cx, cy = x + c * f.ahead, y + s * f.ahead
        reach = 0.5 * math.hypot(f.length, f.width)
        columns = np.arange(math.floor((cx - reach) / cell), math.ceil((cx + reach) / cell) + 1)
        rows = np.arange(math.floor((cy - reach) / cell), math.ceil((cy + reach) / cell) + 1)
        dx, dy = np.meshgrid((columns + 0.5) * cell - cx, (rows + 0.5) * cell - cy)
        inside = (np.abs(c * dx + s * dy) <= f.length / 2) & (np.abs(c * dy - s * dx) <= f.width / 2)
        at = np.nonzero(inside)
        return _keys(columns[at[1]], rows[at[0]])

    def _look_up(self, cells_N2: Cells, bins: Cells) -> Cells:
        """Look cells up in all costmaps of the approach (L); adds to ``bins``, and gives those called lethal."""
        poses_L3 = np.array([(look.x, look.y, look.yaw) for look in self._looks])
        turns_L2 = np.array([(math.cos(yaw), math.sin(yaw)) for yaw in poses_L3[:, 2].tolist()])
        dx_LN = (cells_N2[:, 0] + 0.5) * self._resolution - poses_L3[:, 0, None]
        dy_LN = (cells_N2[:, 1] + 0.5) * self._resolution - poses_L3[:, 1, None]
        number_LN = np.digitize(np.hypot(dx_LN, dy_LN), EDGES_M) - 1
        # Behind the vehicle is where it came from: that was no approach.
        ahead_LN = dx_LN * turns_L2[:, 0, None] + dy_LN * turns_L2[:, 1, None] > 0
        valid_LN = ahead_LN & (number_LN >= 0) & (number_LN < len(bins))
        cost_LN = self._costs(cells_N2)
        unknown_LN, lethal_LN = valid_LN & (cost_LN == COST_UNKNOWN), valid_LN & (cost_LN >= LETHAL_FROM)
        for kind, mask_LN in enumerate((valid_LN, unknown_LN, lethal_LN)):
            bins[:, kind] += np.bincount(number_LN[mask_LN], minlength=len(bins))
        wrong: Cells = cells_N2[lethal_LN.any(axis=0)]
        return wrong

    def _costs(self, cells_N2: Cells) -> NDArray[np.int8]:
        """What each costmap of the approach (L) says of each cell, unknown beyond it: (L, N)."""
        corners_L2 = np.array([look.cell for look in self._looks])
        sizes_L2 = np.array([look.cost_HW.shape for look in self._looks])
        column_LN = cells_N2[:, 0] - corners_L2[:, 0, None]
        row_LN = cells_N2[:, 1] - corners_L2[:, 1, None]
        height_L1, width_L1 = sizes_L2[:, 0, None], sizes_L2[:, 1, None]
        inside_LN = (column_LN >= 0) & (column_LN < width_L1) & (row_LN >= 0) & (row_LN < height_L1)
        place_LN = np.where(inside_LN, row_LN * width_L1 + column_LN, 0)
        cost_LN: NDArray[np.int8] = np.empty(place_LN.shape, np.int8)
        for look, place_N, cost_N in zip(self._looks, place_LN, cost_LN):  # noqa: B905 – one for each look
            look.cost_HW.ravel().take(place_N, out=cost_N)
        cost_LN[~inside_LN] = COST_UNKNOWN
        return cost_LN

    def _keep(self, costmap: Costmap, pose: tuple[float, float, float]) -> None:
        x, y, yaw = pose
        newest = self._looks[-1] if self._looks else None
        if newest is None or math.dist((x, y), (newest.x, newest.y)) >= LOOK_EVERY_M:
            self._looks.append(_Look(costmap.cost_HW, origin_cell(costmap.grid), x, y, yaw))
        reach = EDGES_M[-1] + self._footprint.length + abs(self._footprint.ahead)
        # In order of time: a place that is passed again later is another approach.
        while self._looks and math.dist((x, y), (self._looks[0].x, self._looks[0].y)) > reach:
            self._looks.popleft()
        while len(self._looks) > 4 * reach / LOOK_EVERY_M:
            self._looks.popleft()


class DrivenSum:
    """The figures under ``driven_path`` in ``metrics.json``, from what ``DrivenPath`` said of each frame."""

    def __init__(self) -> None:
        self._metres = 0.0
        self._frames = 0
        self._bins: Cells = np.zeros((len(EDGES_M) - 1, 3), np.int64)
        self._cells = CellCounts()

    def add(self, found: dict[str, Any], bag: str = "") -> None:
        """One more frame; ``bag`` where there are several."""
        self._frames += 1
        self._metres += found["metres"]
        self._bins += np.array(found["bins"], np.int64)
        self._cells.add(found["lethal_cells"], found["resolution"], bag)

    def result(self) -> dict[str, Any] | None:
        """None where there was no costmap along a drive."""
        if not self._frames:
            return None
        bins = [
            {"from_m": low, "to_m": high, **_rates(*counts)}
            for low, high, counts in zip(EDGES_M[:-1], EDGES_M[1:], self._bins.tolist())  # noqa: B905
        ]
        return {
            "metres": self._metres,
            **_rates(*self._bins.sum(axis=0).tolist()),
            "by_distance": bins,
            "worst": self._cells.worst("frames"),
        }


def _keys(x_N: Cells, y_N: Cells) -> Keys:
    """Each cell as one number, in order of x, then of y; abs(x) and abs(y) less than 2³¹."""
    keys: Keys = x_N * _ROWS + (y_N + _ROWS // 2)
    return keys


def _cells(keys_N: Keys) -> Cells:
    """Back from keys, (N, 2) as x, y."""
    return np.stack([keys_N // _ROWS, keys_N % _ROWS - _ROWS // 2], axis=1)


def _rates(looks: int, unknown: int, lethal: int) -> dict[str, Any]:
    known = looks - unknown
    return {
        "looks": looks,
        "unknown_rate": unknown / looks if looks else None,
        "false_lethal_rate": lethal / known if known else None,
    }


def _planar(odom_T_base: Transform) -> tuple[float, float, float]:
    x, y = (float(v) for v in odom_T_base.translation_3[:2])
    return x, y, odom_T_base.roll_pitch_yaw()[2]
