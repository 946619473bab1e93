# SPDX-License-Identifier: Apache-2.0
"""The whole chain at its smallest: every step of the demo by its own command, with the real node over DDS."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from offroad_seg.bundle import Bundle

pytest.importorskip("rclpy", reason="the demo plays its bag through the real node: rclpy is not installed")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_ends_in_a_report(tmp_path):
    out = tmp_path / "demo"
    small = ["--images", "12", "--held-out", "4", "--seconds", "2", "--epochs", "2"]
    command = [sys.executable, "-m", "offroad_seg.cli.main", "demo", "--out", str(out), *small]
    done = subprocess.run(command, capture_output=True, text=True, timeout=880)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert str(out / "report.html") in done.stdout
    for step in ("synth", "train", "export", "compile", "evaluate", "replay"):
        assert f"$ offroad-seg {step} " in done.stdout

    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["mode"] == "via_ros"
    assert metrics["frames"] == 12
    assert metrics["frames_dropped"] == 0
    assert metrics["costmap_frames"] == 12
    assert 0.0 < metrics["miou_present"] < 1.0
    assert metrics["costmap"]["frames"] == 12
    assert metrics["settings"]["projection"] == "depth"
    assert metrics["bag"]["topics"]["depth"] == "/camera/depth"
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "http://" not in report.replace("http://www.w3.org/", "")
    assert Bundle.load(out / "bundle").manifest.backend == "onnxruntime"
    assert (out / "bag").is_dir()

    again = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert again.returncode == 2
    assert "not empty" in again.stderr
