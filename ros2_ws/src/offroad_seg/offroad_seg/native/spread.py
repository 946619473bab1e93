# SPDX-License-Identifier: Apache-2.0
"""Kernels that make small pictures large."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.native.library import function, pointer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.spread import Spread

_SPARE = 8


def spread_bytes(source: NDArray[Any], spread: Spread, out: NDArray[Any]) -> bool:
    """One byte for each pixel, nearest; False without the kernel, and for pictures that it does not take.

    Args:
        source: Of ``spread.source``; its rows may lie apart.
        spread: From where to where.
        out: Of ``spread.target``, C-contiguous.
    """
    kernel = function("spread_bytes", "piippppii")
    if kernel is None or source.dtype != np.uint8 or source.ndim != 2 or source.shape != spread.source:
        return False
    stride, step = source.strides
    if step != 1 or stride < source.shape[1]:
        return False
    height, width = spread.target
    row = np.empty(width + _SPARE, np.uint8)
    kernel(
        source.ctypes.data,
        stride,
        source.shape[1],
        pointer(spread.near_rows_H, np.int32, (height,)),
        pointer(spread.first_w, np.int32, (source.shape[1] + 1,)),
        pointer(row, np.uint8),
        pointer(out, np.uint8, spread.target),
        height,
        width,
    )
    return True
