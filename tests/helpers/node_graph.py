# SPDX-License-Identifier: Apache-2.0
"""What a running node has to do with: its topics and services, as ROS sees them, and what files say of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import yaml
from rclpy.node import NodeNameNonExistentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RVIZ_TYPES = {
    "Map": "nav_msgs/msg/OccupancyGrid",
    "Image": "sensor_msgs/msg/Image",
    "PointCloud2": "sensor_msgs/msg/PointCloud2",
    "Odometry": "nav_msgs/msg/Odometry",
}


@dataclass(frozen=True)
class Graph:
    """Topic or service → type."""

    publishes: dict[str, str]
    subscribes: dict[str, str]
    serves: dict[str, str]
    calls: dict[str, str]


def graph_of(node: Any, namespace: str = "") -> Graph:
    """The graph of the node ``perception``, asked through another one; names are told as if it had no namespace."""
    ask = ("publisher", "subscriber", "service", "client")
    try:
        found = [
            getattr(node, f"get_{kind}_names_and_types_by_node")("perception", namespace or "/")
            for kind in ask
        ]
    except NodeNameNonExistentError:
        found = [[], [], [], []]
    return Graph(*({topic.removeprefix(namespace): types[0] for topic, types in pairs} for pairs in found))


def policy_of(file: Path, enclave: str) -> dict[str, set[str]]:
    """``topics publish``, ``topics subscribe``, ``services reply`` … → full names that an enclave allows.

    Names are completed as ``ros2 security`` does: ``~`` is the node, what has no slash in front lies in its namespace.
    """
    root = ET.parse(file).getroot()
    (profile,) = root.findall(f"./enclaves/enclave[@path='{enclave}']/profiles/profile")
    namespace = profile.attrib["ns"].rstrip("/")
    allowed: dict[str, set[str]] = {}
    for part in profile:
        ((verb, qualifier),) = part.attrib.items()
        assert qualifier == "ALLOW"
        names = [str(entry.text) for entry in part]
        assert len(names) == len(set(names))
        for name in names:
            full = name if name.startswith("/") else f"{namespace}/{name}"
            own = f"{namespace}/{profile.attrib['node']}"
            allowed.setdefault(f"{part.tag} {verb}", set()).add(
                own + name[1:] if name.startswith("~") else full
            )
    return allowed


def rviz_topics(file: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(topic, type, its QoS as RViz has it) of every display that has a topic."""
    for display in yaml.safe_load(file.read_text(encoding="utf-8"))["Visualization Manager"]["Displays"]:
        kind = display["Class"].removeprefix("rviz_default_plugins/")
        if "Topic" in display:
            yield display["Topic"]["Value"], RVIZ_TYPES[kind], display["Topic"]
