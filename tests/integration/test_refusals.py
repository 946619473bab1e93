# SPDX-License-Identifier: Apache-2.0
"""Bad input, through the command line as a user meets it: what is wrong, the command that mends it, no stack trace."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from offroad_seg.bundle import Bundle, sha256_of, write_bundle
from offroad_seg.cli.main import main
from offroad_seg.compile.compiler import CompileOptions, compile_bundle
from offroad_seg.engines.trt_plan import check_gpu
from offroad_seg.errors import BundleError
from offroad_seg.ontology import load_ontology
from tests.helpers.bundles import color_model, edit_manifest, make_color_bundle
from tests.helpers.refusals import DESERT, HEIGHT, WIDTH, Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# What is done to a bundle, what is said of it, and what mends it.
DAMAGE: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "a changed byte": (
        lambda b: (b / "model.onnx").write_bytes((b / "model.onnx").read_bytes()[:-1] + b"?"),
        "model.onnx was changed after the bundle was made (SHA-256",
        "offroad-seg export CHECKPOINT",
    ),
    "a truncated file": (
        lambda b: os.truncate(b / "model.onnx", 100),
        "model.onnx was changed",
        "copy the bundle again",
    ),
    "a missing file": (lambda b: (b / "model.onnx").unlink(), "model.onnx is missing", "offroad-seg export"),
    "an extra file": (
        lambda b: (b / "weights.pt").write_bytes(b"x"),
        "files that the manifest does not list: weights.pt",
        "remove them",
    ),
    "a link out of the bundle": (
        lambda b: (
            (b / "model.onnx").rename(b.parent / "elsewhere.onnx"),
            (b / "model.onnx").symlink_to(b.parent / "elsewhere.onnx"),
        ),
        "model.onnx is a link that leads out of the bundle",
        "cp -rL",
    ),
    "a manifest edited by hand": (
        lambda b: edit_manifest(b, seal=False, temperature=3.0),
        "the manifest was edited after the bundle was made",
        "class_cost.NAME",
    ),
    "a manifest that is cut": (
        lambda b: os.truncate(b / "manifest.json", 300),
        "not JSON",
        "offroad-seg export",
    ),
    "a newer schema": (
        lambda b: edit_manifest(b, schema_version=9),
        "the bundle was made by a newer offroad-seg: manifest schema 9",
        "install the newer offroad-seg here",
    ),
    "a size out of bounds": (
        lambda b: edit_manifest(b, input_height=0),
        "input_height is 0, not at least 1",
        "offroad-seg export",
    ),
    "another number of classes": (
        lambda b: edit_manifest(b, n_classes=12),
        "the network tells 12 classes apart, and the ontology 'duality_desert' names 10",
        "offroad-seg export",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_bundle(portable: Bundle, tmp_path: Path, refused: Refused, damage: str) -> None:
    spoil, complaint, mend = DAMAGE[damage]
    spoil(portable.path)
    for words in (["inspect", portable.path], ["compile", portable.path, "--out", tmp_path / "out"]):
        said = refused(*words)
        assert complaint in said
        assert mend in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["model.pkl", "model.pt", "best.ckpt"])
def test_pickle_where_a_bundle_is_expected_is_never_opened(
    tmp_path: Path, refused: Refused, name: str
) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (tmp_path.joinpath("exploded").touch, ())

    trap = tmp_path / name
    trap.write_bytes(pickle.dumps(Bomb()))
    for words in (
        ["inspect", trap],
        ["compile", trap, "--out", tmp_path / "out"],
        ["replay", trap, tmp_path / "x.mcap", "--out", tmp_path / "out"],
    ):
        refused(*words)
    assert not (tmp_path / "exploded").exists()


def test_truncated_engine_that_hashes_right(engine: Bundle, refused: Refused) -> None:
    """Only the run time itself can find this one: the file was whole when it was hashed, or so the manifest says."""
    model = engine.path / "model.onnx"
    os.truncate(model, model.stat().st_size // 2)
    edit_manifest(engine.path, files={"model.onnx": sha256_of(model)})
    said = refused("inspect", engine.path, status=1)
    assert "cannot load the graph" in said
    assert "pip install onnxruntime==" in said


def test_graph_of_another_size(portable: Bundle, refused: Refused, tmp_path: Path) -> None:
    (portable.path / "model.onnx").write_bytes(color_model(DESERT, HEIGHT, WIDTH + 2))
    edit_manifest(portable.path, files={"model.onnx": sha256_of(portable.path / "model.onnx")})
    assert "the graph is not what the manifest says" in refused("inspect", portable.path)


def test_network_with_more_classes_than_the_ontology(tmp_path: Path, refused: Refused) -> None:
    mars = load_ontology("ai4mars")
    plain = make_color_bundle(tmp_path / "plain", mars, HEIGHT, WIDTH)
    wide = write_bundle(tmp_path / "wide", plain.manifest, {"model.onnx": color_model(DESERT, HEIGHT, WIDTH)})
    said = refused("compile", wide.path, "--out", tmp_path / "out", status=1)
    assert "and the ontology names only 4 classes" in said
    assert not (tmp_path / "out").exists()


def test_engine_of_another_machine(engine: Bundle, portable: Bundle, refused: Refused) -> None:
    mend = f"offroad-seg compile {portable.path} --backend onnxruntime --precision fp32 --out {engine.path} --overwrite"
    edit_manifest(
        engine.path, source={"compiled_on": {"machine": "aarch64", "model": "Orin", "features": []}}
    )
    said = refused("inspect", engine.path)
    assert "the graph was optimised for another CPU (Orin" in said
    assert mend in said
    edit_manifest(engine.path, versions={"onnxruntime": "1.0.0"})
    said = refused("inspect", engine.path)
    assert "optimised by ONNX Runtime 1.0.0; this machine has" in said
    assert mend in said


def test_command_names_the_portable_bundle_wherever_it_lies(
    tmp_path: Path, portable: Bundle, refused: Refused
) -> None:
    kept = compile_bundle(
        portable, None, CompileOptions("onnxruntime", cache=tmp_path / "elsewhere" / "cache")
    )
    edit_manifest(kept.path, versions={"onnxruntime": "1.0.0"})
    said = refused("inspect", kept.path)
    command = said.split("mend: ")[1].partition("   (")[0].split()
    assert command[:3] == ["offroad-seg", "compile", str(portable.path)]
    # It works as it stands there.
    assert main([*command[1:], "--no-cache"]) == 0
    assert main(["inspect", str(kept.path)]) == 0
    shutil.rmtree(portable.path)
    edit_manifest(kept.path, versions={"onnxruntime": "1.0.0"})
    assert "offroad-seg compile PORTABLE_BUNDLE --backend" in refused("inspect", kept.path)


def test_engine_of_another_gpu(engine: Bundle, portable: Bundle) -> None:
    edit_manifest(
        engine.path,
        backend="tensorrt",
        backends=["tensorrt"],
        precision="fp16",
        gpu={"name": "Orin", "compute_capability": "8.7", "driver": None},
    )
    bundle = Bundle.load(engine.path)
    check_gpu(bundle, "Orin", "8.7")
    with pytest.raises(BundleError) as caught:
        check_gpu(bundle, "NVIDIA GeForce RTX 4090", "8.9")
    assert "Orin" in caught.value.what
    assert "RTX 4090" in caught.value.what
    assert caught.value.mend == (
        f"offroad-seg compile {portable.path} --backend tensorrt --precision fp16 --out {engine.path} --overwrite"
    )


def test_checkpoints_of_another_version_or_ontology(tmp_path: Path, refused: Refused) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from tests.helpers.checkpoints import write_checkpoint

    checkpoint = write_checkpoint(tmp_path / "best.ckpt")
    content = torch.load(checkpoint, weights_only=True)
    out = tmp_path / "out"
    record = content["offroad_seg"]
    torch.save({**content, "offroad_seg": {**record, "format": 99}}, checkpoint)
    assert "checkpoint format 99" in refused("compile", checkpoint, "--out", out)
    other = {**record, "ontology": load_ontology("ai4mars").to_dict()}
    torch.save({**content, "offroad_seg": other}, checkpoint)
    assert "the weights do not fit" in refused("compile", checkpoint, "--out", out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.ckpt"]


def test_odd_sizes_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not a refusal: sizes that no stride divides are padded inside the graph."""
    pytest.importorskip("torch", reason="torch is not installed")
    from tests.helpers.checkpoints import write_checkpoint

    checkpoint = write_checkpoint(tmp_path / "best.ckpt")
    words = ["compile", str(checkpoint), "--out", str(tmp_path / "out"), "--height", "45", "--width", "77"]
    assert main(words) == 0
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "out"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["input"]["height"], report["input"]["width"]) == (45, 77)
    assert report["here"]["first_ms"] > 0
