# SPDX-License-Identifier: Apache-2.0
"""Kernels that count pixels count as numpy does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.metrics import confusion, count_image
from offroad_seg.types import UNLABELLED
from tests.helpers.native import kernels, twins


def _image(seed: int, size: tuple[int, int], n_classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, n_classes + 1, size).astype(np.uint8)
    truth[truth == n_classes] = UNLABELLED
    predicted = np.where(rng.random(size) < 0.6, truth, rng.integers(0, 256, size)).astype(np.uint8)
    return predicted, truth, rng.integers(0, 256, size, dtype=np.uint8)


@given(
    seed=st.integers(0, 2**31),
    height=st.integers(1, 40),
    width=st.integers(1, 60),
    n_classes=st.sampled_from([1, 2, 10, 15, 16, 254, 255]),
)
def test_count_image_twins(seed, height, width, n_classes):
    predicted, truth, confidence = _image(seed, (height, width), n_classes)

    def work() -> dict:
        counts = count_image(predicted, truth, confidence, n_classes)
        boundary, calibration = counts.boundary, counts.calibration
        return {
            "confusion": counts.confusion_NN,
            "intersection": boundary.intersection,
            "union": boundary.union,
            "total": calibration.total,
            "confidence": calibration.confidence,
            "correct": calibration.correct,
        }

    numpy, native = twins(work)
    for name, counts in numpy.items():
        np.testing.assert_array_equal(counts, native[name], err_msg=name)
        assert counts.dtype == native[name].dtype, name


@pytest.mark.parametrize("native", [False, True])
def test_a_true_id_that_is_no_class_is_named(native):
    truth = np.zeros((4, 6), np.uint8)
    truth[1, 2], truth[3, 3] = 12, UNLABELLED
    with kernels(native), pytest.raises(ValueError, match="id 12, but there are 10 classes"):
        confusion(np.zeros_like(truth), truth, 10)


def test_views_and_wide_ids_are_counted_too():
    """What a kernel does not take goes to numpy."""
    predicted, truth, _ = _image(3, (20, 30), 10)
    whole = confusion(np.ascontiguousarray(predicted[:, ::2]), np.ascontiguousarray(truth[:, ::2]), 10)
    np.testing.assert_array_equal(confusion(predicted[:, ::2], truth[:, ::2], 10), whole)
    np.testing.assert_array_equal(
        confusion(predicted[:, ::2].astype(np.int64), truth[:, ::2].astype(np.int64), 10), whole
    )
