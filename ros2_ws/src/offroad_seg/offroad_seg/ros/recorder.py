# SPDX-License-Identifier: Apache-2.0
"""Collects what the node answers, frame by frame, for ``replay --via-ros``."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import OccupancyGrid
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from offroad_seg.sensor_messages import stamp_ns
from offroad_seg.types import Costmap, GridSpec, Perception, Segmentation

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rclpy.node import Node

QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=20, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=20,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
OUTPUTS = ("labels", "confidence", "costmap")


@dataclass
class Answer:
    """What came for one image.

    Attributes:
        sent_s: When the image was published (steady clock).
        messages: Output → message.
        after_ms: Output → milliseconds from publishing the image to receiving it.
    """

    sent_s: float
    messages: dict[str, Any] = field(default_factory=dict)
    after_ms: dict[str, float] = field(default_factory=dict)

    def has_labels(self) -> bool:
        """Whether labels and confidence are there."""
        return "labels" in self.messages and "confidence" in self.messages

    def has_costmap(self) -> bool:
        """Whether the costmap is there."""
        return "costmap" in self.messages

    def perception(self, reason: str) -> Perception:
        """As the pipeline would give it; ``total`` is the time to the labels, ``costmap`` to the grid.

        Args:
            reason: Why there is no costmap, where there is none.
        """
        labels = self.messages["labels"]
        confidence_HW = _pixels(self.messages["confidence"])
        segmentation = Segmentation(
            labels_HW=_pixels(labels),
            confidence_HW=confidence_HW,
            stamp_ns=stamp_ns(labels.header),
            frame_id=labels.header.frame_id,
            mean_confidence=float(confidence_HW.mean()) / 255.0,
        )
        costmap = _costmap(self.messages["costmap"]) if "costmap" in self.messages else None
        timings = {"total": self.after_ms["labels"]}
        if costmap is not None:
            timings["costmap"] = self.after_ms["costmap"]
        return Perception(segmentation, None, costmap, timings, "" if costmap else reason)


class Recorder:
    """Subscribes to the node's outputs.

    Args:
        node: Makes the subscriptions.
        namespace: The node's namespace.

    Attributes:
        answers: Stamp of an image → what came for it; filled by whoever publishes images, emptied by whoever
            takes the results.
        diagnostics: Component → key → value of the latest diagnostics.
    """

    def __init__(self, node: Node, namespace: str) -> None:
        self.answers: dict[int, Answer] = {}
        self.diagnostics: dict[str, dict[str, str]] = {}
        for name, kind, qos in (
            ("labels", Image, QOS),
            ("confidence", Image, QOS),
            ("costmap", OccupancyGrid, LATCHED),
        ):
            topic = f"/{namespace}/{name}"
            node.create_subscription(kind, topic, lambda m, n=name: self._take(n, m), qos)
        node.create_subscription(DiagnosticArray, f"/{namespace}/diagnostics", self._diagnose, QOS)

    def drops(self) -> dict[str, int]:
        """What the node says that it dropped, by cause."""
        return {
            key.removeprefix("dropped."): int(value)
            for values in self.diagnostics.values()
            for key, value in values.items()
            if key.startswith("dropped.") and not key.endswith(".reason")
        }

    def reasons(self) -> dict[str, str]:
        """Cause → the node's latest reason in words."""
        return {
            key.removeprefix("dropped.").removesuffix(".reason"): value
            for values in self.diagnostics.values()
            for key, value in values.items()
            if key.startswith("dropped.") and key.endswith(".reason")
        }

    def _take(self, name: str, message: Any) -> None:
        answer = self.answers.get(stamp_ns(message.header))
        if answer is not None and name not in answer.messages:
            answer.after_ms[name] = 1e3 * (time.monotonic() - answer.sent_s)
            answer.messages[name] = message

    def _diagnose(self, message: DiagnosticArray) -> None:
        for status in message.status:
            component = status.name.partition(": ")[2] or status.name
            self.diagnostics[component] = {pair.key: pair.value for pair in status.values}


def _pixels(message: Any) -> NDArray[np.uint8]:
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    pixels: NDArray[np.uint8] = rows[:, : message.width]
    return pixels


def _costmap(message: Any) -> Costmap:
    info = message.info
    grid = GridSpec(
        int(info.width),
        int(info.height),
        # float32 on the wire: 0.1 comes back as 0.10000000149.
        round(float(info.resolution), 6),
        float(info.origin.position.x),
        float(info.origin.position.y),
    )
    cost_HW = np.frombuffer(message.data, np.int8).reshape(grid.height, grid.width)
    return Costmap(cost_HW, grid, message.header.frame_id, stamp_ns(message.header))
