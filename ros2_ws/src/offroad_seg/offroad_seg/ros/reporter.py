# SPDX-License-Identifier: Apache-2.0
"""How one camera's doings come into diagnostics and the log: once for all cameras, and once under its own name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offroad_seg.ros.health import Level
from offroad_seg.ros.statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from offroad_seg.ros.health import Health


class Reporter:
    """Counts, measures and tells what happens to one camera's frames; safe to use from two threads.

    Args:
        health: The node's.
        statistics: The node's, for all cameras together.
        warn: Logs a warning, at most one in some seconds for each cause.
        word: The camera's plain name; empty where there is one camera only.

    Attributes:
        own: This camera's statistics; the node's where there is one camera only.
        component: What it is called in diagnostics.
    """

    def __init__(
        self, health: Health, statistics: Statistics, warn: Callable[[str, str], None], word: str = ""
    ) -> None:
        self._health, self._warn, self._word = health, warn, word
        self.own = Statistics() if word else statistics
        self._all = (statistics, self.own) if word else (statistics,)
        self.component = f"camera {word}" if word else "camera"

    def event(self, name: str) -> None:
        """Something happened."""
        for statistics in self._all:
            statistics.event(name)

    def sample(self, name: str, value: float) -> None:
        """A measured value."""
        for statistics in self._all:
            statistics.sample(name, value)

    def count(self, cause: str, reason: str = "") -> None:
        """A frame, or its costmap, was dropped, and that is nothing bad."""
        for statistics in self._all:
            statistics.drop(cause, reason)

    def drop(self, component: str, cause: str, reason: str, level: Level = Level.WARN) -> None:
        """A frame, or its costmap, was dropped for a reason that somebody should mend."""
        self.count(cause, reason)
        self.set(component, cause, level, reason)
        who = self._word or component
        self._warn(f"{cause} {who}", f"{who}: {reason}")

    def set(self, component: str, cause: str, level: Level, text: str) -> bool:
        """A condition holds; True if it is new, or was of another level."""
        owner = "" if component == "camera" else self._word
        return self._health.set(self._name(component), cause, level, text, owner)

    def clear(self, component: str, *causes: str) -> None:
        """Conditions of this camera hold no more; none named = all of them."""
        owner = "" if component == "camera" else self._word
        self._health.clear(self._name(component), *causes, owner=owner)
        if owner and component == "inference":
            self._health.clear(
                component, *causes
            )  # the network is everybody's: what failed before works again

    def _name(self, component: str) -> str:
        return self.component if component == "camera" else component
