# SPDX-License-Identifier: Apache-2.0
"""The engine over TensorRT's run time: buffers, recording, errors and cleaning up, on a fake driver and run time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from offroad_seg.bundle import write_bundle
from offroad_seg.engines.base import ImageEngine
from offroad_seg.engines.onnxruntime import OnnxRuntimeEngine
from offroad_seg.engines.registry import load_engine
from offroad_seg.engines.tensorrt_rtx import TensorRtRtxEngine
from offroad_seg.engines.trt_engine import TrtEngine
from offroad_seg.errors import BundleError, EngineError, ImageError, InputError
from offroad_seg.segmenter import Segmenter
from offroad_seg.types import Frame
from tests.helpers.bundles import color_model, make_color_bundle
from tests.helpers.fake_gpu import MAGIC, FakeTensorRt
from tests.helpers.plans import (
    DESERT,
    GPU,
    HEIGHT,
    VERSION,
    WIDTH,
    make_bundle,
    open_engine,
    picture,
    plan_of,
)

if TYPE_CHECKING:
    import ctypes
    from pathlib import Path

    from offroad_seg.bundle import Bundle


def test_labels_confidence_and_what_it_is(bundle: Bundle, driver: ctypes.CDLL) -> None:
    engine = open_engine(bundle, driver)
    for seed in range(3):
        image, labels = picture(seed)
        output = engine.infer(image[None])
        np.testing.assert_array_equal(output.labels_BHW[0], labels)
        assert output.mean_confidence_B[0] == pytest.approx(output.confidence_BHW.mean() / 255, abs=3e-3)
    assert output.ood_BHW is None
    assert (engine.info.backend, engine.info.version, engine.info.device) == ("tensorrt", VERSION, "Fake GPU")
    assert engine.info.precision == "fp16"
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(image[None])


def test_letterbox_on_the_gpu_is_the_letterbox_of_the_host(bundle: Bundle, driver: ctypes.CDLL) -> None:
    engine = open_engine(bundle, driver)
    for seed, (height, width) in enumerate(
        [(31, 47), (31, 47), (90, 60), (HEIGHT, WIDTH), (2 * HEIGHT, 2 * WIDTH)]
    ):
        image = picture(seed, height, width)[0]
        ours = engine.infer_image(image)
        labels, confidence = ours.labels_BHW.copy(), ours.confidence_BHW.copy()
        theirs = engine.infer(bundle.letterbox.apply(image)[None])
        np.testing.assert_array_equal(labels, theirs.labels_BHW)
        np.testing.assert_array_equal(confidence, theirs.confidence_BHW)
    for wrong in (np.zeros((4, 5, 4), np.uint8), np.zeros((4, 5, 3), np.float32), np.zeros(5, np.uint8)):
        with pytest.raises(ImageError, match=r"an image is uint8 \(H, W, 3\)"):
            engine.infer_image(wrong)
    engine.close()


@pytest.mark.parametrize("rotation", [0, 90])
def test_segmenter_leaves_the_letterbox_to_it(
    tmp_path: Path, bundle: Bundle, driver: ctypes.CDLL, rotation: int
) -> None:
    engine = open_engine(bundle, driver)
    assert isinstance(engine, ImageEngine)
    host = OnnxRuntimeEngine(make_color_bundle(tmp_path / "host", DESERT, HEIGHT, WIDTH), device="cpu")
    assert not isinstance(host, ImageEngine)
    theirs, ours = (Segmenter(bundle, e, rotation=rotation) for e in (host, engine))
    frame = Frame(picture(9, 40, 61)[0], 7, "camera")
    ours.warm_up()
    for _ in range(2):
        expected, found = theirs.segment(frame), ours.segment(frame)
        np.testing.assert_array_equal(found.labels_HW, expected.labels_HW)
        np.testing.assert_array_equal(found.confidence_HW, expected.confidence_HW)
        assert found.mean_confidence == pytest.approx(expected.mean_confidence)
    assert ours.timings_ms["letterbox"] == 0
    assert any(name.startswith("image ") for name in engine.graphs)
    engine.close()


def test_names_and_types_of_torch_tensorrt(bundle: Bundle, driver: ctypes.CDLL) -> None:
    names = ("labels", "confidence", "mean_confidence", "logit_sum")
    rename = {"image": "image_bhwc", **{name: f"output{i}" for i, name in enumerate(names)}}
    engine = open_engine(bundle, driver, rename=rename, half_bytes=True)
    image, labels = picture(7)
    output = engine.infer(image[None])
    np.testing.assert_array_equal(output.labels_BHW[0], labels)
    assert output.confidence_BHW.dtype == np.uint8
    assert output.confidence_BHW.max() > 200
    engine.close()


def test_logits_that_are_not_finite_show_whatever_the_graph_says(tmp_path: Path, driver: ctypes.CDLL) -> None:
    import onnx

    model = onnx.load_from_string(plan_of(poison=True)[len(MAGIC) :])
    # As a run time would that reckons without NaN: the mean of the graph is always finite.
    for node in model.graph.node:
        node.output[:] = ["unused" if name == "mean_confidence" else name for name in node.output]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(1, np.float32), "one"))
    model.graph.node.append(onnx.helper.make_node("Identity", ["one"], ["mean_confidence"]))
    engine = open_engine(make_bundle(tmp_path, MAGIC + model.SerializeToString()), driver)
    image = picture(8)[0]
    assert np.isfinite(engine.infer(np.minimum(image, 254)[None]).mean_confidence_B).all()
    image[3, 4, 1] = 255
    assert np.isnan(engine.infer(image[None]).mean_confidence_B).all()
    engine.close()


@pytest.mark.parametrize(
    "image",
    [np.zeros((1, WIDTH, HEIGHT, 3), np.uint8), np.zeros((1, HEIGHT, WIDTH, 3), np.float32)],
)
def test_pixels_that_do_not_fit(bundle: Bundle, driver: ctypes.CDLL, image: np.ndarray) -> None:
    engine = open_engine(bundle, driver)
    with pytest.raises(EngineError, match="the engine takes uint8"):
        engine.infer(image)
    engine.close()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"version": "10.16.2"}, r"built by tensorrt 10\.16\.2; this machine has 10\.3\.0"),
        (
            {"gpu": {**GPU, "name": "Orin", "compute_capability": "8.9"}},
            r"built for Orin \(compute capability 8\.9\); this is Fake GPU \(compute capability 8\.7\)",
        ),
        ({"plan": plan_of()[:-2000]}, r"refuses the plan .*: IRuntime::deserializeCudaEngine"),
        ({"plan": b""}, "refuses the plan"),
        ({"plan": plan_of(height=HEIGHT + 1)}, r"image should be uint8 \[1, 18, 32, 3\]"),
        ({"plan": MAGIC + color_model(DESERT, HEIGHT, WIDTH)}, "logit_sum is missing"),
    ],
)
def test_plans_that_do_not_fit_are_refused_with_the_command(
    tmp_path: Path, driver: ctypes.CDLL, what: dict[str, Any], message: str
) -> None:
    bundle = make_bundle(tmp_path, **what)
    with pytest.raises(BundleError, match=message) as caught:
        open_engine(bundle, driver)
    assert "offroad-seg compile" in caught.value.mend
    assert "--backend tensorrt" in caught.value.mend


def test_another_driver_is_no_reason_to_refuse(tmp_path: Path, driver: ctypes.CDLL) -> None:
    open_engine(make_bundle(tmp_path, gpu={**GPU, "driver": "550.0"}), driver).close()
    # A plan of TensorRT for RTX is bound to no GPU.
    open_engine(write_bundle(tmp_path / "any", replace(make_bundle(tmp_path / "x").manifest, gpu=None),
                             {"model.plan": plan_of()}), driver).close()  # fmt: skip


def test_it_runs_on_a_gpu_only(bundle: Bundle, driver: ctypes.CDLL) -> None:
    trt: Any = FakeTensorRt(driver)
    with pytest.raises(InputError, match="on a GPU only"):
        TrtEngine(bundle, trt, "tensorrt", device="cpu")


@pytest.mark.tensorrt_rtx
def test_machine_without_a_gpu_refuses_with_a_reason(tmp_path: Path) -> None:
    if not TensorRtRtxEngine.unavailable():
        pytest.skip("this machine can run TensorRT for RTX")
    bundle = make_bundle(tmp_path)
    manifest = replace(bundle.manifest, backend="tensorrt-rtx", backends=("tensorrt-rtx",), gpu=None)
    rtx = write_bundle(tmp_path / "rtx", manifest, {"model.plan": plan_of()})
    with pytest.raises(EngineError, match=r"tensorrt-rtx does not work here: .*(driver|GPU|tensorrt)"):
        load_engine(rtx)
