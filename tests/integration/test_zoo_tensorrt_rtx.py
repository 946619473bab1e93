# SPDX-License-Identifier: Apache-2.0
"""Every recipe's network becomes an FP16 engine on a machine without a GPU, and computes in FP16 what it computes in FP32.

TensorRT for RTX builds, from the ONNX graph and, by way of torch-tensorrt, from the exported program; ONNX Runtime computes,
with every float16 tensor rounded (``tests/helpers/half.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pytest
import torch

from offroad_seg.compile.builder import BuildTools
from offroad_seg.compile.gate_images import gate_images
from offroad_seg.compile.onnx_typed import typed_graph
from offroad_seg.compile.trt_build import build_plan
from offroad_seg.image import Letterbox
from offroad_seg_train.export.graph import DeployedModel, export_program, onnx_bytes, program_bytes
from offroad_seg_train.training.recipe import load_recipe, recipe_names
from tests.helpers.half import rounding, run
from tests.helpers.networks import lively

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg_train.models import ModelConfig
    from tests.helpers.torch_tensorrt import Converter

trt: Any = pytest.importorskip(
    "tensorrt_rtx", reason="TensorRT for RTX is not installed: pip install tensorrt-rtx"
)
pytestmark = [pytest.mark.parallel, pytest.mark.tensorrt_rtx, pytest.mark.slow]

CLASSES = 10
# Small, not square, sides of patches of 14 pixels; no multiple of 32.
HEIGHT, WIDTH = 126, 224


def distinct_models() -> dict[str, ModelConfig]:
    """Recipe → its network, without those that another recipe has, too."""
    found: dict[str, ModelConfig] = {}
    for name in sorted(recipe_names()):
        config = replace(load_recipe(name).model, backbone_weights="none", frozen=[], dropout=0.0)
        if config not in found.values():
            found[name] = config
    return found


MODELS = distinct_models()
# Numbers are compared once for each kind of network: the others differ in depth.
COMPARED = {config.name: recipe for recipe, config in reversed(MODELS.items())}


@dataclass(frozen=True)
class Exported:
    """A network of the zoo as a bundle carries it."""

    recipe: str
    model: bytes
    program: bytes
    parameters: int


def pictures() -> np.ndarray:
    images = gate_images(None, Letterbox(HEIGHT, WIDTH), 2).images
    return np.stack([image.image_HWC for image in images])


@pytest.fixture(scope="module", params=MODELS)
def exported(request: pytest.FixtureRequest) -> Exported:
    recipe: str = request.param
    images_BCHW = torch.from_numpy(pictures().transpose(0, 3, 1, 2).copy())
    model = lively(MODELS[recipe], CLASSES, images_BCHW)
    with torch.no_grad():
        program = export_program(DeployedModel(model), HEIGHT, WIDTH)
        data = onnx_bytes(program)
    return Exported(recipe, data, program_bytes(program), sum(p.numel() for p in model.parameters()))


def test_fp16_engine_is_built_and_shows_that_it_is(exported: Exported) -> None:
    graph = typed_graph(exported.model, "fp16")
    # Only means over an image are left in float32.
    assert all("(ReduceMean)" in name for name in graph.kept_fp32), graph.kept_fp32
    tools = BuildTools(lambda _: None, lambda: False)
    # Names, types and shapes of inputs and outputs are checked in it.
    proof = build_plan(
        trt, graph, (1, HEIGHT, WIDTH, 3), tools, called="TensorRT for RTX", where=exported.recipe
    ).proof
    assert set(proof.heavy) == {"half"}
    assert proof.constants["half"] >= 0.97 * exported.parameters
    assert proof.constants.get("float", 0) < 1000
    assert proof.weights_bytes == pytest.approx(2 * exported.parameters, rel=0.05)
    # The size of a plan: about half of float32, and what code there is.
    assert proof.plan_bytes < 2.2 * exported.parameters + (5 << 20)


def test_torch_tensorrt_makes_an_fp16_engine_of_the_program(
    exported: Exported, converter: Converter, tmp_path: Path
) -> None:
    file = tmp_path / "model.pt2"
    file.write_bytes(exported.program)
    made = converter(file, timing_cache=tmp_path / "timing.cache")
    assert made.get("what") is None
    proof = made["proof"]
    assert set(proof["heavy"]) == {"half"}
    assert proof["constants"]["half"] >= 0.97 * exported.parameters
    # Layer norms compute in float32, with their gains.
    assert proof["constants"].get("float", 0) < max(1000, 0.001 * exported.parameters)
    assert proof["weights_bytes"] == pytest.approx(2 * exported.parameters, rel=0.05)
    assert proof["plan_bytes"] < 2.2 * exported.parameters + (5 << 20)
    assert set(made["bindings"]) == {"image", "labels", "confidence", "mean_confidence", "logit_sum"}


def test_fp16_agrees_with_fp32(exported: Exported) -> None:
    if COMPARED[MODELS[exported.recipe].name] != exported.recipe:
        pytest.skip(f"numbers are compared on {COMPARED[MODELS[exported.recipe].name]}, the same network")
    image = pictures()[:1]
    half = run(rounding(typed_graph(exported.model, "fp16").data), image)
    session = ort.InferenceSession(exported.model, providers=["CPUExecutionProvider"])
    full = run(session, image)
    assert np.isfinite(half["logit_sum"]).all()
    agree = half["labels"] == full["labels"]
    # Random weights leave many pixels undecided; where they are decided, the label must not depend on the precision.
    decided = full["confidence"] >= 0.6 * 255
    assert decided.mean() > 0.3
    assert len(np.unique(full["labels"])) >= 5
    assert agree[decided].mean() >= 0.995
    assert agree.mean() >= 0.97
    assert np.abs(half["confidence"].astype(int) - full["confidence"]).mean() <= 3
    assert half["mean_confidence"] == pytest.approx(full["mean_confidence"], abs=5e-3)
