# SPDX-License-Identifier: Apache-2.0
"""Kernels that count pixels. Each gives None without the kernel, or where it does not take the arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.native.library import function, pointer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    U8 = NDArray[np.uint8]
    I64 = NDArray[np.int64]

_FARTHEST = 32_000


def _bytes(*arrays: NDArray[Any]) -> bool:
    """Whether all are uint8, of one shape, and lie in memory as they are read."""
    first = arrays[0]
    return all(a.dtype == np.uint8 and a.flags.c_contiguous and a.shape == first.shape for a in arrays)


def count_pairs(predicted: NDArray[Any], truth: NDArray[Any], n_classes: int) -> tuple[I64, I64] | None:
    """Pixels of each pair and of each true id that is no class.

    Args:
        predicted: Ids, of any shape.
        truth: Ids, of the same shape.
        n_classes: N, 1–255.

    Returns:
        int64 (N + 1, N + 1), row = truth, the last row and column for ids that are no class; and int64 (256,).
    """
    kernel = function("count_pairs", "ppiippp")
    if kernel is None or not _bytes(predicted, truth) or not 1 <= n_classes <= 255:
        return None
    pairs_2NN = np.zeros((2, n_classes + 1, n_classes + 1), np.int64)
    others_256 = np.zeros(256, np.int64)
    at, step = pointer(pairs_2NN, np.int64), pairs_2NN[0].nbytes
    kernel(
        pointer(truth, np.uint8), pointer(predicted, np.uint8), truth.size, n_classes, at, at + step,
        pointer(others_256, np.int64),
    )  # fmt: skip
    return pairs_2NN[0], others_256


def count_values(values: NDArray[np.uint8], mask: NDArray[np.uint8] | None) -> I64 | None:
    """How often each byte occurs: int64 (256,).

    Args:
        values: uint8, of any shape.
        mask: uint8 of the same shape, or None; elements where it is 0 do not count.
    """
    kernel = function("count_values", "ppip")
    if kernel is None or not _bytes(values, values if mask is None else mask):
        return None
    counts_2K: I64 = np.zeros((2, 256), np.int64)
    kernel(
        pointer(values, np.uint8), 0 if mask is None else pointer(mask, np.uint8), values.size,
        pointer(counts_2K, np.int64),
    )  # fmt: skip
    found: I64 = counts_2K[0]
    return found


def count_changes(before: U8, now: U8) -> tuple[int, int] | None:
    """(changed, compared): pixels labelled in both, and those of them whose label differs."""
    kernel = function("count_changes", "ppip")
    if kernel is None or not _bytes(before, now):
        return None
    found_2 = np.zeros(2, np.int64)
    kernel(pointer(before, np.uint8), pointer(now, np.uint8), now.size, pointer(found_2, np.int64))
    return int(found_2[0]), int(found_2[1])


def count_confidence(confidence: NDArray[Any], predicted: NDArray[Any], truth: NDArray[Any]) -> I64 | None:
    """Labelled pixels of each confidence, and how many of them are right: int64 (2, 256)."""
    kernel = function("count_confidence", "pppipp")
    if kernel is None or not _bytes(confidence, predicted, truth):
        return None
    counts_2K: I64 = np.zeros((2, 256), np.int64)
    kernel(
        pointer(confidence, np.uint8), pointer(truth, np.uint8), pointer(predicted, np.uint8), truth.size,
        pointer(counts_2K[0], np.int64), pointer(counts_2K[1], np.int64),
    )  # fmt: skip
    return counts_2K


def count_zones(truth_HW: U8, predicted_HW: U8, distance: int) -> I64 | None:
    """Pixels of each label in the edge zones: of the truth, of what is shown, and of both; int64 (3, 256).

    Args:
        truth_HW: Labels.
        predicted_HW: Likewise; shown where there is truth.
        distance: Pixels from an edge, at least 1.
    """
    kernel = function("count_zones", "ppiiipppp")
    if kernel is None or not _bytes(truth_HW, predicted_HW) or not 1 <= distance <= _FARTHEST:
        return None
    height, width = truth_HW.shape
    counts_3K, tables = np.empty((3, 256), np.int64), np.zeros((10, 256), np.int64)
    runs_2W, rows_8W = np.zeros((2, width), np.uint16), np.empty((8, width), np.uint8)
    kernel(
        pointer(truth_HW, np.uint8), pointer(predicted_HW, np.uint8), height, width, distance,
        pointer(runs_2W, np.uint16), pointer(rows_8W, np.uint8), pointer(tables, np.int64),
        pointer(counts_3K, np.int64),
    )  # fmt: skip
    return counts_3K
