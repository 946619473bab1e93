# SPDX-License-Identifier: Apache-2.0
"""Kernels that make small pictures large."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.native.library import function, pointer

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPARE = 8


class SpreadTables:
    """Which pixel of a small picture each of a large one shows, as kernels take it.

    Args:
        rows_H: For each row of the target the source's row.
        columns_W: Likewise the column.
        source: Rows and columns of the source.

    Attributes:
        first_w: int32, for each column of the source the first of the target's that shows it or one behind it, and one
            more: the target's width.
        rows: Where ``rows_H`` lies in memory, as int32; valid as long as this object. Likewise columns and first.
    """

    def __init__(
        self, rows_H: NDArray[np.intp], columns_W: NDArray[np.intp], source: tuple[int, int]
    ) -> None:
        self.first_w = np.searchsorted(columns_W, np.arange(source[1] + 1)).astype(np.int32)
        self._kept = (rows_H.astype(np.int32), columns_W.astype(np.int32))
        # Kernels trust these numbers.
        assert rows_H.min() >= 0
        assert rows_H.max() < source[0]
        assert columns_W.min() >= 0
        assert columns_W.max() < source[1]
        self.rows, self.columns = (pointer(array, np.int32) for array in self._kept)
        self.first = pointer(self.first_w, np.int32)


def spread_bytes(
    source: NDArray[Any],
    tables: SpreadTables,
    out: NDArray[Any],
    sizes: tuple[tuple[int, int], tuple[int, int]],
) -> bool:
    """One byte for each pixel, nearest; False without the kernel, and for pictures that it does not take.

    Args:
        source: Its rows may lie apart.
        tables: From where to where.
        out: C-contiguous.
        sizes: Of source and target.
    """
    kernel = function("spread_bytes", "piippppii")
    if kernel is None or source.dtype != np.uint8 or source.shape != sizes[0]:
        return False
    stride, step = source.strides
    if step != 1 or stride < source.shape[1]:
        return False
    height, width = sizes[1]
    row = np.empty(width + _SPARE, np.uint8)
    kernel(
        source.ctypes.data,
        stride,
        source.shape[1],
        tables.rows,
        tables.first,
        pointer(row, np.uint8),
        pointer(out, np.uint8, (height, width)),
        height,
        width,
    )
    return True
