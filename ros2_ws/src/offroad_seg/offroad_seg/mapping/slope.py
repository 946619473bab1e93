# SPDX-License-Identifier: Apache-2.0
"""Which part of the vehicle's tilt is the ground's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.transforms import Transform

    F64 = NDArray[np.float64]


class GroundSlope:
    """The ground's normal, from the vehicle's attitude over time.

    A vehicle leans because the ground does, which lasts, and because it bounces and brakes, which does not. The
    normal is the base frame's z axis, smoothed over ``slope_time``. It begins as the vertical.

    Args:
        slope_time: Seconds. 0: the ground is always the base frame's own plane. Infinite: always horizontal.

    Raises:
        InputError: It is negative or not a number.
    """

    def __init__(self, slope_time: float) -> None:
        if not slope_time >= 0.0:
            raise InputError(
                f"slope_time is {slope_time!r}", where="slope_time", mend="give 0 or more seconds, or .inf"
            )
        self._slope_time = slope_time
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._up_3: F64 = np.array([0.0, 0.0, 1.0])
        self._stamp_ns: int | None = None

    def update(self, odom_T_base: Transform, stamp_ns: int) -> F64:
        """The ground's unit normal in odom at a stamp; stamps do not run back."""
        if self._slope_time == 0.0:
            self._up_3 = odom_T_base.rotation_33[:, 2].copy()
        elif self._stamp_ns is not None and math.isfinite(self._slope_time):
            share = 1.0 - math.exp(-(stamp_ns - self._stamp_ns) * 1e-9 / self._slope_time)
            (a, b, c), (d, e, f) = self._up_3.tolist(), odom_T_base.rotation_33[:, 2].tolist()
            kept = 1.0 - share
            x, y, z = kept * a + share * d, kept * b + share * e, kept * c + share * f
            norm = math.sqrt(x * x + y * y + z * z)
            self._up_3 = np.array((x / norm, y / norm, z / norm))
        self._stamp_ns = stamp_ns
        return self._up_3
