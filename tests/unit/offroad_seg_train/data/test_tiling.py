# SPDX-License-Identifier: Apache-2.0
"""Tiles cover a picture, hold real pixels only, and give it back."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.errors import InputError
from offroad_seg_train.data.tiling import Tile, assemble, tile_grid

SIZES = st.tuples(st.integers(1, 90), st.integers(1, 120))


@settings(max_examples=150, deadline=None)
@given(size=SIZES, tile=st.tuples(st.integers(1, 40), st.integers(1, 50)), overlap=st.integers(0, 39))
def test_cutting_and_putting_together_is_the_identity(
    size: tuple[int, int], tile: tuple[int, int], overlap: int
) -> None:
    overlap = min(overlap, min(tile) - 1)
    labels = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    tiles = tile_grid(size, tile, overlap)
    assert len(set(tiles)) == len(tiles)
    for part in tiles:
        assert (part.height, part.width) == (min(tile[0], size[0]), min(tile[1], size[1]))
        assert 0 <= part.row <= size[0] - part.height
        assert 0 <= part.column <= size[1] - part.width
    np.testing.assert_array_equal(assemble([(t, t.cut(labels)) for t in tiles], size), labels)
    rows = sorted({t.row for t in tiles})
    assert all(b - a <= tiles[0].height - overlap for a, b in pairwise(rows))


def test_colours_come_back_too_and_seams_lie_in_the_middle() -> None:
    image = np.random.default_rng(0).integers(0, 256, (61, 93, 3), np.uint8)
    tiles = tile_grid((61, 93), (32, 40), 8)
    np.testing.assert_array_equal(assemble([(t, t.cut(image)) for t in tiles], (61, 93)), image)
    left, right = Tile(0, 0, 2, 6), Tile(0, 4, 2, 6)
    joined = assemble([(left, np.full((2, 6), 1)), (right, np.full((2, 6), 2))], (2, 10))
    assert joined[0].tolist() == [1] * 5 + [2] * 5


def test_potsdam_is_cut_evenly() -> None:
    tiles = tile_grid((6000, 6000), (512, 512), 64)
    columns = sorted({t.column for t in tiles})
    assert len(tiles) == 14 * 14
    assert columns[0] == 0
    assert columns[-1] == 6000 - 512
    assert max(np.diff(columns)) - min(np.diff(columns)) <= 1


@pytest.mark.parametrize(("tile", "overlap"), [((0, 5), 0), ((5, 5), 5), ((5, 9), -1)])
def test_impossible_tiles(tile: tuple[int, int], overlap: int) -> None:
    with pytest.raises(InputError):
        tile_grid((50, 50), tile, overlap)


def test_missing_and_wrong_tiles_are_refused() -> None:
    tiles = tile_grid((10, 30), (10, 10))
    pieces = [(t, np.zeros((10, 10), np.uint8)) for t in tiles]
    with pytest.raises(InputError, match="leave 100 pixels open"):
        assemble(pieces[:-1], (10, 30))
    with pytest.raises(InputError, match="holds 9×10 pixels"):
        assemble([(tiles[0], np.zeros((10, 9), np.uint8))], (10, 30))
    with pytest.raises(InputError, match="no tiles"):
        assemble([], (10, 30))
