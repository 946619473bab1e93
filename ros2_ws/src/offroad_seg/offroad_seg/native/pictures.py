# SPDX-License-Identifier: Apache-2.0
"""Kernels for pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.native.library import function, pointer, room

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.spread import Spread

    U8 = NDArray[np.uint8]

_SPARE = 16


def overlay_rows(image_HWC: U8, labels_hw: U8, half_colors_2563: U8, spread: Spread, out_HWC: U8) -> bool:
    """Half of the image plus the colours of its labels, which are halved already; False without the kernel.

    Args:
        image_HWC: uint8 RGB.
        labels_hw: uint8, of any size.
        half_colors_2563: Of each label, at most 128.
        spread: From the labels' size to the image's.
        out_HWC: Like the image, not the image itself; C-contiguous.
    """
    kernel = function("overlay_rows", "ppipppppii")
    if kernel is None or not (image_HWC.flags.c_contiguous and labels_hw.flags.c_contiguous):
        return False
    height, width = spread.target
    kernel(
        pointer(image_HWC, np.uint8, (height, width, 3)),
        pointer(labels_hw, np.uint8, spread.source),
        spread.source[1],
        pointer(half_colors_2563, np.uint8, (256, 3)),
        spread.tables.rows,
        spread.tables.first,
        room(3 * width + _SPARE),
        pointer(out_HWC, np.uint8, image_HWC.shape),
        height,
        width,
    )
    return True
