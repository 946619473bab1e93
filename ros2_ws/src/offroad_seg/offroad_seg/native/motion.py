# SPDX-License-Identifier: Apache-2.0
"""Kernels that compare labels along the motion of an image. Each gives None without the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.native.library import function, pointer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]
    Mask = NDArray[np.bool_]


def believe_flow(back_HW2: F32, again_HW2: F32, where_HW2: F32, agree: float) -> Mask | None:
    """Where flow there and back agrees to so many pixels, and came from within the image.

    Args:
        back_HW2: float32, where each pixel came from, relative to it.
        again_HW2: From there to where.
        where_HW2: Where each pixel came from.
        agree: Pixels.
    """
    kernel = function("believe_flow", "pppiifp")
    if kernel is None or not all(a.flags.c_contiguous for a in (back_HW2, again_HW2, where_HW2)):
        return None
    shape = back_HW2.shape
    valid_HW: Mask = np.empty(shape[:2], np.bool_)
    kernel(
        pointer(back_HW2, np.float32, (*shape[:2], 2)), pointer(again_HW2, np.float32, shape),
        pointer(where_HW2, np.float32, shape), shape[0], shape[1], agree**2, pointer(valid_HW, np.bool_),
    )  # fmt: skip
    return valid_HW


def count_moved(
    moved_HW: U8, now_HW: U8, valid_HW: Mask
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Valid pixels labelled in both images, and those of them whose label differs: two of int64 (256,).

    Args:
        moved_HW: The labels before, moved to where they are now; their labels are what is counted by.
        now_HW: The labels now.
        valid_HW: Pixels that count.
    """
    kernel = function("count_moved", "pppipp")
    if kernel is None or not all(a.flags.c_contiguous for a in (moved_HW, now_HW, valid_HW)):
        return None
    counts_22K, shape = np.zeros((2, 2, 256), np.int64), moved_HW.shape
    kernel(
        pointer(moved_HW, np.uint8), pointer(now_HW, np.uint8, shape), pointer(valid_HW, np.bool_, shape),
        moved_HW.size, pointer(counts_22K[0], np.int64), pointer(counts_22K[1], np.int64),
    )  # fmt: skip
    return counts_22K[0, 0], counts_22K[1, 0]
