# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.spread import Spread

SIDE = st.integers(1, 70)


@given(SIDE, SIDE, SIDE, SIDE, st.sampled_from([np.uint8, np.float32]), st.sampled_from([(), (3,)]))
def test_it_is_opencvs_nearest_exact(h, w, height, width, dtype, channels):
    source = np.random.default_rng(h * w).integers(0, 256, (h, w, *channels)).astype(dtype)
    spread = Spread((h, w), (height, width))
    out = spread.apply(source, np.empty((height, width, *channels), dtype))
    expected = cv2.resize(source, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    np.testing.assert_array_equal(out, np.asarray(expected).reshape(out.shape))
    np.testing.assert_array_equal(out, source[spread.rows_H][:, spread.columns_W])


@given(SIDE, SIDE, st.integers(4, 70), SIDE, st.data())
def test_some_rows_of_it(h, w, height, width, data):
    top = data.draw(st.integers(0, height - 1))
    count = data.draw(st.integers(1, height - top))
    source = np.random.default_rng(h * w).integers(0, 256, (h, w), np.uint8)
    spread = Spread((h, w), (height, width))
    whole = spread.apply(source, np.empty((height, width), np.uint8))
    some = spread.down(spread.across(source), np.empty((count, width), np.uint8), top)
    np.testing.assert_array_equal(some, whole[top : top + count])


@pytest.mark.parametrize("bits", [0x7FC00001, 0x000000FF, 0xFF801234])
def test_every_bit_of_a_float_is_carried(bits):
    source = np.full((3, 5), bits, np.uint32)
    spread = Spread((3, 5), (7, 11))
    out = spread.apply(source.view(np.float32), np.empty((7, 11), np.float32))
    assert (out.view(np.uint32) == bits).all()
