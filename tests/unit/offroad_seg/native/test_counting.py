# SPDX-License-Identifier: Apache-2.0
"""Kernels that count pixels count as numpy does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.boundary import BoundaryIoU
from offroad_seg.counting import count_bytes
from offroad_seg.metrics import confusion, count_image
from offroad_seg.replay.evaluation import Changes
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


def _areas(seed: int, size: tuple[int, int], values: list[int]) -> np.ndarray:
    """Rectangles laid over each other, and a few odd pixels."""
    rng = np.random.default_rng(seed)
    image = np.full(size, rng.choice(values), np.uint8)
    for _ in range(rng.integers(0, 6)):
        top, left = rng.integers(0, size[0]), rng.integers(0, size[1])
        image[top : top + rng.integers(1, 40), left : left + rng.integers(1, 60)] = rng.choice(values)
    image[rng.random(size) < rng.choice([0.0, 0.002])] = rng.choice(values)
    return image


AREAS = {"seed": st.integers(0, 2**31), "height": st.integers(1, 60), "width": st.integers(1, 90)}
IDS = [0, 1, 2, 9, 254, UNLABELLED]


@given(**AREAS, distance=st.integers(1, 20))
def test_edge_zones_of_areas_twins(seed, height, width, distance):
    truth, predicted = (_areas(seed + n, (height, width), IDS) for n in range(2))

    def work() -> np.ndarray:
        boundary = BoundaryIoU(255, ratio=distance / np.hypot(height, width))
        boundary.update(predicted, truth)
        return np.stack([boundary.intersection, boundary.union])

    numpy, native = twins(work)
    np.testing.assert_array_equal(numpy, native)


def test_edge_zones_end_where_the_kernel_and_numpy_say():
    """One edge in an image: the zone is as wide as it should be, on both sides of it and along the border."""
    truth = np.zeros((40, 60), np.uint8)
    truth[:, 30:] = 1
    for native in (False, True):
        boundary = BoundaryIoU(2, ratio=5 / np.hypot(40, 60))
        with kernels(native):
            boundary.update(truth, truth)
        assert boundary.union.tolist() == [40 * 30 - 30 * 20] * 2


@given(**AREAS)
def test_values_and_changes_of_areas_twins(seed, height, width):
    before, now = (_areas(seed + n, (height, width), IDS) for n in range(2))
    mask = _areas(seed + 2, (height, width), [0, 0, 1, 255])

    def work() -> list[np.ndarray]:
        changes = Changes()
        found = [changes.add("camera", labels) for labels in (before, now)]
        return [count_bytes(now), count_bytes(now, mask), np.array(found[1])]

    for numpy, native in zip(*twins(work), strict=True):
        np.testing.assert_array_equal(numpy, native)
        assert numpy.dtype == native.dtype


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
