# SPDX-License-Identifier: Apache-2.0
"""Matrices of quaternions and of angles, and back.

By the formulas of Diebel, "Representing Attitude" (2006), in plain numbers: the node needs them for every message of
/tf and odometry, and SciPy takes ten times as long for a single rotation.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    F64 = NDArray[np.float64]

_STRAIGHT_UP = 1e-7
"""Cosine of the pitch below which roll and yaw are one turn."""


def matrix_of_angles(roll: float, pitch: float, yaw: float) -> F64:
    """The rotation, float64 (3, 3), of fixed-axis angles in radians (REP-103: R = Rz(yaw) Ry(pitch) Rx(roll))."""
    sr, sp, sy = math.sin(roll), math.sin(pitch), math.sin(yaw)
    cr, cp, cy = math.cos(roll), math.cos(pitch), math.cos(yaw)
    return np.array(
        (
            (cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr),
            (sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr),
            (-sp, cp * sr, cp * cr),
        )
    )


def angles_of(rotation_33: F64) -> tuple[float, float, float]:
    """Fixed-axis roll, pitch, yaw in radians.

    Straight up or down only roll and yaw's sum or difference is known: then it is all roll.
    """
    (a, _, _), (d, e, f), (g, h, i) = rotation_33.tolist()
    level = math.hypot(a, d)
    pitch = math.atan2(-g, level)
    if level < _STRAIGHT_UP:
        return math.atan2(-f, e), pitch, 0.0
    return math.atan2(h, i), pitch, math.atan2(d, a)


def matrix_of(xyzw: tuple[float, float, float, float]) -> F64:
    """The rotation, float64 (3, 3), of a unit quaternion in ROS order."""
    x, y, z, w = xyzw
    return np.array(
        (
            (1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w)),
            (2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w)),
            (2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y)),
        )
    )


def quaternion_of(rotation_33: F64) -> tuple[float, float, float, float]:
    """x, y, z, w of a rotation, w ≥ 0: by its largest entry, so that no small number is divided by (Shepperd 1978)."""
    (a, b, c), (d, e, f), (g, h, i) = rotation_33.tolist()
    squares = (1.0 + a - e - i, 1.0 - a + e - i, 1.0 - a - e + i, 1.0 + a + e + i)
    largest = squares.index(max(squares))
    x, y, z, w = (
        (squares[0], b + d, c + g, h - f),
        (b + d, squares[1], f + h, c - g),
        (c + g, f + h, squares[2], d - b),
        (h - f, c - g, d - b, squares[3]),
    )[largest]
    scale = 1.0 / math.sqrt(x * x + y * y + z * z + w * w)
    scale = -scale if w < 0.0 else scale
    return x * scale, y * scale, z * scale, w * scale
