# SPDX-License-Identifier: Apache-2.0
"""The RViz set-up's window: without a place for each, RViz stacks all panels and leaves a strip for the map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture
def setup(repo_root: Path) -> dict[str, Any]:
    return yaml.safe_load((repo_root / "config/rviz/offroad_seg.rviz").read_text(encoding="utf-8"))


def displays(setup: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    found = setup["Visualization Manager"]["Displays"]
    return {d["Name"]: d for d in found if d["Class"] == f"rviz_default_plugins/{kind}"}


def test_every_panel_and_every_image_has_its_place(setup: dict[str, Any]) -> None:
    window = setup["Window Geometry"]
    # As Qt's saveState wrote it: names in UTF-16.
    state = bytes.fromhex(window["QMainWindow State"])
    docked = [panel["Name"] for panel in setup["Panels"]] + list(displays(setup, "Image"))
    assert len(docked) >= 5
    for name in docked:
        assert name.encode("utf-16-be") in state, name
        assert window[name] == {"collapsed": False}
    # RViz 14.1 reads memory that nobody has set where these are left out.
    assert (window["Hide Left Dock"], window["Hide Right Dock"]) == (False, False)


def test_a_class_keeps_its_colour_from_frame_to_frame(setup: dict[str, Any]) -> None:
    (points,) = displays(setup, "PointCloud2").values()
    assert points["Channel Name"] == "label"
    assert points["Autocompute Intensity Bounds"] is False
    assert points["Min Intensity"] < points["Max Intensity"]
