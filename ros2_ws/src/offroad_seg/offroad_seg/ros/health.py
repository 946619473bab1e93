# SPDX-License-Identifier: Apache-2.0
"""What is wrong right now, in words: conditions that are raised and cleared, and the level that they make."""

from __future__ import annotations

import threading
from enum import IntEnum


class Level(IntEnum):
    """diagnostic_msgs/DiagnosticStatus levels."""

    OK = 0
    WARN = 1
    ERROR = 2


class Health:
    """Conditions by component (``camera``, ``inference``, ``costmap``, ``node``); safe to use from two threads.

    A condition belongs to an owner: one of several cameras, or nobody. The owner's name stands before its message.
    """

    def __init__(self, components: tuple[str, ...]) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, dict[tuple[str, str], tuple[Level, str]]] = {name: {} for name in components}

    @property
    def components(self) -> tuple[str, ...]:
        """In the order in which they are told."""
        with self._lock:
            return tuple(self._held)

    def set_components(self, components: tuple[str, ...]) -> None:
        """Have these from now on; what holds in those that stay, stays."""
        with self._lock:
            self._held = {name: self._held.get(name, {}) for name in components}

    def set(self, component: str, condition: str, level: Level, message: str, owner: str = "") -> bool:
        """A condition holds; True if it is new, or was of another level."""
        with self._lock:
            held = self._held[component]
            key = (owner, condition)
            is_new = key not in held or held[key][0] != level
            held[key] = (level, f"{owner}: {message}" if owner else message)
            return is_new

    def clear(self, component: str, *conditions: str, owner: str = "") -> bool:
        """Conditions of an owner hold no more (none named = all of them); True if one did."""
        with self._lock:
            held = self._held[component]
            keys = [(owner, c) for c in conditions] if conditions else [k for k in held if k[0] == owner]
            gone = [key for key in keys if held.pop(key, None) is not None]
            return bool(gone)

    def summary(self, component: str) -> tuple[Level, str]:
        """Worst level, and all messages, the worst first."""
        with self._lock:
            held = sorted(self._held[component].values(), key=lambda c: -c[0])
        if not held:
            return Level.OK, "ok"
        return held[0][0], "; ".join(message for _, message in held)
