# SPDX-License-Identifier: Apache-2.0
"""Which image stamps may be used: not too old, not from the future, in order, and what it means if time runs back."""

from __future__ import annotations

from enum import Enum

# Steps back that are smaller are single late frames; larger ones are a bag that starts again.
_JUMP_NS = 1_000_000_000


class Order(Enum):
    """How a stamp follows the one before."""

    NEXT = "next"
    LATE = "out_of_order"
    TIME_RAN_BACK = "time_ran_back"


class StampGuard:
    """Follows the stamps of one camera."""

    def __init__(self) -> None:
        self._last_ns: int | None = None

    def reset(self) -> None:
        """Accept any stamp next."""
        self._last_ns = None

    def order(self, stamp_ns: int) -> Order:
        """Judge a stamp against the newest one so far, and remember it unless it is late."""
        last = self._last_ns
        if last is not None and stamp_ns <= last - _JUMP_NS:
            self._last_ns = stamp_ns
            return Order.TIME_RAN_BACK
        if last is not None and stamp_ns <= last:
            return Order.LATE
        self._last_ns = stamp_ns
        return Order.NEXT


def age_problem(stamp_ns: int, now_ns: int, max_age_s: float) -> tuple[str, str] | None:
    """Why a frame of this stamp must not be used now: (cause, reason), or None. ``max_age_s`` 0 = any age."""
    age_s = (now_ns - stamp_ns) / 1e9
    if max_age_s > 0 and age_s > max_age_s:
        return "too_old", f"the frame is {age_s:.3f} s old, max_age is {max_age_s:g} s"
    if max_age_s > 0 and age_s < -max_age_s:
        return "from_future", f"the frame's stamp is {-age_s:.3f} s ahead of the node's clock"
    return None
