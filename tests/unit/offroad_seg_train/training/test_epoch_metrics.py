# SPDX-License-Identifier: Apache-2.0
"""The trainer's counting on the device against the runtime's counting in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from offroad_seg.metrics import SegmentationMetrics
from offroad_seg_train.training.metrics import EpochMetrics

NAMES = ["a", "b", "c", "d"]


def batches(seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(3):
        labels = torch.randint(
            0, 3, (4, 9, 14), generator=generator, dtype=torch.uint8
        )  # class d is never true
        labels[torch.rand(labels.shape, generator=generator) < 0.2] = 255
        made.append((torch.randn(4, 4, 9, 14, generator=generator), labels))
    made[1][1][:] = 255  # a batch that says nothing
    return made


def test_figures_are_those_of_evaluate() -> None:
    ours, reference = EpochMetrics(NAMES), SegmentationMetrics(NAMES, batch_size=4)
    for logits, labels in batches():
        ours.update(logits, labels, torch.tensor(1.5))
        for prediction, truth in zip(logits.argmax(1), labels, strict=True):
            reference.update(prediction.numpy().astype(np.uint8), truth.numpy())
    figures, expected = ours.compute(), reference.result()
    assert figures.pop("loss") == 1.5
    # Boundaries are evaluation's own: they need images in their own size.
    plain = {
        n: {k: v for k, v in row.items() if k != "boundary_iou"} for n, row in expected["per_class"].items()
    }
    assert figures.pop("per_class") == plain
    assert figures["miou"] != pytest.approx(figures["miou_batch_mean"], abs=1e-4)
    for name, value in figures.items():
        assert value == pytest.approx(expected[name], rel=1e-9), name


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_reset_forgets_and_nothing_seen_is_none() -> None:
    metrics = EpochMetrics(NAMES)
    for logits, labels in batches():
        metrics.update(logits, labels, torch.tensor(2.0))
    metrics.reset()
    figures = metrics.compute()
    assert figures["loss"] is None
    assert figures["miou"] is None
    assert figures["miou_batch_mean"] is None


def test_states_are_summed_over_ranks() -> None:
    metrics = EpochMetrics(NAMES)
    assert set(metrics._reductions) == {"confusion_NN", "batch_iou_sum", "batches", "loss_sum", "steps"}
    assert all(reduce.__name__ == "dim_zero_sum" for reduce in metrics._reductions.values())
