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


def count_confidence(confidence: NDArray[Any], predicted: NDArray[Any], truth: NDArray[Any]) -> I64 | None:
    """Labelled pixels of each confidence, and how many of them are right: int64 (2, 256)."""
    kernel = function("count_confidence", "pppipp")
    if kernel is None or not _bytes(confidence, predicted, truth):
        return None
    counts_22K = np.zeros((2, 2, 256), np.int64)
    kernel(
        pointer(confidence, np.uint8), pointer(truth, np.uint8), pointer(predicted, np.uint8), truth.size,
        pointer(counts_22K[0], np.int64), pointer(counts_22K[1], np.int64),
    )  # fmt: skip
    return counts_22K[:, 0]


def count_zones(truth_3HW: tuple[U8, U8, U8], shown_3HW: tuple[U8, U8, U8]) -> I64 | None:
    """Pixels of each label in the edge zones: of the truth, of what is shown, and of both; int64 (3, 256).

    Args:
        truth_3HW: Labels, and the greatest and the least label around each pixel.
        shown_3HW: Likewise.
    """
    kernel = function("count_zones", "ppppppippp")
    if kernel is None or not _bytes(*truth_3HW, *shown_3HW):
        return None
    counts_32K = np.zeros((3, 2, 256), np.int64)
    kernel(
        *(pointer(a, np.uint8) for a in (*truth_3HW, *shown_3HW)), truth_3HW[0].size,
        *(pointer(counts, np.int64) for counts in counts_32K),
    )  # fmt: skip
    return counts_32K[:, 0]
