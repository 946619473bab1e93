# SPDX-License-Identifier: Apache-2.0
"""How often each byte occurs: twice as fast as ``numpy.bincount``, which first makes eight bytes of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.native.counting import count_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXACT = 2**24
"""OpenCV hands the counts out as float32, which holds every whole number up to here."""


def count_bytes(values: NDArray[np.uint8], mask: NDArray[np.uint8] | None = None) -> NDArray[np.int64]:
    """The number of elements of each value 0–255, shape (256,), int64, exact.

    Args:
        values: uint8, of any shape.
        mask: uint8 of the same shape; elements where it is 0 do not count.
    """
    counted = count_values(values, mask)
    if counted is not None:
        return counted
    flat_1N = np.ascontiguousarray(values).reshape(1, -1)
    mask_1N = None if mask is None else np.ascontiguousarray(mask).reshape(1, -1)
    counts = np.zeros(256, np.int64)
    for start in range(0, flat_1N.shape[1], _EXACT):
        part = slice(start, start + _EXACT)
        shown = None if mask_1N is None else mask_1N[:, part]
        found = cv2.calcHist([flat_1N[:, part]], [0], shown, [256], [0, 256])
        counts += found.ravel().astype(np.int64)
    return counts
