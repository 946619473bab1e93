# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg bench`` on a real bundle whose network is tiny."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from offroad_seg.bench.load import LoadMeter
from offroad_seg.bench.report import row
from offroad_seg.cli.main import main
from offroad_seg.ontology import load_ontology
from tests.helpers.bundles import make_color_bundle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_color_bundle(tmp_path / "bundle", load_ontology("ai4mars"), 18, 32).path


def test_all_levels(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bench"
    words = [
        "bench",
        str(bundle),
        "--size",
        "64x48",
        "--seconds",
        "0.1",
        "--rates",
        "20,40",
        "--out",
        str(out),
    ]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.count("\nengine ") == said.count("\nsegmenter ") == said.count("\npipeline ") == 3
    assert "images 64×48 (synthetic)" in said
    assert "stages of the pipeline, ms, p50 (p99): letterbox" in said
    report = json.loads((out / "bench.json").read_text())
    assert list(report["levels"]) == ["engine", "segmenter", "pipeline"]
    assert list(report["levels"]["engine"]) == ["peak", "20", "40"]
    assert report["engine"]["backend"] == "onnxruntime"
    assert report["first_frame_ms"] > 0
    pipeline = report["levels"]["pipeline"]["20"]
    assert {"letterbox", "engine", "restore", "project", "fuse", "total"} <= set(pipeline["stages_ms"])
    assert pipeline["host_memory_mb"] > 10
    isaac = json.loads((out / "isaac_ros_benchmark_pipeline.json").read_text())
    assert {"BasicPerformanceMetrics.MEAN_FRAME_RATE", "20.0fps", "40.0fps"} <= set(isaac)
    assert "BasicPerformanceMetrics.MEAN_JITTER" in isaac["20.0fps"]
    assert "pipeline" in (out / "bench.txt").read_text()
    assert main(words) == 2  # not over what is there


def test_real_pictures_and_json(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images").mkdir()
    picture = np.zeros((30, 60, 3), np.uint8)
    picture[15:] = 120  # all of one colour it would be taken for a covered lens
    cv2.imwrite(str(tmp_path / "images" / "a.png"), picture)
    words = ["bench", str(bundle), "--images", str(tmp_path / "images"), "--level", "engine", "--json"]
    assert main([*words, "--seconds", "0.05", "--rates", "50", "--no-peak", "--threads", "1"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["input"] == {"size": [60, 30], "network": [32, 18], "source": "real"}
    assert list(report["levels"]["engine"]) == ["50"]
    assert report["engine"]["threads"] == 1
    cv2.imwrite(str(tmp_path / "images" / "b.png"), np.zeros((31, 60, 3), np.uint8))
    assert main(words) == 2
    assert "this picture is 60×31, the first one 60×30" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--seconds", "0"], "--seconds is 0"),
        (["--rates", "10,x"], "no list of rates"),
        (["--rates", "0"], "no list of rates"),
        (["--rates", "none", "--no-peak"], "nothing to measure"),
        (["--size", "1280"], "no size"),
        (["--size", "9x9"], "no size"),
        (["--backend", "abacus"], "no back end 'abacus'"),
    ],
)
def test_bad_usage(
    bundle: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    assert main(["bench", str(bundle), *words]) == 2
    assert complaint in capsys.readouterr().err


def test_load_is_of_the_process_that_is_asked_for() -> None:
    import os

    mine, same = LoadMeter(baseline_s=0.0), LoadMeter(os.getpid(), baseline_s=0.0)
    sum(i * i for i in range(2_000_000))
    a, b = mine.stop(), same.stop()
    assert a.cpu_percent > 5
    assert b.cpu_percent > 5
    assert b.host_memory_mb is not None
    nobody = LoadMeter(2**22 + 1, baseline_s=0.0).stop()
    assert (nobody.cpu_percent, nobody.host_memory_mb) == (0.0, None)


def test_row_of_what_is_not_known() -> None:
    found = {
        "rate_asked_hz": 10.0,
        "rate_hz": None,
        "loss": 0.5,
        "latency_ms": dict.fromkeys(("mean", "p50", "p95", "p99", "max", "first"), 1.0),
        "jitter_ms": {"mean": None},
    }
    assert row("ros", "10", found).count("–") == 5
