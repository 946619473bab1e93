# SPDX-License-Identifier: Apache-2.0
"""Where grids lie: windows of whole cells that move with the vehicle without resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from offroad_seg.errors import InputError
from offroad_seg.types import GridSpec

_MAX_CELLS = 4_000_000


@dataclass(frozen=True)
class GridSize:
    """Size of a grid, without its place.

    Attributes:
        width: Metres along x.
        height: Metres along y.
        resolution: Metres a cell.

    Raises:
        InputError: A number is not positive, or the grid has no cell or too many.
    """

    width: float
    height: float
    resolution: float

    def __post_init__(self) -> None:
        for name in ("width", "height", "resolution"):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
                raise InputError(
                    f"{name} is {value!r}", where=f"costmap.{name}", mend="give a positive number of metres"
                )
        if self.cells_x < 1 or self.cells_y < 1 or self.cells_x * self.cells_y > _MAX_CELLS:
            raise InputError(
                f"{self.width:g} × {self.height:g} m at {self.resolution:g} m is {self.cells_x} × {self.cells_y} cells",
                where="costmap.width, costmap.height, costmap.resolution",
                mend=f"keep it between 1 and {_MAX_CELLS} cells",
            )

    @cached_property
    def cells_x(self) -> int:
        """Cells along x."""
        return round(self.width / self.resolution)

    @cached_property
    def cells_y(self) -> int:
        """Cells along y."""
        return round(self.height / self.resolution)

    def around(self, x: float, y: float) -> GridSpec:
        """The window around a point (metres, in the grid's frame), its corner on a whole cell of that frame.

        Windows of one size around any two points share their cells where they overlap.
        """
        cell_x, cell_y = self.cell_around(x, y)
        return GridSpec(
            self.cells_x, self.cells_y, self.resolution, cell_x * self.resolution, cell_y * self.resolution
        )

    def cell_around(self, x: float, y: float) -> tuple[int, int]:
        """``origin_cell`` of the window around a point."""
        return (
            math.floor(x / self.resolution + 0.5) - self.cells_x // 2,
            math.floor(y / self.resolution + 0.5) - self.cells_y // 2,
        )


def origin_cell(grid: GridSpec) -> tuple[int, int]:
    """Whole-cell index (x, y) of the grid's corner in its frame.

    Raises:
        InputError: The grid does not lie on whole cells.
    """
    x, y = grid.origin_x / grid.resolution, grid.origin_y / grid.resolution
    cell = (round(x), round(y))
    if abs(x - cell[0]) > 1e-3 or abs(y - cell[1]) > 1e-3:
        raise InputError(
            f"a grid at ({grid.origin_x:g}, {grid.origin_y:g}) m does not lie on whole cells of {grid.resolution:g} m",
            mend="place it with GridSize.around",
        )
    return cell
