# SPDX-License-Identifier: Apache-2.0
"""Foxglove and Lichtblick layouts, as far as they name topics and keys: what a test can hold against what is there."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = "config/foxglove"
OF_NODE, OF_REPLAY, OF_VIEW = "offroad_seg.json", "offroad_seg_replay.json", "offroad_seg_view.json"
PANEL_TYPES = {
    "imageTopic": {"sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "foxglove.CompressedImage"},
    "calibrationTopic": {"sensor_msgs/msg/CameraInfo"},
    "topicToRender": {"diagnostic_msgs/msg/DiagnosticArray"},
    # What a 3D panel draws.
    "topics": {
        *("nav_msgs/msg/OccupancyGrid", "sensor_msgs/msg/PointCloud2", "nav_msgs/msg/Odometry"),
        *("foxglove.Grid", "foxglove.PointCloud"),
    },
}
_PLOT = re.compile(r'(/\w+)\.status\[:\]\{name=="(.+?)"\}\.values\[:\]\{key=="(.+?)"\}\.value')


@dataclass(frozen=True)
class Layout:
    """What a Foxglove or Lichtblick layout asks for.

    Attributes:
        panels: Id → configuration of all panels.
        placed: Ids of those in the window.
        topics: (topic, types that its panel takes).
        plotted: (topic, name of the status, key) of diagnostics that are drawn.
    """

    panels: dict[str, dict[str, Any]]
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
    return Layout(data["configById"], list(_placed(data["layout"])), topics, plotted)


def _placed(place: Any) -> Iterator[str]:
    if isinstance(place, str):
        yield place
    else:
        assert place["direction"] in ("row", "column")
        for part in ("first", "second"):
            yield from _placed(place[part])
