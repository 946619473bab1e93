# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg export`` from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offroad_seg.bundle import Bundle
from offroad_seg.cli.main import main
from tests.helpers.checkpoints import write_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_exports_and_says_what_the_gate_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = write_checkpoint(tmp_path / "best.ckpt", ontology="ycor")
    words = ["export", str(checkpoint), "--height", "50", "--width", "90", "--out", str(tmp_path / "out")]
    assert main([*words, "--gate-images", "2"]) == 0
    said = capsys.readouterr().out
    assert "onnxruntime: 100" in said
    assert "torch: 100" in said
    assert "2 synthetic images" in said
    assert Bundle.load(tmp_path / "out").ontology.name == "ycor"
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_bad_input_exits_2_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "junk.ckpt").write_bytes(b"junk")
    out = str(tmp_path / "out")
    assert main(["export", str(tmp_path / "junk.ckpt"), "--out", out]) == 2
    assert main(["export", str(tmp_path / "none.ckpt"), "--out", out]) == 2
    assert main(["export", str(tmp_path / "none.ckpt"), "--out", out, "--gate-images", "0"]) == 2
    assert "give 1 or more" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["junk.ckpt"]
