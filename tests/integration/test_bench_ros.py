# SPDX-License-Identifier: Apache-2.0
"""``bench --level ros``: the real node over DDS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from offroad_seg.cli.main import main
from offroad_seg.ontology import load_ontology
from tests.helpers.bundles import make_color_bundle

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("rclpy", reason="rclpy is not installed")


def test_node_answers_at_the_rate_that_is_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = make_color_bundle(tmp_path / "bundle", load_ontology("ai4mars"), 18, 32)
    words = ["bench", str(bundle.path), "--size", "320x240", "--level", "ros", "--json"]

    def measured() -> dict[str, Any]:
        assert main([*words, "--seconds", "1", "--rates", "10", "--no-peak"]) == 0
        report = json.loads(capsys.readouterr().out)
        found: dict[str, Any] = report["levels"]["ros"]["10"]
        assert found["sent"] == 10
        return found

    found = measured()
    assert found["done"] >= 8
    assert found["latency_ms"]["p50"] > 0
    assert found["host_memory_mb"] > 20  # of the node's process


def test_node_that_refuses_the_bundle_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from offroad_seg.bench.workloads import load_pictures
    from offroad_seg.errors import EngineError
    from offroad_seg.ros.bench_player import NodePlayer

    (tmp_path / "nothing").mkdir()
    images = load_pictures(None, 64, 48).images
    with (
        pytest.raises(EngineError, match="the node refused the bundle") as caught,
        NodePlayer(tmp_path / "nothing", images, {}),
    ):
        pass
    assert "manifest.json" in caught.value.where
