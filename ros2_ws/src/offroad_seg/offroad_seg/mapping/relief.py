# SPDX-License-Identifier: Apache-2.0
"""How much the ground here rises and falls against the plane that the vehicle stands on, from where it has driven."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.transforms import Transform

    F64 = NDArray[np.float64]

STEP_M = 0.5
"""Metres between two looks back."""
NEAR_M, FAR_M = 3.0, 10.0
"""Metres ahead at which a plane of the past is held against where the vehicle then came: there it matters."""
_KEPT = 40
_FIRST_M, _MEMORY_M = 20.0, 100.0
# A drive of a hundred metres crosses a dozen rises and hollows, from which a standard deviation is known to a fifth.
# Of slopes in rolling ground one in twenty is beyond 2.2 of them, and a foot is looked for within 1.5 (``FootRange``).
MARGIN = 1.2 * 2.2 / 1.5


class Relief:
    """The slope up to a foot that the driven ground bears out, between two bounds.

    Every half metre the vehicle's place is held against the planes on which it stood 3 to 10 m before: how far it is
    above or below them, over the distance, is what the plane was wrong by there, be it for the ground or because the
    plane does not follow the vehicle well. The root of the mean square, times ``MARGIN``, is the answer. It begins as
    ``most``, which counts as if it had been found on 20 m. After 100 m, all has faded to 37 %.

    What is exactly on the plane says nothing: such is a planar odometry, which knows neither heights nor tilt. Nor does
    what is steeper than 45°: no vehicle has driven there, the odometry has jumped.

    Args:
        least: Degrees, the lower bound.
        most: Degrees, the upper bound, and the beginning; at or below ``least`` it is always the answer.
    """

    def __init__(self, least: float, most: float) -> None:
        self._least, self._most = least, most
        self._places_K6: F64 = np.zeros((_KEPT, 6))
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._kept = 0
        self._metres = _FIRST_M
        self._squares = _FIRST_M * (math.tan(math.radians(self._most)) / MARGIN) ** 2
        self.slope = self._most
        """Degrees, one standard deviation."""

    def update(self, odom_T_base: Transform, ground_up_3: F64 | None) -> float:
        """Learn from where the vehicle is.

        Args:
            odom_T_base: Its pose.
            ground_up_3: The unit normal of the plane that it stands on, in odom; None is the vertical.

        Returns:
            ``slope``.
        """
        if self._most <= self._least:
            return self.slope
        x, y, z = odom_T_base.translation_3.tolist()
        if self._kept:
            last_x, last_y = self._places_K6[(self._kept - 1) % _KEPT, :2].tolist()
            moved = math.hypot(x - last_x, y - last_y)
            if moved < STEP_M:
                return self.slope
            if moved > FAR_M:  # the odometry began anew
                self._kept = 0
            else:
                self._look_back((x, y, z), moved)
        up_3 = (0.0, 0.0, 1.0) if ground_up_3 is None else ground_up_3
        self._places_K6[self._kept % _KEPT, :3] = x, y, z
        self._places_K6[self._kept % _KEPT, 3:] = up_3
        self._kept += 1
        return self.slope

    def _look_back(self, here: tuple[float, float, float], moved: float) -> None:
        places_K6 = self._places_K6[: min(self._kept, _KEPT)]
        way_K3 = np.asarray(here) - places_K6[:, :3]
        far_K = np.hypot(way_K3[:, 0], way_K3[:, 1])
        held_K = (far_K >= NEAR_M) & (far_K <= FAR_M)
        slope_K = (way_K3[held_K] * places_K6[held_K, 3:]).sum(axis=1) / far_K[held_K]
        size_K = np.abs(slope_K)
        slope_K = slope_K[(size_K > 0.0) & (size_K < 1.0)]
        if not slope_K.size:
            return
        kept = math.exp(-moved / _MEMORY_M)
        self._metres = kept * self._metres + moved
        self._squares = kept * self._squares + moved * float(np.mean(slope_K * slope_K))
        found = math.atan(MARGIN * math.sqrt(self._squares / self._metres))
        self.slope = min(max(math.degrees(found), self._least), self._most)
