# SPDX-License-Identifier: Apache-2.0
"""What a running node has to do with: its topics and services, as ROS sees them, and what files say of them."""

from __future__ import annotations

import json
import re
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
PANEL_TYPES = {
    "imageTopic": {"sensor_msgs/msg/Image"},
    "calibrationTopic": {"sensor_msgs/msg/CameraInfo"},
    "topicToRender": {"diagnostic_msgs/msg/DiagnosticArray"},
    # What a 3D panel draws.
    "topics": {"nav_msgs/msg/OccupancyGrid", "sensor_msgs/msg/PointCloud2", "nav_msgs/msg/Odometry"},
}
_PLOT = re.compile(r'(/\w+)\.status\[:\]\{name=="perception: (.+?)"\}\.values\[:\]\{key=="(.+?)"\}\.value')


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


@dataclass(frozen=True)
class Layout:
    """What a Foxglove or Lichtblick layout asks for.

    Attributes:
        panels: Ids of all panels that are configured.
        placed: Ids of those in the window.
        topics: (topic, types that its panel takes).
        plotted: (topic, component, key) of diagnostics that are drawn.
    """

    panels: set[str]
    placed: list[str]
    topics: list[tuple[str, set[str]]]
    plotted: list[tuple[str, str, str]]


def layout_of(file: Path) -> Layout:
    """Read a layout."""
    data = json.loads(file.read_text(encoding="utf-8"))
    topics: list[tuple[str, set[str]]] = []
    plotted = []
    for panel in data["configById"].values():
        for key, value in {**panel, **panel.get("imageMode", {})}.items():
            if key in PANEL_TYPES:
                topics += [
                    (topic, PANEL_TYPES[key]) for topic in ([value] if isinstance(value, str) else value)
                ]
        for path in panel.get("paths", ()):
            match = _PLOT.fullmatch(path["value"])
            assert match, path["value"]
            plotted.append((match[1], match[2], match[3]))
    return Layout(set(data["configById"]), list(_placed(data["layout"])), topics, plotted)


def _placed(place: Any) -> Iterator[str]:
    if isinstance(place, str):
        yield place
    else:
        assert place["direction"] in ("row", "column")
        for part in ("first", "second"):
            yield from _placed(place[part])
