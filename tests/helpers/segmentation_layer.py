# SPDX-License-Identifier: Apache-2.0
"""What Nav2's semantic_segmentation_layer does with our topics, by its documentation and source, as far as it matters here.

Rules: class names in ``label_info`` must stand in the layer's parameters; publishers must match its subscriptions
(sensor data: best effort, volatile; names: reliable, transient local); labels, confidence and cloud belong together
if their stamps differ by no more than 0.1 s (or not at all, without approximate sync); the three have one size; a
point whose z is not finite is passed over; one pixel a tile counts, by the greatest ``max_cost``; a tile's cost is
its class's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rclpy.qos import DurabilityPolicy, QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible

if TYPE_CHECKING:
    from rclpy.node import Node

SENSOR_DATA = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
NAMES = QoSProfile(
    depth=5, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
MAX_INTERVAL_S = 0.1


@dataclass(frozen=True)
class Tile:
    """A cell of the layer, in the frame of the points that were given."""

    label: int
    cost: int


class SegmentationLayer:
    """One source of the layer.

    Args:
        parameters: The layer's part of a Nav2 parameter file (``…ros__parameters.segmentation``).
        resolution: Of its costmap, m.
    """

    def __init__(self, parameters: dict[str, Any], resolution: float) -> None:
        self.source = parameters[parameters["observation_sources"]]
        self.exact = not parameters["use_approximate_time_sync"]
        self.resolution = resolution
        self.cost_of_name: dict[str, int] = {}
        for kind in self.source["class_types"]:
            for name in self.source[kind]["classes"]:
                self.cost_of_name[name] = self.source[kind]["max_cost"]
        self.cost_of_id: dict[int, int] = {}
        self.not_defined: list[str] = []

    def topics(self) -> dict[str, QoSProfile]:
        """Topic → the QoS that the layer asks for."""
        s = self.source
        sensor = {s[k]: SENSOR_DATA for k in ("segmentation_topic", "confidence_topic", "pointcloud_topic")}
        return {**sensor, s["labels_topic"]: NAMES}

    def unmatched(self, node: Node) -> list[str]:
        """Topics without a publisher that DDS would connect with the layer's subscription."""
        bad = []
        for topic, asked in self.topics().items():
            offered = [p.qos_profile for p in node.get_publishers_info_by_topic(topic)]
            if not any(qos_check_compatible(p, asked)[0] != QoSCompatibility.ERROR for p in offered):
                bad.append(topic)
        return bad

    def take_names(self, message: Any) -> None:
        self.cost_of_id = {}
        for entry in message.class_map:
            if entry.class_name in self.cost_of_name:
                self.cost_of_id[entry.class_id] = self.cost_of_name[entry.class_name]
            else:
                self.not_defined.append(entry.class_name)

    def synchronized(self, *messages: Any) -> bool:
        stamps = [m.header.stamp.sec + 1e-9 * m.header.stamp.nanosec for m in messages]
        return max(stamps) - min(stamps) <= (0.0 if self.exact else MAX_INTERVAL_S)

    def tiles(self, labels: Any, confidence: Any, cloud: Any) -> dict[tuple[int, int], Tile]:
        """The tiles that one triple marks; points in the frame of the cloud turned z up by the caller's choice."""
        assert self.synchronized(labels, confidence, cloud)
        assert (labels.width, labels.height) == (confidence.width, confidence.height)
        assert labels.encoding == confidence.encoding == "mono8"
        # The layer walks over labels and cloud side by side, by width × height of the labels.
        assert cloud.width * cloud.height == labels.width * labels.height
        offsets = {f.name: f.offset for f in cloud.fields}
        raw = np.frombuffer(cloud.data, np.uint8).reshape(-1, cloud.point_step)
        xyz = np.stack([raw[:, offsets[a] : offsets[a] + 4].copy().view("<f4")[:, 0] for a in "xyz"], axis=1)
        best: dict[tuple[int, int], Tile] = {}
        for label, (x, _, z) in zip(labels.data, xyz.tolist(), strict=True):
            if not math.isfinite(z):
                continue
            distance = math.sqrt(x * x + z * z)
            if not self.source["min_obstacle_distance"] < distance < self.source["max_obstacle_distance"]:
                continue
            if label not in self.cost_of_id:
                continue
            key = (math.floor(z / self.resolution), math.floor(x / self.resolution))
            tile = Tile(label, self.cost_of_id[label])
            if key not in best or tile.cost > best[key].cost:
                best[key] = tile
        return best
