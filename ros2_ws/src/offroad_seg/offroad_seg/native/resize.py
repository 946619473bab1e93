# SPDX-License-Identifier: Apache-2.0
"""A kernel that makes RGB images smaller or larger, as OpenCV does; the target's rows may lie apart."""

from __future__ import annotations

import platform
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.native.library import address, function, pointer, room

if TYPE_CHECKING:
    from numpy.typing import NDArray

    U8 = NDArray[np.uint8]

_CHANNELS, _WORD, _WEIGHT = 3, 8, 2048
# What a row's numbers take, and how many the kernel writes over behind the last.
_NUMBER_BYTES, _SPARE = 2, 2
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


class _Plan:
    """What the kernel needs for images of one size, and one size that they get; none of them empty.

    Attributes:
        at: As it takes it; valid as long as this object.
    """

    def __init__(self, source: tuple[int, int], target: tuple[int, int]) -> None:
        down = _Places(source[0], target[0], rows=True)
        across = _Places(source[1], target[1], rows=False)
        # Bytes at which pixels begin, and how many of these leave room in the row for a whole word.
        left_W, right_W = (of_N * np.int32(_CHANNELS) for of_N in (across.first_N, across.second_N))
        fast = int(np.searchsorted(left_W, source[1] * _CHANNELS - _WORD, side="right"))
        self._kept = (down, across, left_W, right_W)
        self.at = (*down.at, pointer(left_W, np.int32), pointer(right_W, np.int32), across.at[2], fast)


_plan = lru_cache(maxsize=16)(_Plan)


def resize_rgb(image_HWC: U8, out_HWC: U8) -> bool:
    """What ``cv2.resize`` does with ``INTER_LINEAR``, to the last bit; False where it would not, or without the kernel.

    Args:
        image_HWC: uint8 RGB; rows may lie apart.
        out_HWC: Of another size; rows may lie apart.
    """
    source, target = image_HWC.shape[:2], out_HWC.shape[:2]
    to_height, to_width = target
    # Halved both ways, OpenCV takes the mean of four pixels.
    if not _HERE or source == (2 * to_height, 2 * to_width) or 0 in source or 0 in target:
        return False
    kernel = function("resize_rgb", "pippppppippiii")
    if kernel is None or image_HWC.strides[1:] != (_CHANNELS, 1) or out_HWC.strides[1:] != (_CHANNELS, 1):
        return False
    if image_HWC.strides[0] < _CHANNELS * source[1] or out_HWC.strides[0] < _CHANNELS * to_width:
        return False
    kernel(
        address(image_HWC),
        image_HWC.strides[0],
        *_plan(source, target).at,
        room(2 * _NUMBER_BYTES * (_CHANNELS * to_width + _SPARE)),
        address(out_HWC),
        out_HWC.strides[0],
        to_height,
        to_width,
    )
    return True
