# SPDX-License-Identifier: Apache-2.0
"""Segmentation metrics from one confusion matrix, with every definition written down.

Only numpy and OpenCV: training, ``evaluate`` and ``replay`` all count with this module, so that their figures
can be compared. Pixels whose truth is ``UNLABELLED`` (255) count nowhere. A prediction that is no class (255)
is an error: it counts as a missed pixel of the true class and as a false pixel of none.

Definitions, with TP, FP, FN of a class over all pixels of the whole set:

- ``iou`` = TP / (TP + FP + FN), ``dice`` = 2 TP / (2 TP + FP + FN), ``precision`` = TP / (TP + FP),
  ``recall`` = TP / (TP + FN). None where the denominator is 0.
- ``miou`` = mean of ``iou`` over the classes that occur in the truth **or** in the prediction; a class that
  is predicted and never true counts as 0. ``mean_dice`` is over the same classes.
- ``miou_present`` = mean of ``iou`` over the ``n_classes_present`` classes that occur in the truth.
- ``miou_batch_mean`` = ``miou`` of each batch by itself, averaged over batches: the figure that the original
  scripts report, which depends on the batch size and the order. Never compare it with ``miou``.
- ``ece`` = expected calibration error (Guo et al. 2017) over 15 equal bins of confidence.
- ``boundary_iou`` (Cheng et al. 2021) = mean over the classes that occur of the IoU of the inner edge zones
  of truth and prediction, counted over the whole set; the zone is 2 % of the image diagonal wide.

All results are JSON safe: None stands where a number is not defined, never NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    U8 = NDArray[np.uint8]
    I64 = NDArray[np.int64]
    F64 = NDArray[np.float64]

UNLABELLED = 255
ECE_BINS = 15
BOUNDARY_RATIO = 0.02


class ConfusionMatrix:
    """Counts of (true class, predicted class) over pixels.

    Args:
        n_classes: N; ids 0 … N−1, at most 255.

    Attributes:
        counts: int64, shape (N, N + 1): row = truth, column = prediction; the last column holds predictions
            that are no class.
    """

    def __init__(self, n_classes: int) -> None:
        if not 1 <= n_classes <= UNLABELLED:
            raise ValueError(f"n_classes must be 1–255, got {n_classes}")
        self.n_classes = n_classes
        self.counts: I64 = np.zeros((n_classes, n_classes + 1), np.int64)

    def update(self, predicted: NDArray[Any], truth: NDArray[Any]) -> I64:
        """Add the pixels of one image or batch; both of one shape, integer class ids.

        Returns:
            The counts of these pixels alone, shape (N, N + 1).

        Raises:
            ValueError: The shapes differ, or the truth holds an id that is neither a class nor 255.
        """
        counts = confusion(predicted, truth, self.n_classes)
        self.counts += counts
        return counts

    def reset(self) -> None:
        """Forget all pixels."""
        self.counts[:] = 0


def confusion(predicted: NDArray[Any], truth: NDArray[Any], n_classes: int) -> I64:
    """The counts of one image or batch as ``ConfusionMatrix.counts``, shape (N, N + 1).

    Raises:
        ValueError: The shapes differ, or the truth holds an id that is neither a class nor 255.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"prediction has shape {predicted.shape} and truth {truth.shape}")
    known = truth != UNLABELLED
    rows = truth[known].astype(np.int64)
    if rows.size and int(rows.max()) >= n_classes:
        raise ValueError(f"the truth holds id {int(rows.max())}, but there are {n_classes} classes")
    columns = np.minimum(predicted[known].astype(np.int64), n_classes)
    flat = np.bincount(rows * (n_classes + 1) + columns, minlength=n_classes * (n_classes + 1))
    return flat.reshape(n_classes, n_classes + 1).astype(np.int64)


