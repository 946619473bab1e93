# SPDX-License-Identifier: Apache-2.0
"""Kernels that make small pictures large."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.native.library import address, function, pointer, room

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_BLOCK = 16
WORD_BLOCK = 8
"""Pixels that kernels spread at once: as bytes sixteen, as words these."""


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
        byte_blocks: Where ``_blocks`` of bytes lie, 0 and 0 where there are none; word_blocks those of words.
    """

    def __init__(
        self, rows_H: NDArray[np.intp], columns_W: NDArray[np.intp], source: tuple[int, int]
    ) -> None:
        self.first_w = np.searchsorted(columns_W, np.arange(source[1] + 1)).astype(np.int32)
        self._kept: list[NDArray[Any]] = [rows_H.astype(np.int32), columns_W.astype(np.int32)]
        # Kernels trust these numbers.
        assert rows_H.min() >= 0
        assert rows_H.max() < source[0]
        assert columns_W.min() >= 0
        assert columns_W.max() < source[1]
        self.rows, self.columns = (pointer(array, np.int32) for array in self._kept)
        self.first = pointer(self.first_w, np.int32)
        self.byte_blocks = self._keep_blocks(columns_W, source[1], _BLOCK)
        self.word_blocks = self._keep_blocks(columns_W, source[1], WORD_BLOCK)

    def _keep_blocks(self, columns_W: NDArray[np.intp], w: int, size: int) -> tuple[int, int]:
        found = _blocks(columns_W, w, size)
        if found is None:
            return 0, 0
        self._kept += found
        return pointer(found[0], np.int32), pointer(found[1], np.uint8)


def _blocks(
    columns_W: NDArray[np.intp], w: int, size: int
) -> tuple[NDArray[np.int32], NDArray[np.uint8]] | None:
    """The target's columns by so many at once.

    Args:
        columns_W: For each column of the target the source's, which never goes back.
        w: Columns of the source.
        size: Of a block.

    Returns:
        For each block the first of the ``size`` columns of the source that it is taken from, all of them within it; and
        for each column of whole blocks which of those it is. None where some block needs more, as in a smaller picture.
    """
    starts = np.minimum(columns_W[::size], w - size)
    controls = columns_W - np.repeat(starts, size)[: len(columns_W)]
    if w < size or controls.max() >= size:
        return None
    padded = np.zeros(len(starts) * size, np.uint8)
    padded[: len(controls)] = controls
    return starts.astype(np.int32), padded


def spread_bytes(
    sources: Sequence[NDArray[Any]],
    tables: SpreadTables,
    outs: Sequence[NDArray[Any]],
    copies: Sequence[NDArray[Any]],
    sizes: tuple[tuple[int, int], tuple[int, int]],
) -> bool:
    """One byte for each pixel, nearest; False without the kernel, and for pictures that it does not take.

    Args:
        sources: Pictures whose rows lie equally far apart.
        tables: From where to where.
        outs: For each where it goes at the target's size, C-contiguous.
        copies: For each where it goes as it is, C-contiguous; or nothing.
        sizes: Of source and target.
    """
    kernel = function("spread_bytes", "piiiipppppii")
    if kernel is None:
        return False
    (h, w), (height, width) = sizes
    strides = sources[0].strides
    if strides[1:] != (1,) or strides[0] < w:
        return False
    planes: list[int] = []
    for k, source in enumerate(sources):
        if source.dtype != np.uint8 or source.shape != (h, w) or source.strides != strides:
            return False
        planes += (
            address(source),
            pointer(copies[k], np.uint8, (h, w)) if copies else 0,
            pointer(outs[k], np.uint8, (height, width)),
        )
    numbers = (ctypes.c_int64 * len(planes))(*planes)
    kernel(
        ctypes.addressof(numbers),
        len(sources),
        strides[0],
        h,
        w,
        tables.rows,
        tables.first,
        *tables.byte_blocks,
        room(width + _BLOCK),
        height,
        width,
    )
    return True
