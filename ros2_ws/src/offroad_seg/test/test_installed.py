# SPDX-License-Identifier: Apache-2.0
"""For `colcon test`: the package as it was built here is whole, and its node starts, says what is missing and ends.

Run on the vehicle after `colcon build`. The tests of what it does are those of the repository.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml

from offroad_seg.camera import CameraModel
from offroad_seg.mapping.settings import PipelineSettings
from offroad_seg.ontology import load_ontology
from offroad_seg.resources import find
from offroad_seg.ros.settings import RULES


def test_every_command_is_there() -> None:
    """Entry points load: their modules and what they import are installed."""
    found = {entry.name: entry.load() for entry in entry_points(group="offroad_seg.commands")}
    assert {"bench", "compile", "doctor", "inspect", "node", "replay"} <= found.keys()


def test_configuration_is_installed_and_is_that_of_this_version() -> None:
    """No parameter in the file that the node does not know."""
    given = yaml.safe_load(Path(find("config/perception.yaml")).read_text(encoding="utf-8"))
    names = set(_names(given["/**"]["ros__parameters"]))
    assert names <= set(RULES) | {"use_sim_time"}
    assert {"bundle", "camera_mount.z", "costmap.resolution", "attitude"} <= set(RULES)
    for folder in ("nav2", "rviz", "dds", "sros2", "ontologies"):
        assert any(Path(find(f"config/{folder}")).iterdir()), folder


def _names(part: dict[str, object], prefix: str = "") -> list[str]:
    found = []
    for name, value in part.items():
        found += _names(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"]
    return found


def test_the_mapping_works_on_the_libraries_of_this_machine() -> None:
    """Numpy, SciPy and OpenCV of the distribution: a plain view of the ground."""
    import numpy as np

    from offroad_seg.transforms import camera_mount
    from offroad_seg.types import Segmentation

    ontology, camera = load_ontology("duality_desert"), CameraModel.pinhole(160, 90, 120.0)
    labels = np.full((90, 160), ontology.id_of("Landscape"), np.uint8)
    segmentation = Segmentation(labels, np.full_like(labels, 255), 0, "camera", 1.0)
    mount = camera_mount(0.0, 0.0, 1.2, 0.0, 0.3, 0.0)
    observation = PipelineSettings().projector(ontology).project(segmentation, camera, mount)
    assert (observation.labels_HW == ontology.id_of("Landscape")).sum() > 1000


def test_the_node_says_what_is_missing_and_ends(tmp_path: Path) -> None:
    """Without a bundle it lives, says so, and ends when it is told to."""
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    log = tmp_path / "log"
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "offroad_seg.ros.main"], stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        for _ in range(300):
            if "no bundle is given" in log.read_text(encoding="utf-8") or process.poll() is not None:
                break
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0, log.read_text(encoding="utf-8")
    finally:
        process.kill()
        process.wait(10)
    assert "no bundle is given" in log.read_text(encoding="utf-8")
