# SPDX-License-Identifier: Apache-2.0
"""Notices that something which should keep coming has stopped."""

from __future__ import annotations

import threading


class Watchdog:
    """Dead after some time without ``feed``. The caller gives the time, so that any clock will do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_s: float | None = None
        self._dead = False

    def start(self, now_s: float) -> None:
        """Begin to watch: the first feed is due within the timeout."""
        with self._lock:
            self._last_s, self._dead = now_s, False

    def stop(self) -> None:
        """Watch no more."""
        with self._lock:
            self._last_s, self._dead = None, False

    def feed(self, now_s: float) -> None:
        """It is alive; begins to watch if it did not."""
        with self._lock:
            self._last_s, self._dead = now_s, False

    def silence_s(self, now_s: float) -> float:
        """Seconds since the last feed; 0 while it does not watch."""
        with self._lock:
            return 0.0 if self._last_s is None else max(0.0, now_s - self._last_s)

    @property
    def dead(self) -> bool:
        """Whether ``expired`` has said so and nothing was fed since."""
        with self._lock:
            return self._dead

    def expired(self, now_s: float, timeout_s: float) -> bool:
        """True once for each time that it dies: silent for more than ``timeout_s``."""
        with self._lock:
            if self._last_s is None or self._dead:
                return False
            # The clock ran back, or simulated time stood at 0 and has only now begun: begin anew.
            if now_s < self._last_s or self._last_s <= 0.0:
                self._last_s = now_s
            self._dead = now_s - self._last_s > timeout_s
            return self._dead