def metrics_from_confusion(confusion_NN: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
    """The metrics that a confusion matrix gives; definitions at the top of this module.

    Args:
        confusion_NN: Rows = truth, columns = prediction; (N, N), or (N, N + 1) with "no class" last.
        names: The N class names.

    Returns:
        ``miou``, ``miou_present``, ``n_classes_present``, ``pixel_accuracy``, ``mean_dice``,
        ``per_class.<name>.{iou,dice,precision,recall,pixels}`` (``pixels`` = of the truth).
    """
    n = len(names)
    if confusion_NN.shape not in {(n, n), (n, n + 1)}:
        raise ValueError(f"a confusion matrix of shape {confusion_NN.shape} does not fit {n} class names")
    hits = np.diagonal(confusion_NN[:, :n]).astype(np.float64)
    true = confusion_NN.sum(axis=1).astype(np.float64)
    predicted = confusion_NN[:, :n].sum(axis=0).astype(np.float64)
    union = true + predicted - hits
    iou, dice = _divide(hits, union), _divide(2 * hits, true + predicted)
    precision, recall = _divide(hits, predicted), _divide(hits, true)
    occurs, present = union > 0, true > 0
    total = float(true.sum())
    return {
        "miou": _mean(iou[occurs]),
        "miou_present": _mean(iou[present]),
        "n_classes_present": int(present.sum()),
        "pixel_accuracy": float(hits.sum() / total) if total else None,
        "mean_dice": _mean(dice[occurs]),
        "per_class": {
            name: {
                "iou": _json(iou[i]),
                "dice": _json(dice[i]),
                "precision": _json(precision[i]),
                "recall": _json(recall[i]),
                "pixels": int(true[i]),
            }
            for i, name in enumerate(names)
        },
    }


def miou_batch_mean(confusions: Iterable[NDArray[Any]]) -> float | None:
    """Mean over batches of each batch's own ``miou``; None where no batch holds a labelled pixel."""
    values = []
    for counts in confusions:
        value = metrics_from_confusion(counts, [str(i) for i in range(len(counts))])["miou"]
        if value is not None:
            values.append(value)
    return float(np.mean(values)) if values else None


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
        known = truth != UNLABELLED
        value = confidence[known].astype(np.float64)
        if confidence.dtype == np.uint8:
            value /= 255.0
        right = (predicted[known] == truth[known]).astype(np.float64)
        index = np.clip((value * self.bins).astype(np.int64), 0, self.bins - 1)
        self.total += np.bincount(index, minlength=self.bins)
        self.confidence += np.bincount(index, weights=value, minlength=self.bins)
        self.correct += np.bincount(index, weights=right, minlength=self.bins)

    def ece(self) -> float | None:
        """Σ over bins of |correct − confidence| / pixels; 0 is perfect; None where there are no pixels."""
        total = float(self.total.sum())
        return float(np.abs(self.correct - self.confidence).sum() / total) if total else None


class BoundaryIoU:
    """Boundary IoU (Cheng et al., "Boundary IoU", CVPR 2021), counted over a whole set.

    Args:
        n_classes: Number of classes.
        ratio: Width of the edge zone as a part of the image diagonal.
    """

    def __init__(self, n_classes: int, ratio: float = BOUNDARY_RATIO) -> None:
        self.n_classes = n_classes
        self.ratio = ratio
        self.intersection: I64 = np.zeros(n_classes, np.int64)
        self.union: I64 = np.zeros(n_classes, np.int64)

    def update(self, predicted_HW: U8, truth_HW: U8) -> None:
        """Add one image; uint8 ids of the same shape (H, W)."""
        height, width = truth_HW.shape
        distance = max(1, round(self.ratio * float(np.hypot(height, width))))
        # Unlabelled areas cut both sides alike, so that their edges are no error.
        shown_HW = np.where(truth_HW == UNLABELLED, UNLABELLED, predicted_HW)
        for index in range(self.n_classes):
            true_HW, claimed_HW = truth_HW == index, shown_HW == index
            if not (true_HW.any() or claimed_HW.any()):
                continue
            edge_HW, edge_claimed_HW = _inner_edge(true_HW, distance), _inner_edge(claimed_HW, distance)
            self.intersection[index] += int(np.count_nonzero(edge_HW & edge_claimed_HW))
            self.union[index] += int(np.count_nonzero(edge_HW | edge_claimed_HW))

    def value(self) -> float | None:
        """Mean over the classes that occur; None where there are none."""
        return _mean(_divide(self.intersection, self.union)[self.union > 0])


class SegmentationMetrics:
    """Everything at once: what ``evaluate`` and ``replay`` put into ``metrics.json``.

    Args:
        names: Class names in the order of their ids.
        batch_size: Images that make one batch of ``miou_batch_mean`` (the original's is 4).
    """

    def __init__(self, names: Sequence[str], batch_size: int = 4) -> None:
        self.names = list(names)
        self.batch_size = batch_size
        self.matrix = ConfusionMatrix(len(self.names))
        self.calibration = Calibration()
        self.boundary = BoundaryIoU(len(self.names))
        self.images = 0
        self._batches: list[I64] = []

    def update(self, predicted_HW: U8, truth_HW: U8, confidence_HW: U8 | None = None) -> dict[str, Any]:
        """Add one image: uint8 ids and confidence of one shape (H, W).

        Returns:
            The metrics of this image alone, as ``metrics_from_confusion``.
        """
        counts = self.matrix.update(predicted_HW, truth_HW)
        if self.images % self.batch_size == 0:
            self._batches.append(np.zeros_like(counts))
        self._batches[-1] += counts
        self.images += 1
        if confidence_HW is not None:
            self.calibration.update(confidence_HW, predicted_HW, truth_HW)
        self.boundary.update(predicted_HW, truth_HW)
        return metrics_from_confusion(counts, self.names)

    def result(self) -> dict[str, Any]:
        """The metrics of all images, under the keys of ``metrics.json``."""
        return {
            **metrics_from_confusion(self.matrix.counts, self.names),
            "miou_batch_mean": miou_batch_mean(self._batches),
            "ece": self.calibration.ece(),
            "boundary_iou": self.boundary.value(),
            "images": self.images,
        }


def _inner_edge(mask_HW: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    """The pixels of a mask that lie within ``distance`` pixels of its outline or of the image border."""
    padded = cv2.copyMakeBorder(mask_HW.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    core = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)[1:-1, 1:-1]
    edge: NDArray[np.bool_] = mask_HW & (core == 0)
    return edge


def _divide(numerator: NDArray[Any], denominator: NDArray[Any]) -> F64:
    """Element by element; NaN where the denominator is 0."""
    result: F64 = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def _mean(values: F64) -> float | None:
    return float(values.mean()) if values.size else None


def _json(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
