# SPDX-License-Identifier: Apache-2.0
"""Windows cover every pixel, their weights sum to 1, and blending gives back what all windows agree on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.errors import InputError
from offroad_seg_train.evaluation.tiles import (
    ALIGN,
    MAX_OVERLAP,
    Window,
    blend,
    blend_bands,
    decide,
    plan_axis,
    plan_tiles,
)

LENGTHS = st.integers(1, 900)
TILES = st.integers(32, 300)
OVERLAPS = st.floats(0.0, MAX_OVERLAP)


@settings(max_examples=200, deadline=None)
@given(length=LENGTHS, tile=TILES, overlap=OVERLAPS, grow=st.booleans())
def test_windows_cover_the_image_and_weights_sum_to_one(
    length: int, tile: int, overlap: float, grow: bool
) -> None:
    axis = plan_axis(length, tile, overlap, grow=grow)
    total, covered = np.zeros(length), np.zeros(length, int)
    for start, size, weight in zip(axis.starts, axis.sizes, axis.weights, strict=True):
        assert 0 <= start < start + size <= length
        assert (weight > 0).all()
        total[start : start + size] += weight
        covered[start : start + size] += 1
    assert covered.min() >= 1
    np.testing.assert_allclose(total, 1.0, atol=1e-5)
    assert list(axis.starts) == sorted(set(axis.starts))
    assert axis.starts[0] == 0
    assert axis.starts[-1] + axis.sizes[-1] == length
    assert all(size == tile for size in axis.sizes[:-1])
    aligned = axis.starts if grow else axis.starts[:-1]
    assert all(start % ALIGN == 0 for start in aligned)
    assert axis.sizes[-1] < tile + ALIGN
    if not grow and length >= tile:
        assert axis.sizes[-1] == tile
    # Neighbours overlap by at least what was asked for, to the stride's grid.
    step = max(ALIGN, int(tile * (1 - overlap)))
    assert all(b - a <= step for a, b in zip(axis.starts, axis.starts[1:], strict=False))


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 260), st.integers(1, 260)),
    tile=st.tuples(st.integers(32, 120), st.integers(32, 120)),
    overlap=OVERLAPS,
    grow=st.booleans(),
)
def test_blending_gives_back_what_every_window_agrees_on(
    size: tuple[int, int], tile: tuple[int, int], overlap: float, grow: bool
) -> None:
    scores = np.random.default_rng(0).dirichlet([1.0] * 3, size).transpose(2, 0, 1).astype(np.float32)
    plan = plan_tiles(*size, tile, overlap, grow=grow)
    seen = np.zeros(size, int)

    def part(window: Window) -> np.ndarray:
        seen[window.top : window.bottom, window.left : window.right] += 1
        return scores[:, window.top : window.bottom, window.left : window.right]

    labels_HW, confidence_HW = np.full(size, 9, np.uint8), np.zeros(size, np.uint8)
    for band in blend_bands(plan, 3, part):
        rows = slice(band.top, band.top + len(band.labels_HW))
        labels_HW[rows], confidence_HW[rows] = band.labels_HW, band.confidence_HW
    assert seen.min() >= 1
    assert plan.count == len(plan.rows.starts) * len(plan.columns.starts)
    expected, sure = decide(scores)
    # What the rows below overlap is kept in half precision.
    close = np.sort(scores, axis=0)[-1] - np.sort(scores, axis=0)[-2] > 2e-3
    np.testing.assert_array_equal(labels_HW[close], expected[close])
    assert np.abs(confidence_HW.astype(int) - sure).max() <= 1


def test_a_seam_fades_from_one_window_to_the_next() -> None:
    plan = plan_tiles(64, 160, (64, 96), 1 / 3)
    assert plan.columns.starts == (0, 64)

    def claim(window: Window) -> np.ndarray:
        scores = np.zeros((2, window.height, window.width), np.float32)
        scores[0 if window.left == 0 else 1] = 1.0
        return scores

    blocks = [block.copy() for block in blend(plan, 2, claim)]
    first = np.concatenate(blocks, axis=2)[0, 0]
    assert (first[:64] == 1).all()
    assert (first[96:] == 0).all()
    fading = first[64:96]
    assert (np.diff(fading) < 0).all()
    assert fading[0] > 0.99
    assert fading[-1] < 0.01


@pytest.mark.parametrize(("tile", "overlap"), [(31, 0.2), (9000, 0.2), (128, -0.1), (128, 0.8)])
def test_bad_numbers_are_refused(tile: int, overlap: float) -> None:
    with pytest.raises(InputError, match="tile of|overlap of"):
        plan_axis(500, tile, overlap)
