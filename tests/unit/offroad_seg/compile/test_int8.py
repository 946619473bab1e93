# SPDX-License-Identifier: Apache-2.0
"""Int8 by ONNX Runtime, behind its own gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import onnx
import pytest

from offroad_seg.compile.compiler import CompileOptions, compile_bundle, find_cached, plan_compile
from offroad_seg.compile.onnxruntime_int8 import quantize
from offroad_seg.errors import EngineError, GateError, InputError
from offroad_seg.ontology import load_ontology
from tests.helpers.bundles import color_model, make_color_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.bundle import Bundle

HEIGHT, WIDTH = 36, 64
DESERT = load_ontology("duality_desert")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Pictures of class colours, a little noisy: what the network was made for."""
    random = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for i in range(8):
        labels = random.integers(0, DESERT.n_classes, (9, 16)).astype(np.uint8).repeat(4, 0).repeat(4, 1)
        noisy = DESERT.colorize(labels).astype(np.int16) + random.integers(-6, 7, (HEIGHT, WIDTH, 3))
        cv2.imwrite(str(tmp_path / "images" / f"{i}.png"), np.clip(noisy, 0, 255).astype(np.uint8)[..., ::-1])
    return tmp_path / "images"


@pytest.fixture
def portable(tmp_path: Path) -> Bundle:
    return make_color_bundle(tmp_path / "portable", DESERT, HEIGHT, WIDTH, convolution=True)


def test_int8_engine_is_int8_and_passes_its_gate(tmp_path: Path, portable: Bundle, images: Path) -> None:
    options = CompileOptions("onnxruntime", "int8", images=images, cache=tmp_path / "cache")
    engine = compile_bundle(portable, tmp_path / "out", options)
    manifest = engine.manifest
    assert manifest.precision == "int8"
    assert manifest.parity["onnxruntime"]["images"] == 4  # the other four gave the ranges
    assert 0.98 <= manifest.parity["onnxruntime"]["agreement"] <= 1.0
    operators = {node.op_type for node in onnx.load(engine.file("model.onnx")).graph.node}
    assert operators & {"QLinearConv", "DequantizeLinear"}
    assert sorted(manifest.files) == ["model.onnx"]
    # Other ranges make another engine.
    assert find_cached(portable, options) is not None
    (images / "1.png").unlink()
    assert find_cached(portable, options) is None


def test_ranges_of_other_pictures_fail_the_gate(tmp_path: Path, portable: Bundle, images: Path) -> None:
    (tmp_path / "dark").mkdir()
    cv2.imwrite(str(tmp_path / "dark" / "night.png"), np.full((30, 60, 3), 3, np.uint8))
    options = CompileOptions("onnxruntime", "int8", images=images, calibration=tmp_path / "dark")
    with pytest.raises(GateError, match="pixels agree") as caught:
        compile_bundle(portable, tmp_path / "out", options)
    assert "--calibration" in caught.value.mend
    assert "pictures of the worst frames" in caught.value.what
    assert not (tmp_path / "out").exists()


def test_refusals(tmp_path: Path, portable: Bundle, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="int8 needs pictures"):
        compile_bundle(portable, tmp_path / "out", CompileOptions("onnxruntime", "int8"))
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(EngineError, match="cannot quantise the graph"):
        quantize(tmp_path / "broken.onnx", tmp_path / "out.onnx", [], print)
    monkeypatch.setattr("offroad_seg.compile.onnxruntime_builder.missing_package", lambda: "pip install onnx")
    with pytest.raises(EngineError, match="int8 needs a package"):
        plan_compile(portable, CompileOptions("onnxruntime", "int8"))


def scales(path: Path, kind: str) -> list[np.ndarray]:
    graph = onnx.load(path).graph
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    return [constants[n.input[2]] for n in graph.node if n.op_type == kind and len(n.input) > 2]


def test_symmetric_form_has_its_zeros_at_zero(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(color_model(DESERT, HEIGHT, WIDTH, convolution=True))
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    said: list[str] = []
    quantize(tmp_path / "m.onnx", tmp_path / "s.onnx", [picture], said.append, symmetric=True)
    zeros = scales(tmp_path / "s.onnx", "QuantizeLinear")
    assert zeros
    assert all(z.dtype == np.int8 and not z.any() for z in zeros)
    assert "ranges from picture 1 of 1" in said
    quantize(tmp_path / "m.onnx", tmp_path / "a.onnx", [picture], said.append)
    assert {z.dtype for z in scales(tmp_path / "a.onnx", "QuantizeLinear")} == {np.dtype(np.uint8)}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.onnx", "m.onnx", "s.onnx"]
