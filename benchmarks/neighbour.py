# SPDX-License-Identifier: Apache-2.0
"""Whether a processor core is this process's alone, or shared with whoever runs on its other thread.

A core with two threads gives each of them some two thirds of its speed when both are busy, and a virtual machine does
not see who has the other one. So a small piece of work that keeps the arithmetic busy, and stays in the nearest cache,
is timed: with a neighbour it takes half again as long, or twice.
"""

from __future__ import annotations

import time

import numpy as np

SLOWER = 1.1
"""Times the quickest look from which the core is shared.

Of 80,000 single looks on an EPYC, each between two runs of a loop in C that keeps eight additions going at once: where
the loop took its shortest time, 99 of 100 stayed below; where it took a third longer, two of a thousand.
"""

_NUMBERS, _TIMES, _LOOKS = 2048, 8, 3


class Units:
    """Looks at how fast the arithmetic is just now."""

    def __init__(self) -> None:
        self._ones, self._out = np.ones(_NUMBERS, np.float32), np.empty(_NUMBERS, np.float32)

    def look(self) -> float:
        """Seconds for always the same work, some six millionths: the best of three, as the first must fetch it."""
        return min(self._once() for _ in range(_LOOKS))

    def _once(self) -> float:
        started = time.perf_counter()
        for _ in range(_TIMES):
            np.add(self._ones, self._ones, out=self._out)
        return time.perf_counter() - started
