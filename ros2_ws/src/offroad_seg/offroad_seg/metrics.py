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

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.boundary import BoundaryIoU
from offroad_seg.calibration import Calibration
from offroad_seg.counting import count_bytes
from offroad_seg.native.counting import count_pairs
from offroad_seg.types import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    U8 = NDArray[np.uint8]
    I64 = NDArray[np.int64]
    F64 = NDArray[np.float64]


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
    counted = count_pairs(predicted, truth, n_classes)
    if counted is not None:
        counts_NN, others = counted
        _check_truth(others, n_classes)
        return counts_NN[:n_classes]
    bytes_only = predicted.dtype == truth.dtype == np.uint8
    pixels = count_bytes(truth) if bytes_only else np.bincount(truth.ravel(), minlength=UNLABELLED + 1)
    _check_truth(pixels, n_classes)
    # One number for each pair, n_classes standing for "none": at most 255 · 256 + 255, and a byte for 15 classes.
    side = n_classes + 1
    dtype = np.uint8 if bytes_only and side**2 <= UNLABELLED + 1 else np.uint16
    pairs = np.minimum(truth, n_classes).astype(dtype, copy=False)
    pairs *= dtype(side)
    pairs += np.minimum(predicted, n_classes).astype(dtype, copy=False)
    flat = count_bytes(pairs) if dtype is np.uint8 else np.bincount(pairs.ravel(), minlength=side**2)
    counts: I64 = flat[: side**2].reshape(side, side)[:n_classes].astype(np.int64)
    return counts


def _check_truth(pixels: I64, n_classes: int) -> None:
    """Refuse true ids that are no class, from the number of pixels of each id."""
    pixels[UNLABELLED] = 0
    if pixels[n_classes:].any():
        worst = int(np.flatnonzero(pixels)[-1])
        raise ValueError(f"the truth holds id {worst}, but there are {n_classes} classes")


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


@dataclass(frozen=True)
class ImageCounts:
    """All that ``SegmentationMetrics`` needs to know of one image; counts of several images add up exactly.

    Attributes:
        confusion_NN: As ``ConfusionMatrix.counts``, shape (N, N + 1).
        calibration: The image's histogram; empty without confidence.
        boundary: The image's edge zones.
    """

    confusion_NN: I64
    calibration: Calibration
    boundary: BoundaryIoU


def count_image(predicted_HW: U8, truth_HW: U8, confidence_HW: U8 | None, n_classes: int) -> ImageCounts:
    """Count the pixels of one image: uint8 ids and confidence of one shape (H, W).

    Raises:
        ValueError: The shapes differ, or the truth holds an id that is neither a class nor 255.
    """
    counts = ImageCounts(confusion(predicted_HW, truth_HW, n_classes), Calibration(), BoundaryIoU(n_classes))
    if confidence_HW is not None:
        counts.calibration.update(confidence_HW, predicted_HW, truth_HW)
    counts.boundary.update(predicted_HW, truth_HW)
    return counts


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
        counts = count_image(predicted_HW, truth_HW, confidence_HW, len(self.names))
        self.add(counts)
        return metrics_from_confusion(counts.confusion_NN, self.names)

    def add(self, counts: ImageCounts) -> None:
        """Add one image whose pixels are counted already."""
        if self.images % self.batch_size == 0:
            self._batches.append(np.zeros_like(counts.confusion_NN))
        self._batches[-1] += counts.confusion_NN
        self.images += 1
        self.matrix.counts += counts.confusion_NN
        self.calibration.add(counts.calibration)
        self.boundary.add(counts.boundary)

    def result(self) -> dict[str, Any]:
        """The metrics of all images, under the keys of ``metrics.json``.

        Beside those of ``metrics_from_confusion``, each class also has its ``boundary_iou``.
        """
        found = metrics_from_confusion(self.matrix.counts, self.names)
        for name, value in zip(self.names, self.boundary.per_class(), strict=True):
            found["per_class"][name]["boundary_iou"] = value
        return {
            **found,
            "miou_batch_mean": miou_batch_mean(self._batches),
            "ece": self.calibration.ece(),
            "boundary_iou": self.boundary.value(),
            "images": self.images,
        }


def _divide(numerator: NDArray[Any], denominator: NDArray[Any]) -> F64:
    """Element by element; NaN where the denominator is 0."""
    result: F64 = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def _mean(values: F64) -> float | None:
    return float(values.mean()) if values.size else None


def _json(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
