# SPDX-License-Identifier: Apache-2.0
"""All costmaps of a drive laid into one picture of the country that it went through."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from offroad_seg.replay.gallery_pictures import png_uri
from offroad_seg.replay.gridview import cost_colors
from offroad_seg.types import COST_UNKNOWN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.types import Costmap

    I8 = NDArray[np.int8]

CELLS = 800
"""Cells along a side: the picture's size, however far the drive goes."""
RESOLUTION = 0.125
EVERY_M = 1.0


class DriveMosaic:
    """What the costmap last said of each place, over the whole drive; memory is bounded.

    The grid lies around where the drive began. When the drive leaves it, its cells grow to twice their size.
    """

    def __init__(self, cells: int = CELLS, resolution: float = RESOLUTION) -> None:
        self._cells, self._resolution = cells, resolution
        self._cost_HW: I8 = np.full((cells, cells), COST_UNKNOWN, np.int8)
        self._x0 = self._y0 = math.nan
        self._last: tuple[float, float] | None = None

    def add(self, costmap: Costmap, x: float, y: float) -> None:
        """One more costmap, unless the vehicle has hardly moved since the last.

        Args:
            costmap: In the odometry's frame.
            x: The vehicle's place in that frame, metres.
            y: Likewise.
        """
        if self._last is not None and math.hypot(x - self._last[0], y - self._last[1]) < EVERY_M:
            return
        if not (math.isfinite(x) and math.isfinite(y)):
            return
        self._last = (x, y)
        grid = costmap.grid
        if math.isnan(self._x0):
            half = 0.5 * self._cells * self._resolution
            self._x0, self._y0 = x - half, y - half
        east = grid.origin_x + grid.width * grid.resolution
        north = grid.origin_y + grid.height * grid.resolution
        while not self._holds(grid.origin_x, grid.origin_y, east, north):
            self._coarsen()
        self._lay(costmap)

    def picture(self) -> dict[str, Any] | None:
        """``uri`` and its place ``x``, ``y`` (lower left), ``width``, ``height`` in metres; None without a costmap."""
        return None if math.isnan(self._x0) else place(self._cost_HW, self._x0, self._y0, self._resolution)

    def _holds(self, west: float, south: float, east: float, north: float) -> bool:
        side = self._cells * self._resolution
        return west >= self._x0 and south >= self._y0 and east <= self._x0 + side and north <= self._y0 + side

    def _coarsen(self) -> None:
        half = self._cells // 2
        # The dearest of four cells stands for them: an obstacle must not vanish. Unknown is −1 and gives way.
        small = self._cost_HW[: 2 * half, : 2 * half].reshape(half, 2, half, 2).max(axis=(1, 3))
        self._cost_HW = np.full((self._cells, self._cells), COST_UNKNOWN, np.int8)
        quarter = half // 2
        self._cost_HW[quarter : quarter + half, quarter : quarter + half] = small
        self._x0 -= quarter * 2 * self._resolution
        self._y0 -= quarter * 2 * self._resolution
        self._resolution *= 2

    def _lay(self, costmap: Costmap) -> None:
        grid, r = costmap.grid, self._resolution
        column, row = int((grid.origin_x - self._x0) / r), int((grid.origin_y - self._y0) / r)
        columns = min(math.ceil(grid.width * grid.resolution / r) + 1, self._cells - column)
        rows = min(math.ceil(grid.height * grid.resolution / r) + 1, self._cells - row)
        scale = r / grid.resolution
        # Centre of the mosaic's cell (u, v) → index of the costmap's cell.
        shift_x = (self._x0 + (column + 0.5) * r - grid.origin_x) / grid.resolution - 0.5
        shift_y = (self._y0 + (row + 0.5) * r - grid.origin_y) / grid.resolution - 0.5
        cells = cv2.warpAffine(
            costmap.cost_HW.view(np.uint8),
            np.array([[scale, 0.0, shift_x], [0.0, scale, shift_y]]),
            (columns, rows),
            flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=COST_UNKNOWN & 0xFF,
        ).view(np.int8)
        target = self._cost_HW[row : row + rows, column : column + columns]
        np.copyto(target, cells, where=cells != COST_UNKNOWN)


def place(cost_HW: I8, x: float, y: float, resolution: float, cells: int = CELLS) -> dict[str, Any] | None:
    """A grid as a picture, cut to what is known and no larger than ``cells`` a side.

    Args:
        cost_HW: Costs, row = y.
        x: Of the lower left corner, metres.
        y: Likewise.
        resolution: Metres a cell.
        cells: Pixels a side at most.
    """
    known = cost_HW != COST_UNKNOWN
    rows, columns = np.flatnonzero(known.any(axis=1)), np.flatnonzero(known.any(axis=0))
    if not rows.size:
        return None
    r0, r1, c0, c1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    picture = np.take(cost_colors(), cost_HW[r0:r1, c0:c1][::-1].view(np.uint8), axis=0)
    scale = min(1.0, cells / max(picture.shape[:2]))
    if scale < 1.0:
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return {
        "uri": png_uri(np.asarray(picture, np.uint8)),
        "x": round(x + c0 * resolution, 3),
        "y": round(y + r0 * resolution, 3),
        "width": round((c1 - c0) * resolution, 3),
        "height": round((r1 - r0) * resolution, 3),
    }
