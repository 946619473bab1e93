# SPDX-License-Identifier: Apache-2.0
"""Directions around the camera's foot, numbered: what stands in one hides what lies behind it there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)

_MIN_WIDTH = math.radians(0.25)


def count_for(pixel_angle: float) -> int:
    """How many directions there are around a camera whose pixels are so many radians apart.

    They are wider than a pixel, so that one object leaves no gaps.
    """
    return max(8, int(2 * math.pi / max(_MIN_WIDTH, 1.5 * pixel_angle)))


def directions_of(
    azimuth: NDArray[np.float32], count: int, out: NDArray[np.intp] | None = None
) -> NDArray[np.intp]:
    """Numbers of directions, 0 to ``count``: the last is the one before it (look it up with ``mode="clip"``).

    Args:
        azimuth: Radians from −π to π, float32 of any shape; used up.
        count: How many directions there are around the circle.
        out: Kept buffer of the same shape.
    """
    np.add(azimuth, np.float32(math.pi), out=azimuth)
    np.multiply(azimuth, np.float32(count / (2 * math.pi)), out=azimuth)
    if out is None:
        return azimuth.astype(np.intp)
    np.copyto(out, azimuth, casting="unsafe")
    return out


def with_neighbours(values_B: NDArray[Number]) -> NDArray[Number]:
    """For each direction the value before it, its own and the one behind it, shape (3, B)."""
    closed = np.concatenate([values_B[-1:], values_B, values_B[:1]])
    return np.stack([closed[:-2], closed[1:-1], closed[2:]])
