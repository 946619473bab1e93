# SPDX-License-Identifier: Apache-2.0
"""How far confidence is from being right: calibration error and the bins of a reliability diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.counting import count_bytes
from offroad_seg.native.counting import count_confidence
from offroad_seg.types import UNLABELLED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    F64 = NDArray[np.float64]

ECE_BINS = 15


class Calibration:
    """Histogram of confidence and correctness, for the expected calibration error.

    Args:
        bins: Number of equal bins of confidence over 0–1.
    """

    def __init__(self, bins: int = ECE_BINS) -> None:
        self.bins = bins
        self.total: F64 = np.zeros(bins)
        self.confidence: F64 = np.zeros(bins)
        self.correct: F64 = np.zeros(bins)

    def update(self, confidence: NDArray[Any], predicted: NDArray[Any], truth: NDArray[Any]) -> None:
        """Add pixels, all of one shape; ``confidence`` is uint8 0–255 or a float 0–1."""
        if confidence.dtype == np.uint8:
            # Of 256 values only their numbers count: many times as fast as pixel by pixel.
            value, (of_each, correct) = np.arange(256) / 255.0, _counts(confidence, predicted, truth)
        else:
            known = truth != UNLABELLED
            value, correct = confidence[known].astype(np.float64), (predicted == truth)[known]
            of_each = np.ones(len(value), np.int64)
        index = np.clip((value * self.bins).astype(np.int64), 0, self.bins - 1)
        self.total += np.bincount(index, weights=of_each, minlength=self.bins)
        self.confidence += np.bincount(index, weights=value * of_each, minlength=self.bins)
        self.correct += np.bincount(index, weights=correct, minlength=self.bins)

    def add(self, other: Calibration) -> None:
        """Add the pixels of another histogram with as many bins."""
        self.total += other.total
        self.confidence += other.confidence
        self.correct += other.correct

    def ece(self) -> float | None:
        """Σ over bins of |correct − confidence| / pixels; 0 is perfect; None where there are no pixels."""
        total = float(self.total.sum())
        return float(np.abs(self.correct - self.confidence).sum() / total) if total else None

    def diagram(self) -> list[dict[str, Any]]:
        """The bins from low to high, for a reliability diagram.

        Returns:
            For each bin ``from`` and ``to``, ``pixels``, and the means ``confidence`` and ``accuracy`` over them,
            None where there are none.
        """
        return [
            {
                "from": i / self.bins,
                "to": (i + 1) / self.bins,
                "pixels": int(self.total[i]),
                "confidence": float(self.confidence[i] / self.total[i]) if self.total[i] else None,
                "accuracy": float(self.correct[i] / self.total[i]) if self.total[i] else None,
            }
            for i in range(self.bins)
        ]


def _counts(confidence: NDArray[np.uint8], predicted: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.int64]:
    """Labelled pixels of each confidence, and how many of them are right: int64 (2, 256)."""
    counted = count_confidence(confidence, predicted, truth)
    if counted is not None:
        return counted
    known = truth != UNLABELLED
    right = (predicted == truth) & known
    return np.stack([count_bytes(confidence, mask.view(np.uint8)) for mask in (known, right)])
