# SPDX-License-Identifier: Apache-2.0
"""Which pixels the cells of a window look up.

A cell is looked at in five places: its centre, whose class it takes, and its four corners (shared with its
neighbours), which say how much of the cell was really seen as that class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.mapping.buffers import Scratch
from offroad_seg.mapping.directions import directions_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.lens import Lens
    from offroad_seg.mapping.level import GroundView
    from offroad_seg.types import GridSpec

    F32 = NDArray[np.float32]
    Bool = NDArray[np.bool_]
    Index = NDArray[np.intp]

SPREAD_M = 0.3
"""A cell that may be this far from where it seems to be is worth half."""


@dataclass(frozen=True)
class Placement:
    """The part of the window that can be in view, and how its cells are placed before the camera.

    Attributes:
        rows: First and end row of the part in the window; likewise columns.
        base_x: X of the window's corner, metres from the camera's foot; likewise base_y.
        resolution: Metres a cell.
        rows_33: float64: (X, Y, 1), metres from the camera's foot, → what the lens makes pixels of.
        lens: The camera.
        view: Where it is.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    base_x: float
    base_y: float
    resolution: float
    rows_33: NDArray[np.float64]
    lens: Lens
    view: GroundView

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the part, for indexing."""
        return slice(*self.rows), slice(*self.columns)

    def places(self, cells_K: Index, width: int) -> Index:
        """Flat indices in the part → in the window, which has so many columns."""
        first, end = self.columns
        step = end - first
        rows_K = cells_K // step
        rows_K *= width - step
        rows_K += cells_K
        rows_K += self.rows[0] * width + first
        return rows_K


@dataclass(frozen=True)
class CellLookup:
    """The pixels of a part's cells. Arrays have the part's shape (h, w).

    Attributes:
        near: Whether the cell's centre is in range.
        u: float32 column of the image where the centre is seen; outside of the image where it is not. Likewise v, its
            row.
        corner_u: The same of the cells' corners, shape (h + 1, w + 1); likewise corner_v.
        worth: float32 0–1: see ``worth_of``.
        distance: float32 metres of the centre from the camera's foot.
        direction: Number of the centre's direction from there: see ``directions``.
    """

    near: Bool
    u: F32
    v: F32
    corner_u: F32
    corner_v: F32
    worth: F32
    distance: F32
    direction: Index


class CellTable:
    """Places a window's cells before a camera.

    Args:
        max_range: Metres from the camera's foot beyond which nothing is looked up.
        slope_uncertainty: Radians, for ``worth_of``.
    """

    def __init__(self, max_range: float, slope_uncertainty: float) -> None:
        self.max_range = max_range
        self.slope_uncertainty = slope_uncertainty
        self._scratch = Scratch()

    def place(self, lens: Lens, view: GroundView, grid: GridSpec) -> Placement | None:
        """The part of the window in view, or None where no cell can be in sight."""
        rows, columns = _part_in_view(lens.border(), view, grid, self.max_range)
        if rows[0] >= rows[1] or columns[0] >= columns[1]:
            return None
        corner = (grid.origin_x - view.x, grid.origin_y - view.y)
        rows_33 = lens.rows_of(view.homography_33)
        return Placement(rows, columns, *corner, grid.resolution, rows_33, lens, view)

    def lookup(self, placed: Placement) -> CellLookup:
        """The pixels of cells, in kept memory: until the next call."""
        (j0, j1), (i0, i1) = placed.rows, placed.columns
        lens, view, res = placed.lens, placed.view, placed.resolution
        get = self._scratch.get
        edges_x = placed.base_x + res * np.arange(i0, i1 + 1, dtype=np.float64)
        edges_y = placed.base_y + res * np.arange(j0, j1 + 1, dtype=np.float64)
        centres_x, centres_y = edges_x[:-1] + 0.5 * res, edges_y[:-1] + 0.5 * res
        corner_u, corner_v, _ = lens.lattice(placed.rows_33, edges_x, edges_y, "_corner")
        u, v, depth = lens.lattice(placed.rows_33, centres_x, centres_y, "_centre")
        x_W, y_H = centres_x.astype(np.float32), centres_y.astype(np.float32)
        shape = u.shape
        distance = np.add(y_H[:, None] ** 2, x_W[None, :] ** 2, out=get("distance", shape))
        np.sqrt(distance, out=distance)
        near = np.less_equal(distance, self.max_range, out=get("near", shape, np.bool_))
        direction = directions_of(x_W[None, :], y_H[:, None], lens.directions_around, self._scratch)
        worth = worth_of(depth, distance, lens, view, res, self.slope_uncertainty)
        return CellLookup(near, u, v, corner_u, corner_v, worth, distance, direction)


def _part_in_view(
    rays_N2: NDArray[np.float64], view: GroundView, grid: GridSpec, max_range: float
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns that rays along the image's border enclose; as many as there are where one is not known."""
    rows, columns = (0, grid.height), (0, grid.width)
    if np.isfinite(rays_N2).all():
        R = view.camera_R_grid
        ray_x, ray_y, ray_z = (rays_N2[:, 0] * R[0, k] + rays_N2[:, 1] * R[1, k] + R[2, k] for k in range(3))
        level = np.hypot(ray_x, ray_y)
        fall = view.slope_x * ray_x + view.slope_y * ray_y - ray_z
        # Rays that miss the ground within range count up to the range, in their direction.
        reach = np.minimum(
            max_range, np.where(fall > 1e-6, -view.drop * level / np.maximum(fall, 1e-6), np.inf)
        )
        scale = reach / np.maximum(level, 1e-9)
        x, y = np.append(ray_x * scale, 0.0), np.append(ray_y * scale, 0.0)
        # Between two border rays the range is an arc, which bulges by 1 − cos of half their angle.
        margin = 2 * grid.resolution + 0.01 * max_range
        columns = _span(x, view.x - grid.origin_x, margin, grid.resolution, grid.width)
        rows = _span(y, view.y - grid.origin_y, margin, grid.resolution, grid.height)
    return rows, columns


def _span(
    values: NDArray[np.float64], shift: float, margin: float, resolution: float, cells: int
) -> tuple[int, int]:
    first = int(np.floor((values.min() + shift - margin) / resolution))
    end = int(np.ceil((values.max() + shift + margin) / resolution))
    return min(max(first, 0), cells), min(max(end, 0), cells)


def worth_of(
    depth: F32, distance: F32, lens: Lens, view: GroundView, resolution: float, slope_uncertainty: float
) -> F32:
    """What a look at ground is worth as evidence, 0–1.

    Along the line of sight a cell at depth z covers focal · height · resolution / z² pixels: a share of a pixel is
    worth that share. And ground that rises or falls against the plane by an angle is not where it seems to be, but
    angle · distance² / height away from there.

    Args:
        depth: Metres along the optical axis, positive; used up as scratch.
        distance: Metres from the camera's foot.
        lens: The camera.
        view: Its height above the plane.
        resolution: Metres a cell.
        slope_uncertainty: Radians.
    """
    worth = np.multiply(depth, depth, out=depth)
    np.divide(lens.focal * -view.drop * resolution, worth, out=worth)
    np.minimum(worth, 1.0, out=worth)
    spread = np.multiply(distance, distance)
    np.multiply(spread, slope_uncertainty / (-view.drop * SPREAD_M), out=spread)
    np.multiply(spread, spread, out=spread)
    np.add(spread, 1.0, out=spread)
    return np.divide(worth, spread, out=worth)
