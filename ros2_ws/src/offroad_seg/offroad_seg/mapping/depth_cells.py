# SPDX-License-Identifier: Apache-2.0
"""Which points of a depth image lie in which cells, and what their classes are to a vehicle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.mapping.height import NARROW

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.depth_points import Points
    from offroad_seg.mapping.level import GroundView
    from offroad_seg.types import GridSpec

    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]
    Bool = NDArray[np.bool_]
    Index = NDArray[np.intp]

NAMELESS, STANDS, FIRM, SOFT = range(4)
"""What a point is: of no class or not surely of it; of what stands; firm ground; soft ground."""

# The ground under the vehicle is the plane: a disc of this radius counts as seen there, for what lies beside it.
_FOOTPRINT_M = 0.6


@dataclass(frozen=True)
class Part:
    """Points by the cells of a part of the window, with a margin that may lie outside of it.

    Attributes:
        window: Rows and columns of the window that the part covers; ``inner``: the same in the part.
        shape: Rows and columns of the part.
        footprint: Cells that the vehicle stands on.
        cell_N: Flat index in the part of each point's cell.
        up_N: Metres above the plane.
        label_N: Class ids; likewise confidence_N.
        kind_N: ``NAMELESS`` (no class, or not sure), ``STANDS``, ``FIRM`` or ``SOFT`` ground.
    """

    window: tuple[slice, slice]
    inner: tuple[slice, slice]
    shape: tuple[int, int]
    footprint: Bool
    cell_N: Index
    up_N: F32
    label_N: U8
    confidence_N: U8
    kind_N: U8


def part_of(
    points: Points,
    labels_HW: U8,
    kind_M: U8,
    confidence_HW: U8,
    view: GroundView,
    grid: GridSpec,
    min_confidence: int,
) -> Part | None:
    """The points in the smallest part of the window that holds them and the vehicle; None without a point.

    Args:
        points: In the window.
        labels_HW: uint8 class ids; C-contiguous, as confidence_HW.
        kind_M: What each pixel's class is, flat.
        confidence_HW: uint8.
        view: Where the camera is.
        grid: The window.
        min_confidence: 0–255; pixels below are ``NAMELESS``.
    """
    i, j = points.column_N, points.row_N
    if i.size == 0:
        return None
    base_i, base_j = grid.width // 2, grid.height // 2
    # What surrounds the outermost cells must have room, for heights are judged by what lies around.
    margin = round(NARROW / grid.resolution)
    i0, i1 = min(int(i.min()), base_i) - margin, max(int(i.max()), base_i) + 1 + margin
    j0, j1 = min(int(j.min()), base_j) - margin, max(int(j.max()), base_j) + 1 + margin
    window = (slice(max(j0, 0), min(j1, grid.height)), slice(max(i0, 0), min(i1, grid.width)))
    x = grid.origin_x - view.base_x + (np.arange(i0, i1) + 0.5) * grid.resolution
    y = grid.origin_y - view.base_y + (np.arange(j0, j1) + 0.5) * grid.resolution
    rows, columns = window
    confidence_N = np.take(confidence_HW, points.pixel_N)
    label_N = np.take(labels_HW, points.pixel_N)
    kind_N = np.take(kind_M, points.pixel_N)
    kind_N[confidence_N < min_confidence] = NAMELESS
    return Part(
        window,
        (slice(rows.start - j0, rows.stop - j0), slice(columns.start - i0, columns.stop - i0)),
        (j1 - j0, i1 - i0),
        x[None, :] ** 2 + y[:, None] ** 2 <= _FOOTPRINT_M**2,
        (j - j0) * (i1 - i0) + (i - i0),
        points.up_N,
        label_N,
        confidence_N,
        kind_N,
    )
