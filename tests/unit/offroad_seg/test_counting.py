# SPDX-License-Identifier: Apache-2.0
"""Counting bytes: numpy's own counts, to the last one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from offroad_seg import counting
from offroad_seg.counting import count_bytes
from offroad_seg.metrics import confusion

BYTES = arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 13)))


@given(values=BYTES, seed=st.integers(0, 9), exact=st.sampled_from([3, 7, 2**24]))
def test_counts_are_those_of_bincount(values, seed, exact):
    mask = np.random.default_rng(seed).random(values.shape) < 0.6
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_EXACT", exact)
        np.testing.assert_array_equal(count_bytes(values), np.bincount(values.ravel(), minlength=256))
        masked = count_bytes(values, mask.view(np.uint8))
    np.testing.assert_array_equal(masked, np.bincount(values[mask], minlength=256))


def test_more_pixels_than_a_float_can_number_are_counted_one_by_one():
    values = np.full(2**24 + 3, 7, np.uint8)
    assert count_bytes(values)[7] == 2**24 + 3


def test_views_that_are_not_contiguous_are_counted():
    values = np.arange(240, dtype=np.uint8).reshape(12, 20)[::2, 1:9]
    np.testing.assert_array_equal(count_bytes(values), np.bincount(values.ravel(), minlength=256))


@pytest.mark.parametrize("n", [1, 2, 14, 15, 16, 40, 255])
def test_bytes_and_wider_integers_give_the_same_confusion(n):
    rng = np.random.default_rng(n)
    truth, predicted = rng.integers(0, n, (2, 30, 47)).astype(np.uint8)
    truth[:3], predicted[2:5] = 255, 255
    counts = confusion(predicted, truth, n)
    np.testing.assert_array_equal(counts, confusion(predicted.astype(np.int64), truth.astype(np.int64), n))
    assert counts.sum() == 27 * 47
