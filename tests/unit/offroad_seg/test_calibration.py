# SPDX-License-Identifier: Apache-2.0
"""The calibration error against torchmetrics and cases that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from offroad_seg.calibration import Calibration


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
