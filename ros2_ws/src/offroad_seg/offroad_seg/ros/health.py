# SPDX-License-Identifier: Apache-2.0
"""What is wrong right now, in words: conditions that are raised and cleared, and the level that they make."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import IntEnum


class Level(IntEnum):
    """diagnostic_msgs/DiagnosticStatus levels."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass
class _Component:
    conditions: dict[str, tuple[Level, str]] = field(default_factory=dict)


class Health:
    """Conditions by component (``camera``, ``inference``, ``costmap``, ``node``); safe to use from two threads."""

    def __init__(self, components: tuple[str, ...]) -> None:
        self._lock = threading.Lock()
        self._components = {name: _Component() for name in components}

    def set(self, component: str, condition: str, level: Level, message: str) -> bool:
        """A condition holds; True if it is new, or was of another level."""
        with self._lock:
            conditions = self._components[component].conditions
            is_new = condition not in conditions or conditions[condition][0] != level
            conditions[condition] = (level, message)
            return is_new

    def clear(self, component: str, *conditions: str) -> bool:
        """Conditions hold no more (none named = all of them); True if one did."""
        with self._lock:
            held = self._components[component].conditions
            gone = [name for name in (conditions or tuple(held)) if held.pop(name, None) is not None]
            return bool(gone)

    def summary(self, component: str) -> tuple[Level, str]:
        """Worst level, and all messages, the worst first."""
        with self._lock:
            held = sorted(self._components[component].conditions.values(), key=lambda c: -c[0])
        if not held:
            return Level.OK, "ok"
        return held[0][0], "; ".join(message for _, message in held)
