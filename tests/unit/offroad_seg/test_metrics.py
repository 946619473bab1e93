# SPDX-License-Identifier: Apache-2.0
"""offroad_seg.metrics against hand-made numbers, torchmetrics and plain loops."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
