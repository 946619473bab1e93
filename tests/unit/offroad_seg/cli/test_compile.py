# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg compile`` from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from offroad_seg.bundle import Bundle
from offroad_seg.cli import main as cli
from offroad_seg.cli.main import main
from offroad_seg.ontology import load_ontology
from tests.helpers.bundles import make_color_bundle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def portable(tmp_path: Path) -> Path:
    return make_color_bundle(tmp_path / "portable", load_ontology("ai4mars"), 18, 32).path


def test_compiles_with_real_images(
    tmp_path: Path, portable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    for i in range(2):
        cv2.imwrite(str(tmp_path / "images" / f"{i}.png"), np.full((30, 60, 3), 40 * i, np.uint8))
    out = tmp_path / "out"
    words = ["compile", str(portable), "--out", str(out), "--images", str(tmp_path / "images")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "100.0000% of 1024 pixels agree" in said  # 32×16 of 32×18 show the picture
    assert "2 real images" in said
    assert "latency: p50" in said
    assert Bundle.load(out).manifest.backend == "onnxruntime"
    assert main(words) == 2
    assert main([*words, "--overwrite"]) == 0


def test_check_only_says_what_would_be_built(
    tmp_path: Path, portable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert main(["compile", str(portable), "--backend", "onnxruntime", "--check-only"]) == 0
    said = capsys.readouterr().out
    assert "would build: onnxruntime fp32" in said
    assert "32×18" in said
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["BUNDLE", "--no-cache"], "--out is missing"),
        (["BUNDLE", "--no-cache", "--cache", "OUT", "--out", "OUT"], "exclude each other"),
        (["BUNDLE", "--out", "OUT", "--gate-images", "0"], "--gate-images is 0"),
        (["BUNDLE", "--out", "OUT", "--calibration", "BUNDLE"], "fp32 takes no calibration"),
        (["BUNDLE", "--out", "OUT", "--masks", "BUNDLE"], "masks without images"),
        (["BUNDLE", "--out", "OUT", "--precision", "int8"], "int8 needs pictures"),
        (["BUNDLE", "--out", "OUT", "--height", "9"], "input size is fixed"),
        (["BUNDLE", "--out", "OUT", "--precision", "fp16"], "mend: --precision fp32"),
        (["BUNDLE", "--out", "OUT", "--backend", "x"], "one of: onnxruntime"),
        (["BUNDLE", "--out", "OUT", "--images", "NOWHERE"], "no such folder of images"),
        (["NOWHERE", "--out", "OUT"], "there is no such bundle"),
    ],
)
def test_bad_usage_exits_2(
    tmp_path: Path, portable: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    places = {"BUNDLE": portable, "OUT": tmp_path / "out", "NOWHERE": tmp_path / "nowhere"}
    assert main(["compile", *(str(places.get(w, w)) for w in words)]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_checkpoint_without_the_trainer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "best.ckpt").write_bytes(b"never opened here")
    points = {k: v for k, v in cli.find_commands().items() if k != "export"}
    monkeypatch.setattr(cli, "find_commands", lambda: points)
    assert main(["compile", str(tmp_path / "best.ckpt"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "exporting it needs the trainer" in said
    assert "offroad-seg[train]" in said


def test_checkpoint_is_exported_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    from tests.helpers.checkpoints import write_checkpoint

    checkpoint = write_checkpoint(tmp_path / "best.ckpt")
    out = tmp_path / "out"
    words = ["compile", str(checkpoint), "--out", str(out), "--height", "45", "--width", "80"]
    assert main(words) == 0
    bundle = Bundle.load(out)
    assert (bundle.manifest.input_height, bundle.manifest.input_width) == (45, 80)
    assert bundle.manifest.parity["portable"]["torch"]["agreement"] >= 0.999
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.ckpt", "out"]
    assert "pixels agree with the checkpoint" in capsys.readouterr().out
