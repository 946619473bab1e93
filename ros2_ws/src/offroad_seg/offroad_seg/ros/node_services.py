# SPDX-License-Identifier: Apache-2.0
"""What a configured life of the node uses of the node itself: time, words, health and publishers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from offroad_seg.ros.health import Health
    from offroad_seg.ros.statistics import Statistics


class NodeServices(Protocol):
    """The node, as session and cameras see it.

    Attributes:
        health: What is wrong, by component.
        statistics: Rates, times and counts.
    """

    health: Health
    statistics: Statistics

    def now_ns(self) -> int:
        """ROS time in nanoseconds; 0 while simulated time has not begun."""

    def now_s(self) -> float:
        """The time that watchdogs go by, s."""

    def warn(self, cause: str, text: str, *, error: Exception | None = None) -> None:
        """Log a warning, at most one in some seconds for each cause."""

    def publish_diagnostics(self) -> None:
        """Tell how things are, now."""

    def get_logger(self) -> Any:
        """As ``rclpy.node.Node``. Outputs take the node for one, too: they make their publishers with it."""
