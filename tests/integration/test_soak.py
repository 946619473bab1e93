# SPDX-License-Identifier: Apache-2.0
"""The short form of ``benchmarks/soak.py``: that it runs, hears every output, and would notice a leak."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from offroad_seg.bench.playing import Run
from offroad_seg.ontology import load_ontology
from tests.helpers.bundles import make_color_bundle


@pytest.mark.slow
def test_the_node_answers_all_the_time_with_every_output(repo_root, tmp_path):
    bundle = make_color_bundle(tmp_path / "bundle", load_ontology("ai4mars"), 60, 80)
    out = tmp_path / "soak.json"
    command = [sys.executable, "benchmarks/soak.py", str(bundle.path), "--seconds", "6", "--rate", "15"]
    command += ["--size", "160x120", "--out", str(out)]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, timeout=280)
    assert done.returncode in (0, 1), done.stderr  # 1: a few seconds say nothing about memory
    assert "MB an hour" in done.stdout
    report = json.loads(out.read_text())
    assert len(report["rows"]) == 10
    for row in report["rows"]:
        assert row["dropped"] < row["sent"]
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert row["resident_mb"] > 20
    assert all(count > 0 for count in report["received"].values()), report["received"]


def test_growth_is_that_of_a_straight_line_after_the_warm_up(repo_root, monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("soak", repo_root / "benchmarks/soak.py")
    soak = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(soak)
    clock = iter(np.arange(0.0, 110.0, 10.0))
    # Much at first, then 1 MB in each of seven steps of 10 s.
    memory = iter([100, 200, *range(250, 258)])

    class Player:
        pid, received = 1, {"costmap": 5}

        def __init__(self, *_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def play(self, rate_hz, seconds):
            return Run(rate_hz, [0.0, 1.0], {0: 0.01})

    monkeypatch.setattr(soak, "EveryOutput", Player)
    monkeypatch.setattr(soak, "resident_mb", lambda _pid: next(memory))
    monkeypatch.setattr(soak, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    result = soak.soak(tmp_path, 100.0, 30.0, 64, 48)
    assert result["growth_mb"] == pytest.approx(7.0)
    assert result["slope_mb_per_hour"] == pytest.approx(360.0)
    assert result["dropped_share"] == 0.5
