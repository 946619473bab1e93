# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg inspect``: whole, damaged and foreign bundles, and checkpoints."""

from __future__ import annotations

import importlib.metadata
import json
from typing import TYPE_CHECKING

import pytest

from offroad_seg.cli import inspect as command
from offroad_seg.cli.inspect_text import bundle_text
from offroad_seg.cli.main import main
from offroad_seg.compile.compiler import CompileOptions, compile_bundle
from offroad_seg.ontology import load_ontology
from tests.helpers.bundles import edit_manifest, make_color_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.bundle import Bundle

MARS = load_ontology("ai4mars")


@pytest.fixture
def portable(tmp_path: Path) -> Bundle:
    return make_color_bundle(tmp_path / "portable", MARS, 18, 32)


def inspect(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict, str]:
    status = main(["inspect", str(path), "--json", *more])
    said = capsys.readouterr()
    return status, json.loads(said.out), said.err


def test_portable_bundle_says_all_of_itself(portable: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    status, report, _ = inspect(portable.path, capsys)
    assert status == 0
    assert report["identity"]["digest"] == portable.manifest.digest
    assert (report["input"]["width"], report["input"]["height"]) == (32, 18)
    assert [c["name"] for c in report["classes"]] == MARS.names
    assert report["classes"][0]["color"] == "#{:02x}{:02x}{:02x}".format(*MARS.classes[0].color)
    assert [(f["name"], f["state"]) for f in report["files"]] == [("model.onnx", "ok")]
    assert report["here"]["backend"] == "onnxruntime"
    assert report["here"]["providers"] == ["CPUExecutionProvider"]
    assert report["problem"] is None


def test_table_for_people(portable: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compile_bundle(portable, tmp_path / "engine", CompileOptions("onnxruntime"))
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "engine")]) == 0
    said = capsys.readouterr().out
    for text in (
        "nearest_color (onnxruntime engine, fp32)",
        f"made from  {portable.path}",
        "32×18 RGB",
        MARS.names[0],
        "cost ",
        "onnxruntime: 100.0000% of the labels agree on 8 synthetic images; worst class ",
        "p50 ",
        "✓ hash fits",
        "✓ runs with onnxruntime",
    ):
        assert text in said, text
    assert "\x1b" not in said


def test_colours_on_a_terminal(portable: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    _, report, _ = inspect(portable.path, capsys, "--no-load")
    assert report["here"] is None
    red, green, blue = MARS.classes[0].color
    assert f"\x1b[48;2;{red};{green};{blue}m" in bundle_text(report, color=True)


def test_damaged_bundle_still_says_what_it_is(portable: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    (portable.path / "model.onnx").write_bytes(b"cut")
    (portable.path / "notes.txt").write_text("mine")
    status, report, error = inspect(portable.path, capsys)
    assert status == 2
    assert {f["name"]: f["state"] for f in report["files"]} == {
        "model.onnx": "changed",
        "notes.txt": "not listed",
    }
    assert "model.onnx was changed" in report["problem"]["what"]
    assert "model.onnx was changed" in error
    assert report["identity"]["name"] == "nearest_color"
    assert main(["inspect", str(portable.path)]) == 2
    said = capsys.readouterr().out
    assert "✗ changed" in said
    assert "→ copy the bundle again" in said


def test_engine_of_another_machine_names_the_exact_command(
    portable: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = compile_bundle(portable, tmp_path / "engine", CompileOptions("onnxruntime"))
    edit_manifest(
        engine.path, source={"compiled_on": {"machine": "aarch64", "model": "Orin", "features": []}}
    )
    capsys.readouterr()
    status, report, _ = inspect(engine.path, capsys)
    assert status == 2
    assert "optimised for another CPU (Orin" in report["problem"]["what"]
    assert report["problem"]["mend"].startswith(
        f"offroad-seg compile {portable.path} --backend onnxruntime --precision fp32 --out {engine.path} --overwrite"
    )
    assert {f["state"] for f in report["files"]} == {"ok"}
    assert inspect(engine.path, capsys, "--no-load")[0] == 0


def test_engines_in_the_cache_are_listed(
    portable: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFROAD_SEG_CACHE", str(tmp_path / "cache"))
    engine = compile_bundle(portable, None, CompileOptions("onnxruntime", cache=tmp_path / "cache"))
    capsys.readouterr()
    _, report, _ = inspect(portable.path, capsys)
    assert report["cached_engines"] == [
        {"path": str(engine.path), "backend": "onnxruntime", "precision": "fp32"}
    ]
    assert main(["inspect", str(portable.path)]) == 0
    assert f"built before: onnxruntime fp32  {engine.path}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "complaint"), [(None, "no such bundle"), ("", "no manifest.json"), ("{", "not JSON")]
)
def test_what_is_no_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, complaint: str
) -> None:
    path = tmp_path / "x"
    if content is not None:
        path.mkdir()
    if content:
        (path / "manifest.json").write_text(content)
    status, report, error = inspect(path, capsys)
    assert status == 2
    assert complaint in report["problem"]["what"]
    assert complaint in error
    assert main(["inspect", str(path)]) == 2
    assert capsys.readouterr().out == ""


def test_checkpoint_is_opened_by_the_trainer_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "best.ckpt").write_bytes(b"never opened here")
    monkeypatch.setattr(command, "entry_points", lambda group: [])
    assert main(["inspect", str(tmp_path / "best.ckpt")]) == 2
    said = capsys.readouterr().err
    assert "which only the trainer opens" in said
    assert f"offroad-seg export {tmp_path / 'best.ckpt'}" in said


def test_checkpoint_with_the_trainer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    if not importlib.metadata.entry_points(group="offroad_seg.inspectors"):
        pytest.skip("the trainer is not installed")
    from tests.helpers.checkpoints import write_checkpoint

    run = tmp_path / "run"
    checkpoint = write_checkpoint(run / "checkpoints" / "best.ckpt")
    row = {"epoch": 1, "val": {"miou": 0.25, "per_class": {"soil": {}}}}
    (run / "metrics.jsonl").write_text(json.dumps({**row, "epoch": 0}) + "\n" + json.dumps(row) + "\n")
    assert main(["inspect", str(checkpoint), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ontology"] == "duality_desert"
    assert report["epoch"] == 1
    assert report["validation"] == {"miou": 0.25}
    assert report["parameters"] > 1000
    assert main(["inspect", str(checkpoint)]) == 0
    said = capsys.readouterr().out
    assert "trained_at  128×72" in said
    assert "  miou  0.2500" in said
    (tmp_path / "trap.pkl").write_bytes(b"\x80\x04.")
    assert main(["inspect", str(tmp_path / "trap.pkl")]) == 2
    assert "cannot be read" in capsys.readouterr().err
