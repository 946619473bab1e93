# SPDX-License-Identifier: Apache-2.0
"""Kept memory, so that a frame allocates nothing large."""

from __future__ import annotations

import array
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Scratch:
    """Named arrays that are grown when needed and otherwise used again.

    An array is valid until the same name is asked for again; its contents are not cleared.
    """

    def __init__(self) -> None:
        self._flat: dict[str, NDArray[Any]] = {}
        # With shape and type as they were asked for: most are asked for alike in every frame.
        self._last: dict[str, tuple[tuple[int, ...], Any, NDArray[Any]]] = {}

    def get(self, name: str, shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:
        """An array of that shape, C-contiguous, with undefined contents."""
        last = self._last.get(name)
        if last is not None and last[1] is dtype and last[0] == shape:
            return last[2]
        size = math.prod(shape)
        flat = self._flat.get(name)
        if flat is None or flat.size < size or flat.dtype != dtype:
            flat = np.empty(size, dtype)
            self._flat[name] = flat
        found = flat[:size].reshape(shape)
        self._last[name] = (shape, dtype, found)
        return found


def message_array(shape: tuple[int, ...], dtype: Any = np.uint8) -> NDArray[Any]:
    """Zeros in the memory of an ``array.array`` of bytes: a ROS message takes that as it is, without a copy."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return np.frombuffer(array.array("B", bytes(size)), dtype).reshape(shape)
