# SPDX-License-Identifier: Apache-2.0
"""A kernel that makes RGB images smaller or larger, as OpenCV does; the target's rows may lie apart."""

from __future__ import annotations

import platform
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.native.library import function, pointer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    I32 = NDArray[np.int32]
    U8 = NDArray[np.uint8]

_CHANNELS, _WORD, _WEIGHT = 3, 8, 2048
# Elsewhere OpenCV has better code of its own for this.
_HERE = platform.machine() in ("x86_64", "AMD64")


class _Places:
    """Between which two pixels of a row or a column each of another lies, and how near.

    Args:
        source: Pixels of the one.
        target: Pixels of the other.
        rows: Beyond the border OpenCV mixes the outermost row with itself, but takes the outermost column as it is,
            which is rounded otherwise.

    Attributes:
        first_N: int32; likewise ``second_N``.
        weight_N2: int16, of 2048: theirs.
        at: Where the three lie in memory; valid as long as this object.
    """

    def __init__(self, source: int, target: int, *, rows: bool) -> None:
        # In OpenCV's order of operations; float32 in the end.
        scale = 1.0 / (target / source)
        place_N = ((np.arange(target) + 0.5) * scale - 0.5).astype(np.float32)
        first_N = np.floor(place_N).astype(np.int32)
        part_N = place_N - first_N.astype(np.float32)
        if not rows:
            part_N[(first_N < 0) | (first_N >= source - 1)] = 0
        self.first_N = np.clip(first_N, 0, source - 1)
        self.second_N = np.clip(first_N + 1, 0, source - 1)
        weights = np.stack([np.float32(1) - part_N, part_N], axis=1) * np.float32(_WEIGHT)
        self.weight_N2 = np.rint(weights).astype(np.int16)
        numbers = (self.first_N, np.int32), (self.second_N, np.int32), (self.weight_N2, np.int16)
        self.at = tuple(pointer(array, dtype) for array, dtype in numbers)


_places = lru_cache(maxsize=32)(_Places)


@lru_cache(maxsize=16)
def _columns(source: int, target: int) -> tuple[I32, I32, int]:
    """Bytes at which pixels begin, and how many of these leave room in the row for a whole word."""
    places = _places(source, target, rows=False)
    fast = int(np.searchsorted(places.first_N * _CHANNELS, source * _CHANNELS - _WORD, side="right"))
    return places.first_N * np.int32(_CHANNELS), places.second_N * np.int32(_CHANNELS), fast


def resize_rgb(image_HWC: U8, out_HWC: U8) -> bool:
    """What ``cv2.resize`` does with ``INTER_LINEAR``, to the last bit; False where it would not, or without the kernel.

    Args:
        image_HWC: uint8 RGB; rows may lie apart.
        out_HWC: Of another size; rows may lie apart.
    """
    (height, width), (to_height, to_width) = image_HWC.shape[:2], out_HWC.shape[:2]
    # Halved both ways, OpenCV takes the mean of four pixels.
    if (
        not _HERE
        or (height, width) == (2 * to_height, 2 * to_width)
        or 0 in (height, width, to_height, to_width)
    ):
        return False
    kernel = function("resize_rgb", "pippppppippiii")
    if kernel is None or image_HWC.strides[1:] != (_CHANNELS, 1) or out_HWC.strides[1:] != (_CHANNELS, 1):
        return False
    if image_HWC.strides[0] < _CHANNELS * width or out_HWC.strides[0] < _CHANNELS * to_width:
        return False
    down = _places(height, to_height, rows=True)
    left_W, right_W, fast = _columns(width, to_width)
    across = _places(width, to_width, rows=False)
    rows = np.empty((2, _CHANNELS * to_width + 1), np.int16)
    kernel(
        image_HWC.ctypes.data,
        image_HWC.strides[0],
        *down.at,
        pointer(left_W, np.int32, (to_width,)),
        pointer(right_W, np.int32, (to_width,)),
        across.at[2],
        fast,
        pointer(rows, np.int16),
        out_HWC.ctypes.data,
        out_HWC.strides[0],
        to_height,
        to_width,
    )
    return True
