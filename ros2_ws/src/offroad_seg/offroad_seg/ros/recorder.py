# SPDX-License-Identifier: Apache-2.0
"""Collects what the node answers, frame by frame, for ``replay --via-ros``."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import OccupancyGrid
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from offroad_seg.replay.grid_message import costmap_of
from offroad_seg.ros.rules import plain_name
from offroad_seg.sensor_messages import stamp_ns
from offroad_seg.types import Perception, Segmentation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from rclpy.node import Node

QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=20, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=20,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


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

    def put(self, name: str, message: Any) -> None:
        """An output came; the first of each counts."""
        if name not in self.messages:
            self.after_ms[name] = 1e3 * (time.monotonic() - self.sent_s)
            self.messages[name] = message

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
        costmap = costmap_of(self.messages["costmap"], "costmap") if "costmap" in self.messages else None
        timings = {"total": self.after_ms["labels"]}
        if costmap is not None:
            timings["costmap"] = self.after_ms["costmap"]
        return Perception(segmentation, None, costmap, timings, "" if costmap else reason)


class Recorder:
    """Subscribes to the node's outputs.

    Args:
        node: Makes the subscriptions.
        namespace: The node's namespace.
        prefixes: Camera → what stands before its topics' names.

    Attributes:
        answers: Camera and stamp of an image → what came for it; filled by whoever publishes images, emptied by whoever
            takes the results.
        diagnostics: Component → key → value of the latest diagnostics.
    """

    def __init__(self, node: Node, namespace: str, prefixes: Mapping[str, str]) -> None:
        self.answers: dict[tuple[str, int], Answer] = {}
        self.diagnostics: dict[str, dict[str, str]] = {}
        self._several = len(prefixes) > 1
        for camera, prefix in prefixes.items():
            for name in ("labels", "confidence"):
                topic = f"/{namespace}/{prefix}{name}"
                node.create_subscription(Image, topic, lambda m, c=camera, n=name: self._take(c, n, m), QOS)
        node.create_subscription(OccupancyGrid, f"/{namespace}/costmap", self._take_costmap, LATCHED)
        node.create_subscription(DiagnosticArray, f"/{namespace}/diagnostics", self._diagnose, QOS)

    def drops(self, camera: str = "") -> dict[str, int]:
        """What the node says that it dropped, by cause; of one of several cameras, or of all."""
        found: Counter[str] = Counter()
        for key, value in self._told(camera):
            if not key.endswith(".reason"):
                found[key] += int(value)
        return dict(found)

    def reasons(self, camera: str = "") -> dict[str, str]:
        """Cause → the node's latest reason in words."""
        return {
            key.removesuffix(".reason"): value for key, value in self._told(camera) if key.endswith(".reason")
        }

    def _told(self, camera: str) -> Iterator[tuple[str, str]]:
        for component, values in self.diagnostics.items():
            # Each of several cameras tells of all that became of its frames; the rest says it again, added up.
            wanted = f"camera {plain_name(camera)}" if camera else "camera "
            if self._several and component != wanted and (camera or not component.startswith(wanted)):
                continue
            yield from (
                (key.removeprefix("dropped."), value)
                for key, value in values.items()
                if key.startswith("dropped.")
            )

    def _take(self, camera: str, name: str, message: Any) -> None:
        answer = self.answers.get((camera, stamp_ns(message.header)))
        if answer is not None:
            answer.put(name, message)

    def _take_costmap(self, message: Any) -> None:
        # Cameras may share a stamp; the node publishes a frame's labels before the costmap that it gave.
        stamp = stamp_ns(message.header)
        waiting = [a for (_, s), a in self.answers.items() if s == stamp and not a.has_costmap()]
        if waiting:
            next((a for a in waiting if a.has_labels()), waiting[0]).put("costmap", message)

    def _diagnose(self, message: DiagnosticArray) -> None:
        for status in message.status:
            component = status.name.partition(": ")[2] or status.name
            self.diagnostics[component] = {pair.key: pair.value for pair in status.values}


def _pixels(message: Any) -> NDArray[np.uint8]:
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    pixels: NDArray[np.uint8] = rows[:, : message.width]
    return pixels
