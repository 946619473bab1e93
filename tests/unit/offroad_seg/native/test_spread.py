# SPDX-License-Identifier: Apache-2.0
"""The kernel that makes small pictures large does what numpy and OpenCV do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.spread import Spread
from tests.helpers.native import kernels, twins

SIDE = st.integers(1, 70)


@given(st.integers(0, 2**31), SIDE, SIDE, SIDE, SIDE, st.integers(0, 5), st.integers(0, 5))
def test_spread_twins(seed, h, w, height, width, left, right):
    """Larger and smaller; of a picture that is cut out of a wider one, as the letterbox leaves it."""
    whole = np.random.default_rng(seed).integers(0, 256, (h, left + w + right), dtype=np.uint8)
    if (h, w) == (height, width):
        width += 1  # the same size is only copied
    spread = Spread((h, w), (height, width))

    def work():
        return spread.apply(whole[:, left : left + w], np.full((height, width), 7, np.uint8))

    numpy, native = twins(work)
    np.testing.assert_array_equal(numpy, native)


@pytest.mark.parametrize("way", ["backwards", "columns", "turned"])
def test_pictures_that_lie_otherwise_in_memory_are_spread_too(way):
    """The kernel takes rows of neighbouring bytes alone: the rest is numpy's."""
    rows = np.random.default_rng(1).integers(0, 256, (20, 30), dtype=np.uint8)
    source = {"backwards": rows[::-1], "columns": rows[:, ::2], "turned": rows.T}[way]
    spread = Spread(source.shape, (47, 61))
    with kernels(True):
        out = spread.apply(source, np.empty((47, 61), np.uint8))
    np.testing.assert_array_equal(out, source[spread.rows_H][:, spread.columns_W])


@given(st.integers(0, 2**31), SIDE, SIDE, SIDE, SIDE, st.integers(1, 3), st.booleans())
def test_several_at_once_and_copies_of_them(seed, h, w, height, width, count, copied):
    """As the segmenter asks for labels, confidence and scores, and keeps what the network said."""
    wholes = np.random.default_rng(seed).integers(0, 256, (count, h, w + 3), dtype=np.uint8)
    if (h, w) == (height, width):
        width += 1  # the same size is only copied: see below
    spread = Spread((h, w), (height, width))

    def work():
        outs = [np.full((height, width), 7, np.uint8) for _ in range(count)]
        copies = [np.full((h, w), 7, np.uint8) for _ in range(count)] if copied else []
        spread.apply_all([whole[:, 2 : 2 + w] for whole in wholes], outs, copies)
        return np.concatenate([array.ravel() for array in (*outs, *copies)])

    numpy, native = twins(work)
    np.testing.assert_array_equal(numpy, native)
    if copied:
        np.testing.assert_array_equal(native[count * height * width :], wholes[:, :, 2 : 2 + w].ravel())


def test_pictures_whose_rows_lie_differently_far_apart_are_spread_too():
    rows = np.random.default_rng(2).integers(0, 256, (20, 33), dtype=np.uint8)
    sources = [rows[:, :30], np.ascontiguousarray(rows[:, 3:])]
    spread = Spread((20, 30), (47, 61))
    outs = [np.empty((47, 61), np.uint8) for _ in sources]
    with kernels(True):
        spread.apply_all(sources, outs)
    for source, out in zip(sources, outs, strict=True):
        np.testing.assert_array_equal(out, source[spread.rows_H][:, spread.columns_W])


def test_of_the_same_size_they_are_copied():
    sources = np.random.default_rng(3).integers(0, 256, (2, 20, 30), dtype=np.uint8)
    outs, copies = np.zeros((2, 2, 20, 30), np.uint8)
    Spread((20, 30), (20, 30)).apply_all(sources, outs, copies)
    np.testing.assert_array_equal(outs, sources)
    np.testing.assert_array_equal(copies, sources)


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("target", [(47, 61), (20, 30)])
def test_fewer_copies_than_pictures_are_refused(native, target):
    sources, outs = np.zeros((2, 20, 30), np.uint8), np.empty((2, *target), np.uint8)
    with kernels(native), pytest.raises((ValueError, IndexError)):
        Spread((20, 30), target).apply_all(sources, outs, np.empty((1, 20, 30), np.uint8))
