# SPDX-License-Identifier: Apache-2.0
"""Small pictures spread over large ones, nearest by pixel centres: what the network says, at the image's size."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np

from offroad_seg.native.spread import SpreadTables, spread_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)


class Spread:
    """Resizes pictures of one size to another, as ``cv2.resize`` with ``INTER_NEAREST_EXACT`` does, pixel for pixel.

    That one looks up every pixel by itself. Here a row of the source is stretched once, and then copied as a whole:
    less than half of the time where the picture becomes larger.

    Args:
        source: Rows and columns of what is given.
        target: Rows and columns of what is wanted.

    Attributes:
        rows_H: For each row of the target the source's row that it shows.
        columns_W: Likewise the column.
        tables: The same for kernels.
    """

    def __init__(self, source: tuple[int, int], target: tuple[int, int]) -> None:
        self.source, self.target = source, target
        self.rows_H = _places(source[0], target[0])
        self.columns_W = _places(source[1], target[1])
        self.tables = SpreadTables(self.rows_H, self.columns_W, source)

    def across(self, source: NDArray[Number]) -> NDArray[Number]:
        """The source (h, w) or (h, w, C) in its own rows and the target's columns; itself where they are the same."""
        if self.source[1] == self.target[1]:
            return source
        size = (self.target[1], len(source))
        return _array(cv2.resize(source, size, interpolation=cv2.INTER_NEAREST_EXACT), source)

    def down(self, source: NDArray[Number], out: NDArray[Number], top: int = 0) -> NDArray[Number]:
        """Rows of what ``across`` gave, from the target's row ``top``, as many as ``out`` (C-contiguous) has."""
        rows = self.rows_H[top : top + len(out)]
        return np.take(source, rows, axis=0, out=out, mode="clip")

    def apply(self, source: NDArray[Number], out: NDArray[Number]) -> NDArray[Number]:
        """The source at the target's size, in ``out``, which is C-contiguous."""
        self.apply_all((source,), (out,))
        return out

    def apply_all(
        self,
        sources: Sequence[NDArray[Number]],
        outs: Sequence[NDArray[Number]],
        copies: Sequence[NDArray[Number]] = (),
    ) -> None:
        """Several sources at once, and copies of them as they are; where these go is C-contiguous."""
        sizes = (self.source, self.target)
        if self.source != self.target and spread_bytes(sources, self.tables, outs, copies, sizes):
            return
        for source, copy in zip(sources if len(copies) else (), copies, strict=True):
            np.copyto(copy, source)
        for source, out in zip(sources, outs, strict=True):
            self._put(source, out)

    def _put(self, source: NDArray[Number], out: NDArray[Number]) -> None:
        if self.source == self.target:
            np.copyto(out, source)
        elif self.target[0] >= self.source[0]:
            self.down(self.across(source), out)
        else:
            np.copyto(out, self.across(np.take(source, self.rows_H, axis=0, mode="clip")))


@lru_cache(maxsize=16)
def spread_between(source: tuple[int, int], target: tuple[int, int]) -> Spread:
    """A kept ``Spread``; it holds no state, so that threads may share it."""
    return Spread(source, target)


def _places(source: int, target: int) -> NDArray[np.intp]:
    """Asked of OpenCV itself, so that it is the same to the last pixel."""
    ramp = np.arange(source, dtype=np.float32)[None, :]
    found: Any = cv2.resize(ramp, (target, 1), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(found).ravel().astype(np.intp)


def _array(found: Any, like: NDArray[Number]) -> NDArray[Number]:
    """OpenCV drops the last axis of pictures of one channel."""
    array: NDArray[Number] = np.asarray(found)
    return array.reshape(*array.shape[:2], *like.shape[2:])
