# SPDX-License-Identifier: Apache-2.0
"""Compiling a portable bundle for ONNX Runtime: the path that every device engine takes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
import pytest

from offroad_seg.bundle import Bundle, write_bundle
from offroad_seg.compile import onnxruntime_builder
from offroad_seg.compile.builder import BUILDERS, Built, Plan, find_builder
from offroad_seg.compile.compiler import CompileOptions, compile_bundle, plan_compile
from offroad_seg.compile.onnxruntime_builder import OnnxRuntimeBuilder
from offroad_seg.engines.cpu import describe_cpu, same_kind
from offroad_seg.engines.onnxruntime import OnnxRuntimeEngine
from offroad_seg.engines.registry import load_engine
from offroad_seg.errors import BundleError, EngineError, GateError, InputError
from offroad_seg.ontology import load_ontology
from tests.helpers.bundles import color_model, edit_manifest, make_color_bundle

if TYPE_CHECKING:
    from pathlib import Path

HEIGHT, WIDTH = 18, 32
DESERT = load_ontology("duality_desert")
OPTIONS = CompileOptions("onnxruntime")


@pytest.fixture
def portable(tmp_path: Path) -> Bundle:
    return make_color_bundle(tmp_path / "portable", DESERT, HEIGHT, WIDTH)


def test_compiled_engine_says_the_same_and_knows_what_it_is(tmp_path: Path, portable: Bundle) -> None:
    compile_bundle(portable, tmp_path / "out", OPTIONS)
    compiled = Bundle.load(tmp_path / "out")
    manifest = compiled.manifest
    assert (manifest.backend, manifest.backends, manifest.precision) == (
        "onnxruntime",
        ("onnxruntime",),
        "fp32",
    )
    assert manifest.versions["onnxruntime"] == ort.__version__
    assert manifest.source["compiled_on"] == describe_cpu()
    assert manifest.source["portable"] == portable.manifest.files
    assert manifest.parity["onnxruntime"]["agreement"] == 1.0
    latency = manifest.latency_ms["onnxruntime"]
    assert 0 < latency["p50"] <= latency["p99"]
    assert latency["runs"] >= 5
    labels = np.random.default_rng(1).integers(0, DESERT.n_classes, (HEIGHT, WIDTH)).astype(np.uint8)
    engine = load_engine(compiled)
    np.testing.assert_array_equal(engine.infer(DESERT.colorize(labels)[None]).labels_BHW[0], labels)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_plan_writes_nothing(tmp_path: Path, portable: Bundle) -> None:
    before = sorted(p for p in tmp_path.rglob("*"))
    plan = plan_compile(portable, OPTIONS)
    assert plan.versions == {"onnxruntime": ort.__version__}
    assert describe_cpu()["machine"] in plan.device
    assert sorted(p for p in tmp_path.rglob("*")) == before


def test_refusals(tmp_path: Path, portable: Bundle) -> None:
    with pytest.raises(InputError, match="nothing to compile for back end 'abacus'"):
        compile_bundle(portable, tmp_path / "out", CompileOptions("abacus"))
    with pytest.raises(InputError, match="not fp16"):
        compile_bundle(portable, tmp_path / "out", CompileOptions("onnxruntime", "fp16"))
    compiled = compile_bundle(portable, tmp_path / "out", OPTIONS)
    with pytest.raises(BundleError, match="already compiled, for onnxruntime"):
        compile_bundle(compiled, tmp_path / "again", OPTIONS)
    with pytest.raises(InputError, match="not empty"):
        compile_bundle(portable, tmp_path / "out", OPTIONS)
    compile_bundle(portable, tmp_path / "out", replace(OPTIONS, overwrite=True))
    assert not (tmp_path / "again").exists()


def test_network_that_is_not_finite_fails_the_gate(tmp_path: Path) -> None:
    bad = make_color_bundle(tmp_path / "nan", DESERT, HEIGHT, WIDTH, sharpness=float("nan"))
    with pytest.raises(GateError, match="not finite"):
        compile_bundle(bad, tmp_path / "out", OPTIONS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["nan", "out.refused"]
    assert len(list((tmp_path / "out.refused").glob("*.png"))) == 4


class WrongBuilder(onnxruntime_builder.OnnxRuntimeBuilder):
    """Builds an engine of another network: the fault that the gate is for."""

    def build(self, bundle: Bundle, plan: object, folder: Path, tools: object) -> Built:
        (folder / "model.onnx").write_bytes(color_model(DESERT, HEIGHT, WIDTH, sharpness=-1e-2))
        return Built({"model.onnx": folder / "model.onnx"}, {"compiled_on": describe_cpu()})


def test_wrong_engine_fails_the_gate_and_leaves_the_old_one(
    tmp_path: Path, portable: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_bundle(portable, tmp_path / "out", OPTIONS)
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    monkeypatch.setattr("offroad_seg.compile.compiler.find_builder", lambda *_: WrongBuilder())
    with pytest.raises(GateError, match=r"pixels agree \(limit 99\.9%\)"):
        compile_bundle(portable, tmp_path / "out", replace(OPTIONS, overwrite=True))
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before


def test_graph_that_cannot_be_optimised(tmp_path: Path, portable: Bundle) -> None:
    bad = write_bundle(tmp_path / "bad", portable.manifest, {"model.onnx": b"no graph"})
    with pytest.raises(EngineError, match="cannot optimise the graph"):
        compile_bundle(bad, tmp_path / "out", OPTIONS)
    assert not (tmp_path / "out").exists()


def test_changed_byte_and_other_version_are_refused(tmp_path: Path, portable: Bundle) -> None:
    compile_bundle(portable, tmp_path / "out", OPTIONS)
    model = tmp_path / "out" / "model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(bytes(data))
    with pytest.raises(BundleError, match=r"model\.onnx was changed"):
        Bundle.load(tmp_path / "out")
    data[len(data) // 2] ^= 1
    model.write_bytes(bytes(data))
    edit_manifest(tmp_path / "out", versions={"onnxruntime": "1.0.0"})
    with pytest.raises(BundleError, match=r"optimised by ONNX Runtime 1\.0\.0") as caught:
        load_engine(Bundle.load(tmp_path / "out"))
    # The portable bundle lies beside it and is found by its digest.
    assert caught.value.mend.startswith(
        f"offroad-seg compile {tmp_path / 'portable'} --backend onnxruntime --precision fp32 "
        f"--out {tmp_path / 'out'} --overwrite"
    )


def test_checkpoint_is_never_opened_as_a_bundle(tmp_path: Path) -> None:
    for name in ("best.ckpt", "model.pkl"):
        (tmp_path / name).write_bytes(b"\x80\x04.")
        with pytest.raises(BundleError, match="never opened at run time"):
            Bundle.load(tmp_path / name)


def test_cpu_identity() -> None:
    here = describe_cpu()
    assert here["machine"]
    assert same_kind({**here, "model": "same instruction sets, another name"}, here)
    assert not same_kind({**here, "features": [*here["features"], "avx1024"]}, here)
    assert not same_kind({}, here)


def test_every_builder_can_be_found() -> None:
    for backend in BUILDERS:
        assert find_builder(backend).name == backend


def test_engine_that_cannot_run_here_is_refused_before_it_is_built(
    tmp_path: Path, portable: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnnxRuntimeEngine, "unavailable", staticmethod(lambda: "no GPU"))
    monkeypatch.setattr(OnnxRuntimeBuilder, "plan", lambda *_: Plan("onnxruntime", "fp32", "GPU", {}))
    monkeypatch.setattr(OnnxRuntimeBuilder, "build", lambda *_: pytest.fail("it was built"))
    with pytest.raises(EngineError, match="cannot be judged here, where it does not run: no GPU") as caught:
        compile_bundle(portable, tmp_path / "out", CompileOptions("onnxruntime"))
    assert "on the machine that will run it" in caught.value.mend
    assert [p.name for p in tmp_path.iterdir()] == ["portable"]


def test_engine_that_does_not_load_names_what_the_user_gave(
    tmp_path: Path, portable: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(_self: object, _bundle: object, _plan: object, folder: Path, _tools: object) -> Built:
        (folder / "model.onnx").write_bytes(b"no graph")
        return Built(files={"model.onnx": folder / "model.onnx"})  # nor a word on the CPU that it is for

    monkeypatch.setattr(OnnxRuntimeBuilder, "build", build)
    with pytest.raises(EngineError, match="optimised for another CPU") as caught:
        compile_bundle(portable, tmp_path / "out", CompileOptions("onnxruntime"))
    assert caught.value.where == str(tmp_path / "out")
    assert "candidate" not in str(caught.value)
