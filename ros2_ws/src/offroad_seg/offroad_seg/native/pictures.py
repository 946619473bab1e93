# SPDX-License-Identifier: Apache-2.0
"""Kernels for pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.native.library import function, pointer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    U8 = NDArray[np.uint8]


def overlay_rows(image_HWC: U8, colors_hWC: U8, rows_H: NDArray[np.int64], out_HWC: U8) -> bool:
    """Half of the image plus colours that are halved already, ``colors_hWC[rows_H]``; False without the kernel.

    Args:
        image_HWC: uint8, C-contiguous.
        colors_hWC: uint8, of the image's width.
        rows_H: For each row of the image one of the colours'.
        out_HWC: Like the image, not the image itself.
    """
    kernel = function("overlay_rows", "ppppii")
    if kernel is None or not image_HWC.flags.c_contiguous:
        return False
    height, width, channels = image_HWC.shape
    kernel(
        pointer(image_HWC, np.uint8),
        pointer(colors_hWC, np.uint8, (len(colors_hWC), width, channels)),
        pointer(rows_H, np.int64, (height,)),
        pointer(out_HWC, np.uint8, image_HWC.shape),
        height,
        width * channels,
    )
    return True
