# SPDX-License-Identifier: Apache-2.0
"""Kernels that compare labels along the motion of an image say what numpy says."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.native.motion import believe_flow
from offroad_seg.replay.motion import MotionCompensation, _inside
from offroad_seg.types import UNLABELLED
from tests.helpers.native import kernels, twins

ODD = [np.nan, np.inf, -np.inf, -0.5, 0.5, 1e30, 1.0]


@given(seed=st.integers(0, 2**31), height=st.integers(1, 24), width=st.integers(1, 30))
def test_what_is_believed_of_a_flow_twins(seed, height, width):
    rng = np.random.default_rng(seed)
    # Around what decides: a pixel's distance, and the image's border.
    back, again = (rng.normal(0, 0.7, (height, width, 2)).astype(np.float32) for _ in range(2))
    where = rng.uniform(-2, 2 + max(height, width), (height, width, 2)).astype(np.float32)
    for array in (back, again, where):
        array[rng.random(array.shape) < 0.05] = rng.choice(ODD)

    with np.errstate(invalid="ignore", over="ignore"):
        missed = back + again
        missed = missed[:, :, 0] ** 2 + missed[:, :, 1] ** 2
        numpy = (missed < 1.0) & _inside(where)
    _, native = twins(lambda: believe_flow(back, again, where, 1.0))
    np.testing.assert_array_equal(native, numpy)
    assert native.dtype == np.bool_


@given(seed=st.integers(0, 2**31), height=st.integers(1, 24), width=st.integers(1, 30))
def test_labels_along_a_motion_twins(seed, height, width):
    rng = np.random.default_rng(seed)
    before, now = (
        rng.choice([0, 1, 2, 9, 254, UNLABELLED], (height, width)).astype(np.uint8) for _ in range(2)
    )
    where = rng.uniform(-2, 2 + max(height, width), (height, width, 2)).astype(np.float32)
    valid = rng.random((height, width)) < 0.7
    numpy, native = twins(lambda: MotionCompensation(10)._changes(before, now, where, valid))
    for expected, counts in zip(numpy, native, strict=True):
        np.testing.assert_array_equal(counts, expected)
        assert counts.dtype == expected.dtype


def test_a_flow_that_was_measured_twins():
    rng = np.random.default_rng(4)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (90, 180), dtype=np.uint8), (0, 0), 3)
    before, now = (np.ascontiguousarray(wide[:, x : x + 160]) for x in (0, 4))
    numpy, native = twins(lambda: MotionCompensation(10)._by_flow(before, now))
    np.testing.assert_array_equal(numpy[0], native[0])
    np.testing.assert_array_equal(numpy[1], native[1])
    assert 0.5 < native[1].mean() < 1.0
    with kernels(False):
        assert believe_flow(numpy[0], numpy[0], numpy[0], 1.0) is None
