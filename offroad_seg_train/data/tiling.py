# SPDX-License-Identifier: Apache-2.0
"""Cutting large pictures into tiles, and putting them together again.

Tiles are spread evenly: the first begins and the last ends at the picture's edge, and neighbours overlap by at least
what was asked for. So every tile holds real pixels only and nothing is padded. A picture that is smaller than a tile is
one tile of its own size.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Tile:
    """A part of a picture, in pixels.

    Attributes:
        row: Its first row.
        column: Its first column.
        height: Rows.
        width: Columns.
    """

    row: int
    column: int
    height: int
    width: int

    def cut(self, picture: NDArray[np.generic]) -> NDArray[np.generic]:
        """This part of a picture (H, W, …); a view, not a copy."""
        return picture[self.row : self.row + self.height, self.column : self.column + self.width]


def tile_grid(size: tuple[int, int], tile: tuple[int, int], overlap: int = 0) -> list[Tile]:
    """Tiles that cover a picture, row by row.

    Args:
        size: (height, width) of the picture.
        tile: (height, width) of a tile.
        overlap: Pixels that neighbouring tiles share at least, in both directions.

    Raises:
        InputError: A tile is empty, or the overlap is not smaller than it.
    """
    if min(tile) < 1:
        raise InputError(
            f"a tile of {tile[1]}×{tile[0]} pixels", where="tile", mend="height and width, 1 or more"
        )
    if not 0 <= overlap < min(tile):
        raise InputError(
            f"tiles of {tile[1]}×{tile[0]} cannot overlap by {overlap}",
            where="overlap",
            mend=f"0 to {min(tile) - 1} pixels",
        )
    height, width = min(tile[0], size[0]), min(tile[1], size[1])
    return [
        Tile(row, column, height, width)
        for row in _starts(size[0], height, overlap)
        for column in _starts(size[1], width, overlap)
    ]


def assemble(tiles: Iterable[tuple[Tile, NDArray[np.generic]]], size: tuple[int, int]) -> NDArray[np.generic]:
    """Put tiles together again; where they overlap, a later one covers the half that is nearer to its middle.

    Args:
        tiles: Each with its pixels (h, w, …), in the order of ``tile_grid``.
        size: (height, width) of the picture.

    Returns:
        The picture (H, W, …), of the tiles' type.

    Raises:
        InputError: There are no tiles, one does not fit, or they do not cover the picture.
    """
    pieces = list(tiles)
    if not pieces:
        raise InputError("there are no tiles to put together")
    first = pieces[0][1]
    picture = np.zeros((*size, *first.shape[2:]), first.dtype)
    covered_HW = np.zeros(size, np.bool_)
    tops = _seams(sorted({(tile.row, tile.height) for tile, _ in pieces}))
    lefts = _seams(sorted({(tile.column, tile.width) for tile, _ in pieces}))
    for tile, pixels in pieces:
        if pixels.shape[:2] != (tile.height, tile.width):
            raise InputError(
                f"a tile of {tile.width}×{tile.height} holds {pixels.shape[1]}×{pixels.shape[0]} pixels"
            )
        down, right = tops[tile.row], lefts[tile.column]
        target = np.s_[
            tile.row + down : tile.row + tile.height, tile.column + right : tile.column + tile.width
        ]
        picture[target] = pixels[down:, right:]
        covered_HW[target] = True
    if not covered_HW.all():
        raise InputError(
            f"the tiles leave {int((~covered_HW).sum())} pixels open", mend="give all tiles of the picture"
        )
    return picture


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    count = 1 if length <= tile else -(-(length - overlap) // (tile - overlap))
    if count == 1:
        return [0]
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def _seams(spans: list[tuple[int, int]]) -> dict[int, int]:
    """How far into each span (start, length) the seam to the one before it lies: in the middle of their overlap."""
    seams = {spans[0][0]: 0}
    for (start, length), (following, _) in pairwise(spans):
        seams[following] = max(0, start + length - following) // 2
    return seams
