# SPDX-License-Identifier: Apache-2.0
"""Rates, percentiles and counts over the last seconds, for diagnostics."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque

import numpy as np

WINDOW_S = 10.0
_MAX_SAMPLES = 2000


class Statistics:
    """Counts and timings of the running node; safe to use from several threads.

    Rates and percentiles are over the last ``WINDOW_S`` seconds of the steady clock, counts since ``clear``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: dict[str, deque[float]] = {}
        self._samples: dict[str, deque[tuple[float, float]]] = {}
        self._dropped: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}
        self._totals: Counter[str] = Counter()

    def clear(self) -> None:
        """Start anew."""
        with self._lock:
            for kept in (self._events, self._samples, self._dropped, self._reasons, self._totals):
                kept.clear()

    def event(self, name: str) -> None:
        """Something happened (an image came in, a grid went out)."""
        with self._lock:
            self._events.setdefault(name, deque(maxlen=_MAX_SAMPLES)).append(time.monotonic())
            self._totals[name] += 1

    def sample(self, name: str, value: float) -> None:
        """A measured value, such as the milliseconds of a stage."""
        with self._lock:
            self._samples.setdefault(name, deque(maxlen=_MAX_SAMPLES)).append((time.monotonic(), value))

    def drop(self, cause: str, reason: str = "") -> None:
        """A frame, or its costmap, was dropped; ``reason`` is the latest in words."""
        with self._lock:
            self._dropped[cause] += 1
            if reason:
                self._reasons[cause] = reason

    def drops(self) -> dict[str, int]:
        """Cause → count."""
        with self._lock:
            return dict(self._dropped)

    def reasons(self) -> dict[str, str]:
        """Cause → the latest reason in words."""
        with self._lock:
            return dict(self._reasons)

    def totals(self) -> dict[str, int]:
        """Event → count."""
        with self._lock:
            return dict(self._totals)

    def rate(self, name: str) -> float:
        """Events a second over the window; 0 where there were fewer than two."""
        with self._lock:
            times = self._events.get(name, ())
            recent = [t for t in times if t > time.monotonic() - WINDOW_S]
        if len(recent) < 2 or recent[-1] <= recent[0]:
            return 0.0
        return (len(recent) - 1) / (recent[-1] - recent[0])

    def percentiles(self) -> dict[str, tuple[float, float]]:
        """Sample name → (p50, p99) over the window."""
        since = time.monotonic() - WINDOW_S
        with self._lock:
            recent = {name: [v for t, v in values if t > since] for name, values in self._samples.items()}
        return {
            name: (float(np.percentile(values, 50)), float(np.percentile(values, 99)))
            for name, values in recent.items()
            if values
        }
