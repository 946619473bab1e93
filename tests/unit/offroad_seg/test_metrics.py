# SPDX-License-Identifier: Apache-2.0
"""offroad_seg.metrics against hand-made numbers, torchmetrics and plain loops."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.boundary import BoundaryIoU
from offroad_seg.calibration import Calibration
from offroad_seg.metrics import (
    ConfusionMatrix,
    SegmentationMetrics,
    confusion,
    metrics_from_confusion,
    miou_batch_mean,
)

NAMES = ["ground", "bush", "rock", "sky"]


def labels(seed: int, shape: tuple[int, ...] = (7, 11), n: int = 4, ignore: bool = True) -> np.ndarray:
    random = np.random.default_rng(seed)
    out = random.integers(0, n, shape).astype(np.uint8)
    if ignore:
        out[random.random(shape) < 0.2] = 255
    return out


def test_worked_example() -> None:
    # ground: 3 right, 1 called bush; bush: 2 right, 1 called rock; rock never there, predicted once.
    truth = np.array([[0, 0, 0, 0, 1, 1, 1, 255]], np.uint8)
    predicted = np.array([[0, 0, 0, 1, 1, 1, 2, 2]], np.uint8)
    result = metrics_from_confusion(confusion(predicted, truth, 4), NAMES)
    assert result["per_class"]["ground"] == {
        "iou": 3 / 4, "dice": 6 / 7, "precision": 1.0, "recall": 3 / 4, "pixels": 4,
    }  # fmt: skip
    assert result["per_class"]["bush"]["iou"] == pytest.approx(2 / 4)
    assert result["per_class"]["rock"] == {
        "iou": 0.0, "dice": 0.0, "precision": 0.0, "recall": None, "pixels": 0,
    }  # fmt: skip
    assert result["per_class"]["sky"]["iou"] is None
    assert result["miou"] == pytest.approx((0.75 + 0.5 + 0.0) / 3)
    assert result["miou_present"] == pytest.approx((0.75 + 0.5) / 2)
    assert result["n_classes_present"] == 2
    assert result["pixel_accuracy"] == pytest.approx(5 / 7)
    assert result["mean_dice"] == pytest.approx((6 / 7 + 4 / 6 + 0) / 3)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), ignore=st.booleans())
def test_agrees_with_a_loop_over_classes(seed: int, ignore: bool) -> None:
    truth, predicted = labels(seed, ignore=ignore), labels(seed + 1)
    result = metrics_from_confusion(confusion(predicted, truth, 4), NAMES)
    known = truth != 255
    for index, name in enumerate(NAMES):
        a, b = (predicted == index) & known, (truth == index) & known
        union = (a | b).sum()
        expected = (a & b).sum() / union if union else None
        assert result["per_class"][name]["iou"] == pytest.approx(expected)


def test_agrees_with_torchmetrics() -> None:
    torch = pytest.importorskip("torch")
    from torchmetrics.classification import (
        MulticlassF1Score,
        MulticlassJaccardIndex,
        MulticlassPrecision,
        MulticlassRecall,
    )

    truth, predicted = labels(3, (37, 53)), labels(4, (37, 53), ignore=False)
    result = metrics_from_confusion(confusion(predicted, truth, 4), NAMES)
    pair = torch.tensor(predicted.astype(int)), torch.tensor(truth.astype(int))
    kinds = {
        "iou": MulticlassJaccardIndex,
        "dice": MulticlassF1Score,
        "precision": MulticlassPrecision,
        "recall": MulticlassRecall,
    }
    for key, kind in kinds.items():
        theirs = kind(4, average=None, ignore_index=255)(*pair).tolist()
        assert [result["per_class"][name][key] for name in NAMES] == pytest.approx(theirs, abs=1e-6), key
    iou = MulticlassJaccardIndex(4, average="macro", ignore_index=255)(*pair)
    assert result["miou"] == pytest.approx(float(iou), abs=1e-6)


def test_calibration_error_agrees_with_torchmetrics() -> None:
    torch = pytest.importorskip("torch")
    from torchmetrics.classification import MulticlassCalibrationError

    random = np.random.default_rng(2)
    probability_NC = random.dirichlet([0.4] * 4, 5000).astype(np.float32)
    truth_N = random.integers(0, 4, 5000).astype(np.uint8)
    mine = Calibration()
    for part in np.array_split(np.arange(5000), 3):
        batch = Calibration()
        batch.update(probability_NC[part].max(1), probability_NC[part].argmax(1), truth_N[part])
        mine.add(batch)
    theirs = MulticlassCalibrationError(4, n_bins=15, norm="l1")
    expected = theirs(torch.tensor(probability_NC), torch.tensor(truth_N.astype(int)))
    assert mine.ece() == pytest.approx(float(expected), abs=1e-5)
    bins = mine.diagram()
    assert sum(b["pixels"] for b in bins) == 5000
    gaps = [b["pixels"] * abs(b["accuracy"] - b["confidence"]) for b in bins if b["pixels"]]
    assert sum(gaps) / 5000 == pytest.approx(mine.ece())
    assert all(b["from"] <= b["confidence"] <= b["to"] for b in bins if b["pixels"])
    # Four classes: no pixel is less sure than a quarter.
    assert [b["accuracy"] for b in bins[:3]] == [None, None, None]


def test_accumulating_equals_counting_at_once() -> None:
    matrix = ConfusionMatrix(4)
    pairs = [(labels(seed), labels(seed + 50)) for seed in range(5)]
    for predicted, truth in pairs:
        matrix.update(predicted, truth)
    stacked = confusion(np.stack([p for p, _ in pairs]), np.stack([t for _, t in pairs]), 4)
    np.testing.assert_array_equal(matrix.counts, stacked)
    matrix.reset()
    assert matrix.counts.sum() == 0


def test_prediction_without_a_class_is_a_miss_and_no_false_alarm() -> None:
    truth, predicted = np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.uint8)
    predicted[0] = 255
    result = metrics_from_confusion(confusion(predicted, truth, 4), NAMES)
    assert result["pixel_accuracy"] == 0.5
    assert result["per_class"]["ground"]["precision"] == 1.0
    assert result["per_class"]["ground"]["recall"] == 0.5


def test_nothing_labelled_gives_none_not_nan() -> None:
    metrics = SegmentationMetrics(NAMES)
    unlabelled = np.full((4, 6), 255, np.uint8)
    metrics.update(labels(1, (4, 6), ignore=False), unlabelled, unlabelled)
    result = metrics.result()
    json.dumps(result, allow_nan=False)
    for key in (
        "miou",
        "miou_present",
        "miou_batch_mean",
        "pixel_accuracy",
        "mean_dice",
        "ece",
        "boundary_iou",
    ):
        assert result[key] is None, key
    assert result["n_classes_present"] == 0
    assert result["images"] == 1


def test_batch_mean_is_the_mean_of_the_batches_own_figures() -> None:
    pairs = [(labels(seed), labels(seed + 9)) for seed in range(6)]
    metrics = SegmentationMetrics(NAMES, batch_size=4)
    for predicted, truth in pairs:
        metrics.update(predicted, truth)
    parts = [pairs[:4], pairs[4:]]
    own = [metrics_from_confusion(sum(confusion(p, t, 4) for p, t in part), NAMES)["miou"] for part in parts]
    assert metrics.result()["miou_batch_mean"] == pytest.approx(np.mean(own))
    assert metrics.result()["miou_batch_mean"] != pytest.approx(metrics.result()["miou"], abs=1e-6)
    assert miou_batch_mean([]) is None


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        confusion(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), 4)
    with pytest.raises(ValueError, match="id 7"):
        confusion(np.zeros((2, 3), np.uint8), np.full((2, 3), 7, np.uint8), 4)
    with pytest.raises(ValueError, match="1–255"):
        ConfusionMatrix(0)
    with pytest.raises(ValueError, match="does not fit"):
        metrics_from_confusion(np.zeros((3, 3), np.int64), NAMES)


def test_ece_of_known_cases() -> None:
    truth = np.zeros((10, 20), np.uint8)
    predicted = truth.copy()
    predicted[:, :5] = 1  # 75 % right
    overconfident = Calibration()
    overconfident.update(np.full(truth.shape, 1.0, np.float32), predicted, truth)
    assert overconfident.ece() == pytest.approx(0.25)
    honest = Calibration()
    honest.update(np.full(truth.shape, 0.75, np.float32), predicted, truth)
    assert honest.ece() == pytest.approx(0.0, abs=1e-6)
    # The same in uint8, and in two steps: two bins whose errors must not cancel.
    split = Calibration()
    split.update(np.full((10, 5), 255, np.uint8), predicted[:, :5], truth[:, :5])  # sure and wrong: 1.0
    split.update(np.full((10, 15), 51, np.uint8), predicted[:, 5:], truth[:, 5:])  # unsure and right: 0.8
    assert split.ece() == pytest.approx(0.25 * 1.0 + 0.75 * 0.8)


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


@pytest.mark.parametrize("wrong", [3, 254, 300])
def test_a_true_id_that_is_no_class_is_named(wrong):
    truth = np.array([[0, 2, wrong, 255]], np.int64)
    with pytest.raises(ValueError, match=f"id {wrong}, but there are 3 classes"):
        confusion(np.zeros((1, 4), np.uint8), truth, 3)


def test_255_classes_are_counted_right():
    """The largest label set there can be: pairs of ids must not overflow."""
    truth, predicted = np.array([[254, 254, 0]], np.uint8), np.array([[254, 255, 254]], np.uint8)
    counts = confusion(predicted, truth, 255)
    assert counts.shape == (255, 256)
    assert counts[254, 254] == counts[254, 255] == counts[0, 254] == 1
    assert counts.sum() == 3


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
