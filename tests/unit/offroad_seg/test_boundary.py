# SPDX-License-Identifier: Apache-2.0
"""Boundary IoU against squares whose zones are known, and against its definition."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.boundary import BoundaryIoU
from offroad_seg.metrics import confusion, metrics_from_confusion


def test_boundary_iou_of_squares() -> None:
    truth = np.full((100, 160), 0, np.uint8)
    truth[30:70, 40:100] = 1
    perfect = BoundaryIoU(2)
    perfect.update(truth, truth)
    assert perfect.value() == 1.0
    # A square that is 3 pixels off: worse at its edges than inside.
    moved = np.zeros_like(truth)
    moved[33:73, 43:103] = 1
    off = BoundaryIoU(2)
    off.update(moved, truth)
    plain = metrics_from_confusion(confusion(moved, truth, 2), ["a", "b"])["miou"]
    assert off.value() is not None
    assert 0.0 < off.value() < plain < 1.0


def test_boundary_zone_is_as_wide_as_said() -> None:
    truth = np.zeros((90, 120), np.uint8)  # diagonal 150 → zone of 3 pixels
    truth[20:60, 30:90] = 1
    iou = BoundaryIoU(2)
    iou.update(truth, truth)
    assert iou.union[1] == 40 * 60 - 34 * 54
    # The background's zone: along the image border, and around the hole by the same 3 pixels.
    assert iou.union[0] == (90 * 120 - 84 * 114) + (46 * 66 - 40 * 60)


def test_unlabelled_areas_make_no_boundary_error() -> None:
    truth = np.zeros((60, 90), np.uint8)
    truth[:, 45:] = 255
    predicted = np.zeros_like(truth)
    iou = BoundaryIoU(2)
    iou.update(predicted, truth)
    assert iou.value() == 1.0


def brute_boundary(mask_HW: np.ndarray, distance: int) -> np.ndarray:
    """Pixels of the mask with a pixel outside it, or the image's outside, within so many steps of a king."""
    height, width = mask_HW.shape
    edge = np.zeros_like(mask_HW)
    for y, x in np.argwhere(mask_HW):
        for v in range(y - distance, y + distance + 1):
            for u in range(x - distance, x + distance + 1):
                if not (0 <= v < height and 0 <= u < width and mask_HW[v, u]):
                    edge[y, x] = True
    return edge


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), ratio=st.sampled_from([0.02, 0.06, 0.12]), ignore=st.booleans())
def test_boundary_iou_agrees_with_its_definition(seed: int, ratio: float, ignore: bool) -> None:
    random = np.random.default_rng(seed)
    # Blocks, so that there is an inside.
    truth, predicted = (
        np.kron(random.integers(0, 3, (3, 5)), np.ones((6, 4))).astype(np.uint8) for _ in range(2)
    )
    if ignore:
        truth[random.random(truth.shape) < 0.1] = 255
    mine = BoundaryIoU(3, ratio)
    mine.update(predicted, truth)
    distance = max(1, round(ratio * float(np.hypot(*truth.shape))))
    shown = np.where(truth == 255, 255, predicted)
    expected = []
    for index in range(3):
        a, b = brute_boundary(truth == index, distance), brute_boundary(shown == index, distance)
        expected.append((a & b).sum() / (a | b).sum() if (a | b).any() else None)
    assert mine.per_class() == pytest.approx(expected)
    assert mine.value() == pytest.approx(np.mean([v for v in expected if v is not None]))


def test_boundary_zones_are_those_of_each_class_by_itself():
    """Against the definition: a mask without what is left of it when it is worn off by the zone's width."""
    rng = np.random.default_rng(3)
    blocks = rng.integers(0, 4, (2, 9, 14)).astype(np.uint8)
    truth, predicted = (np.kron(b, np.ones((8, 7), np.uint8)) for b in blocks)
    truth[:10, :20] = 255
    found = BoundaryIoU(4, ratio=0.03)
    found.update(predicted, truth)
    distance = round(0.03 * float(np.hypot(*truth.shape)))

    def zone(mask):
        padded = np.pad(mask, 1).astype(np.uint8)
        core = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)[1:-1, 1:-1]
        return mask & (core == 0)

    shown = np.where(truth == 255, 255, predicted)
    for index in range(4):
        true, claimed = zone(truth == index), zone(shown == index)
        assert found.intersection[index] == np.count_nonzero(true & claimed)
        assert found.union[index] == np.count_nonzero(true | claimed)
