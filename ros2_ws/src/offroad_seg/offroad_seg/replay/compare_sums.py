# SPDX-License-Identifier: Apache-2.0
"""Figures as functions of sums: one row of additive counts for each frame, and what any sum of such rows means.

Because every figure is worked out from sums, those of a thousand resamples of the frames are one matrix product and
a few array operations. Definitions are those of ``offroad_seg.metrics`` and ``docs/replay.md``; NaN stands where a
figure is not defined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.calibration import ECE_BINS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from offroad_seg.replay.records import FrameRecord

    F64 = NDArray[np.float64]

CELLS = (
    "compared", "known", "free", "free_right", "free_lethal",
    "lethal", "lethal_right", "true_lethal", "true_lethal_found",
)  # fmt: skip
_COSTMAP = {
    "known_share": ("known", "compared"),
    "free_precision": ("free_right", "free"),
    "lethal_recall": ("true_lethal_found", "true_lethal"),
    "lethal_precision": ("lethal_right", "lethal"),
    "lethal_as_free": ("free_lethal", "true_lethal"),
}
_MEANS = ("mean_confidence", "ood_share", "costmap_known_share", "latency_ms.total.mean")


@dataclass(frozen=True)
class Layout:
    """Which column of a frame's row holds what.

    Attributes:
        names: The class names, N of them.
        slices: Group → its columns.
        width: Number of columns.
    """

    names: tuple[str, ...]
    slices: dict[str, slice]
    width: int

    @classmethod
    def of(cls, names: Sequence[str]) -> Layout:
        """The layout for some classes."""
        n = len(names)
        sizes = {
            "confusion": n * (n + 1), "boundary": 2 * n, "calibration": 3 * ECE_BINS, "flicker": 2,
            "motion": 2, "stability": 2, "driven": 3, "cells": len(CELLS), "abs_error": 1, **dict.fromkeys(_MEANS, 2),
        }  # fmt: skip
        slices, start = {}, 0
        for name, size in sizes.items():
            slices[name] = slice(start, start + size)
            start += size
        return cls(tuple(names), slices, start)

    def row(self, record: FrameRecord) -> F64:
        """The additive counts of one frame, shape (width,).

        Raises:
            ValueError: The record is of another number of classes.
        """
        row = np.zeros(self.width)
        truth, costmap = record.truth, record.costmap
        if truth is not None:
            self._put(row, "confusion", truth["confusion"])
            self._put(row, "boundary", [v for part in truth["boundary"] for v in part])
            self._put(row, "calibration", [v for part in truth["calibration"] for v in part])
        if record.flicker is not None:
            self._put(row, "flicker", record.flicker)
        if record.motion is not None:
            self._put(row, "motion", [sum(record.motion["changed"]), sum(record.motion["compared"])])
        if costmap is not None:
            compared = costmap.get("truth") or {}
            if "cells" in compared:
                self._put(row, "cells", [compared["cells"][name] for name in CELLS])
                self._put(row, "abs_error", [compared["abs_error"]])
            if (steady := costmap.get("stability")) is not None:
                self._put(row, "stability", [steady["to_lethal"] + steady["to_free"], steady["decided"]])
            if (driven := costmap.get("driven")) is not None:
                self._put(row, "driven", np.sum(driven["bins"], axis=0).tolist())
        means = (
            record.mean_confidence,
            record.ood_share,
            None if costmap is None else costmap["known_share"],
            record.latency_ms.get("total"),
        )
        for name, value in zip(_MEANS, means, strict=True):
            if value is not None:
                self._put(row, name, [value, 1.0])
        return row

    def _put(self, row: F64, group: str, values: Sequence[float]) -> None:
        columns = self.slices[group]
        if len(values) != columns.stop - columns.start:
            raise ValueError(f"{len(values)} numbers for {columns.stop - columns.start} of {group}")
        row[columns] = values

    def figures(self, sums_RK: F64) -> dict[str, F64]:
        """Key of ``metrics.json`` → its values, one for each row of sums, shape (R,).

        Args:
            sums_RK: Sums of frames' rows, shape (R, width).
        """
        part = {name: sums_RK[:, columns] for name, columns in self.slices.items()}
        found = self._segmentation(part["confusion"])
        found["boundary_iou"] = _mean(_share(*np.split(part["boundary"], 2, axis=1)))
        total, confidence, correct = np.split(part["calibration"], 3, axis=1)
        found["ece"] = _share(np.abs(correct - confidence).sum(axis=1), total.sum(axis=1))
        cells = {name: part["cells"][:, i] for i, name in enumerate(CELLS)}
        for name, (of, among) in _COSTMAP.items():
            found[f"costmap.{name}"] = _share(cells[of], cells[among])
        found["costmap.mean_abs_error"] = _share(part["abs_error"][:, 0], cells["known"])
        found["flicker"] = _share(part["flicker"][:, 0], part["flicker"][:, 1])
        found["flicker_compensated"] = _share(part["motion"][:, 0], part["motion"][:, 1])
        found["costmap_stability.flip_share"] = _share(part["stability"][:, 0], part["stability"][:, 1])
        looks, unknown, lethal = part["driven"].T
        found["driven_path.unknown_rate"] = _share(unknown, looks)
        found["driven_path.false_lethal_rate"] = _share(lethal, looks - unknown)
        for name in _MEANS:
            found[name] = _share(part[name][:, 0], part[name][:, 1])
        return found

    def _segmentation(self, confusion_RK: F64) -> dict[str, F64]:
        n = len(self.names)
        counts = confusion_RK.reshape(-1, n, n + 1)
        hits = np.diagonal(counts[:, :, :n], axis1=1, axis2=2)
        true, predicted = counts.sum(axis=2), counts[:, :, :n].sum(axis=1)
        union = true + predicted - hits
        iou, dice = _share(hits, union), _share(2 * hits, true + predicted)
        found = {
            "miou": _mean(iou),
            "miou_present": _mean(np.where(true > 0, iou, np.nan)),
            "pixel_accuracy": _share(hits.sum(axis=1), true.sum(axis=1)),
            "mean_dice": _mean(dice),
        }
        per_class = {"iou": iou, "precision": _share(hits, predicted), "recall": _share(hits, true)}
        for i, name in enumerate(self.names):
            found |= {f"per_class.{name}.{kind}": values[:, i] for kind, values in per_class.items()}
        return found


def better(key: str) -> int:
    """1 where more is better, −1 where less is, 0 where neither is.

    Less latency is better, too, but two runs differ by what else the machine did: the frames of one drive cannot tell
    which engine is faster.
    """
    neither = ("mean_confidence", "ood_share", "costmap_known_share", "costmap.known_share")
    if key.startswith("latency_ms") or key in neither:
        return 0
    less = (
        "ece", "flicker", "costmap.lethal_as_free", "costmap.mean_abs_error", "costmap_stability",
        "driven_path", "frames_dropped",
    )  # fmt: skip
    return -1 if key.startswith(less) else 1


def _share(part: F64, whole: F64) -> F64:
    result: F64 = np.full(np.shape(part), np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result


def _mean(values_RN: F64) -> F64:
    """Over those that are defined; NaN where none is."""
    there = ~np.isnan(values_RN)
    return _share(np.where(there, values_RN, 0.0).sum(axis=1), there.sum(axis=1).astype(np.float64))


def as_json(value: Any) -> float | None:
    """A number, None for NaN."""
    return float(value) if np.isfinite(value) else None
