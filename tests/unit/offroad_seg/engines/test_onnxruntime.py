# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime runs bundles whose answer is known: the class of the nearest colour."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from offroad_seg.bundle import write_bundle
from offroad_seg.engines.onnxruntime import OnnxRuntimeEngine
from offroad_seg.errors import BundleError, EngineError
from offroad_seg.ontology import load_ontology
from tests.helpers.bundles import color_model, make_color_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.bundle import Bundle

HEIGHT, WIDTH = 18, 32
DESERT = load_ontology("duality_desert")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_color_bundle(tmp_path / "bundle", DESERT, HEIGHT, WIDTH)


def picture(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    labels = np.random.default_rng(seed).integers(0, DESERT.n_classes, (HEIGHT, WIDTH)).astype(np.uint8)
    return DESERT.colorize(labels)[None], labels


def test_labels_confidence_and_mean(bundle: Bundle) -> None:
    engine = OnnxRuntimeEngine(bundle, device="cpu", threads=1)
    image, labels = picture()
    output = engine.infer(image)
    np.testing.assert_array_equal(output.labels_BHW[0], labels)
    assert output.confidence_BHW.dtype == np.uint8
    assert output.mean_confidence_B[0] == pytest.approx(output.confidence_BHW.mean() / 255, abs=3e-3)
    assert engine.info.backend == "onnxruntime"
    assert engine.info.version == ort.__version__
    assert engine.info.providers == ("CPUExecutionProvider",)
    assert (engine.info.device, engine.info.precision, engine.info.threads) == ("cpu", "fp32", 1)


def test_outputs_are_the_same_memory_each_time(bundle: Bundle) -> None:
    engine = OnnxRuntimeEngine(bundle)
    first = engine.infer(picture(1)[0])
    second = engine.infer(picture(2)[0])
    assert second.labels_BHW is first.labels_BHW
    np.testing.assert_array_equal(first.labels_BHW[0], picture(2)[1])


def test_input_may_be_a_view_or_read_only(bundle: Bundle) -> None:
    engine = OnnxRuntimeEngine(bundle)
    image, labels = picture(3)
    mirrored = np.ascontiguousarray(image[:, :, ::-1])[:, :, ::-1]
    np.testing.assert_array_equal(engine.infer(mirrored).labels_BHW[0], labels)
    image.setflags(write=False)
    np.testing.assert_array_equal(engine.infer(image).labels_BHW[0], labels)


def test_not_finite_logits_show_in_the_mean(tmp_path: Path) -> None:
    bundle = make_color_bundle(tmp_path / "nan", DESERT, HEIGHT, WIDTH, sharpness=float("nan"))
    assert np.isnan(OnnxRuntimeEngine(bundle).infer(picture()[0]).mean_confidence_B).all()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((1, WIDTH, HEIGHT, 3), np.uint8),
        np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        np.zeros((1, HEIGHT, WIDTH, 3), np.float32),
    ],
)
def test_pixels_that_do_not_fit(bundle: Bundle, image: np.ndarray) -> None:
    with pytest.raises(EngineError, match="the engine takes uint8"):
        OnnxRuntimeEngine(bundle).infer(image)


def test_closed(bundle: Bundle) -> None:
    engine = OnnxRuntimeEngine(bundle)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(picture()[0])


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="this one has CUDA")
def test_cuda_is_refused_where_it_would_fall_back(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="no CUDA") as caught:
        OnnxRuntimeEngine(bundle, device="cuda")
    assert "onnxruntime-gpu" in caught.value.mend


def test_graph_that_is_not_what_the_manifest_says(tmp_path: Path, bundle: Bundle) -> None:
    lying = write_bundle(
        tmp_path / "lying", bundle.manifest, {"model.onnx": color_model(DESERT, HEIGHT, WIDTH + 2)}
    )
    with pytest.raises(BundleError, match="not what the manifest says"):
        OnnxRuntimeEngine(lying)


def test_file_that_is_no_graph(tmp_path: Path, bundle: Bundle) -> None:
    broken = write_bundle(tmp_path / "broken", bundle.manifest, {"model.onnx": b"\x80\x04not a graph"})
    with pytest.raises(EngineError, match="cannot load the graph"):
        OnnxRuntimeEngine(broken)


def test_graph_with_an_operator_that_does_not_exist(tmp_path: Path, bundle: Bundle) -> None:
    model = onnx.load_from_string(color_model(DESERT, HEIGHT, WIDTH))
    model.graph.node[0].op_type = "Telepathy"
    bad = write_bundle(tmp_path / "bad", bundle.manifest, {"model.onnx": model.SerializeToString()})
    with pytest.raises(EngineError, match="Telepathy"):
        OnnxRuntimeEngine(bad)


def test_optimised_graph_of_another_version_or_cpu_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    model = color_model(DESERT, HEIGHT, WIDTH)
    manifest = replace(bundle.manifest, backend="onnxruntime", versions={"onnxruntime": "1.2.3"})
    with pytest.raises(BundleError, match=r"optimised by ONNX Runtime 1\.2\.3") as caught:
        OnnxRuntimeEngine(write_bundle(tmp_path / "old", manifest, {"model.onnx": model}))
    assert "offroad-seg compile" in caught.value.mend
    cpu = {"machine": "riscv64", "model": "another", "features": []}
    manifest = replace(manifest, versions={"onnxruntime": ort.__version__}, source={"compiled_on": cpu})
    with pytest.raises(BundleError, match="another CPU"):
        OnnxRuntimeEngine(write_bundle(tmp_path / "other", manifest, {"model.onnx": model}))
    with pytest.raises(BundleError, match="another CPU"):
        OnnxRuntimeEngine(
            write_bundle(tmp_path / "unsaid", replace(manifest, source={}), {"model.onnx": model})
        )
