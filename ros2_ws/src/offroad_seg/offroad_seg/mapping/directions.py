# SPDX-License-Identifier: Apache-2.0
"""Directions around the camera's foot, numbered: what stands in one hides what lies behind it there.

Angles are worked out with a polynomial, for numpy and the compiled kernels to take the same values, on every machine:
the arctangents of C libraries differ in the last bit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from offroad_seg.mapping.buffers import Scratch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    F32 = NDArray[np.float32]
    Index = NDArray[np.intp]

Number = TypeVar("Number", bound=np.generic)

_MIN_WIDTH = math.radians(0.25)
# The odd polynomial of degree 13 with the least greatest error on 0 … 1: 2e-7 (fitted by linear programming). Highest
# power first. native/lens.h has the same numbers.
_ARCTAN = tuple(
    np.float32(c)
    for c in (
        0.006667296402156353,
        -0.03311904892325401,
        0.0789913609623909,
        -0.1319340318441391,
        0.19795462489128113,
        -0.33315736055374146,
        0.9999955296516418,
    )
)


def count_for(pixel_angle: float) -> int:
    """How many directions there are around a camera whose pixels are so many radians apart.

    They are wider than a pixel, so that one object leaves no gaps.
    """
    return max(8, int(2 * math.pi / max(_MIN_WIDTH, 1.5 * pixel_angle)))


def arctan_unit(t: F32, square: F32, out: F32) -> F32:
    """Arctangent of numbers from 0 to 1, to 4e-7 radians.

    Args:
        t: float32 of any shape; left as it is.
        square: Memory of that shape; used up.
        out: The angles; not ``t``.
    """
    np.multiply(t, t, out=square)
    np.multiply(square, _ARCTAN[0], out=out)
    for c in _ARCTAN[1:-1]:
        np.add(out, c, out=out)
        np.multiply(out, square, out=out)
    np.add(out, _ARCTAN[-1], out=out)
    return np.multiply(out, t, out=out)


def directions_of(x: F32, y: F32, count: int, scratch: Scratch | None = None) -> Index:
    """Numbers of directions, 0 to ``count`` − 1, counted from −π.

    Args:
        x: float32 metres along grid x.
        y: Metres along grid y; x and y are broadcast.
        count: How many directions there are around the circle.
        scratch: Kept memory, of which names starting with ``directions`` are used; the result lies there.
    """
    get = (scratch or Scratch()).get
    shape = np.broadcast_shapes(x.shape, y.shape)
    along, across = np.abs(x), np.abs(y)
    angle, t, square = (get(f"directions_{name}", shape) for name in ("angle", "t", "square"))
    np.maximum(along, across, out=square)
    np.maximum(square, np.float32(1e-30), out=square)
    np.minimum(along, across, out=t)
    np.divide(t, square, out=t)
    arctan_unit(t, square, angle)
    test = get("directions_test", shape, np.bool_)
    for turned, full in ((np.greater(across, along, out=test), math.pi / 2), (x < 0.0, math.pi)):
        np.subtract(np.float32(full), angle, out=angle, where=turned)
    np.negative(angle, out=angle, where=y < 0.0)
    np.add(angle, np.float32(math.pi), out=angle)
    np.multiply(angle, np.float32(count / (2 * math.pi)), out=angle)
    np.minimum(angle, np.float32(count - 1), out=angle)
    out = get("directions_out", shape, np.intp)
    np.copyto(out, angle, casting="unsafe")
    return out


def with_neighbours(values_B: NDArray[Number]) -> NDArray[Number]:
    """For each direction the value before it, its own and the one behind it, shape (3, B)."""
    closed = np.concatenate([values_B[-1:], values_B, values_B[:1]])
    return np.stack([closed[:-2], closed[1:-1], closed[2:]])
