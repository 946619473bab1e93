# SPDX-License-Identifier: Apache-2.0
"""``desert`` in both sizes, as their recipes build it. ``test_zoo`` tests what every network must do."""

from __future__ import annotations

from dataclasses import replace

import onnx
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from offroad_seg_train.models import ModelConfig, build_model
from offroad_seg_train.models.desert import Context
from offroad_seg_train.training.recipe import load_recipe

CLASSES = 10
BOTH = pytest.mark.parametrize("recipe", ["desert", "desert_small"])

# What TensorRT (10 and RTX), OpenVINO and ONNX Runtime have a quick kernel for.
USUAL_OPERATORS = {
    "Add", "Concat", "Constant", "Conv", "GlobalAveragePool", "MaxPool", "Pad", "ReduceMean", "Relu", "Resize", "Slice",
    "AveragePool",
}  # fmt: skip


def of_recipe(recipe: str) -> torch.nn.Module:
    config = load_recipe(recipe).model
    return build_model(replace(config, backbone_weights="none"), CLASSES).eval()


def gflop(model: torch.nn.Module) -> float:
    """At 266×476; one multiply-add counts as two."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 266, 476, device=next(model.parameters()).device))
    return counter.get_total_flops() / 1e9


def test_the_cost_stays_below_v3() -> None:
    with torch.device("meta"):
        v3 = gflop(build_model(ModelConfig(name="resnet50_fpn", backbone_weights="none"), CLASSES).eval())
        assert gflop(of_recipe("desert")) < v3
        assert gflop(of_recipe("desert_small")) <= v3 / 4


def test_the_graph_has_only_usual_operators(tmp_path) -> None:
    # Both sizes are the same code; the small one is quicker to export.
    path = tmp_path / "model.onnx"
    torch.onnx.export(
        of_recipe("desert_small"),
        (torch.zeros(1, 3, 75, 131),),
        path,
        dynamo=True,
        opset_version=18,
        verbose=False,
    )
    graph = onnx.load(path, load_external_data=False).graph
    assert {node.op_type for node in graph.node} <= USUAL_OPERATORS
    assert [d.dim_value for d in graph.output[0].type.tensor_type.shape.dim] == [1, CLASSES, 75, 131]


def test_context_brings_what_the_row_and_the_image_hold() -> None:
    torch.manual_seed(0)
    context = Context(4, 8, "batch").eval()
    x_BCHW = torch.randn(1, 4, 6, 9)
    changed_BCHW = x_BCHW.clone()
    changed_BCHW[:, :, 2, 1] += 5
    difference_HW = (context(x_BCHW) - context(changed_BCHW)).abs().amax((0, 1)).detach()
    assert (difference_HW > 0).all(), "every place hears of it through the image"
    own_row, others = difference_HW[2, 2:], difference_HW[[0, 1, 3, 4, 5]]
    assert own_row.min() > others.max(), "its own row hears more"
    with torch.no_grad():
        for branch in (context.of_row, context.of_image):
            branch.weight.zero_()
            branch.bias.zero_()
        unmoved = context(x_BCHW) == context(changed_BCHW)
    assert unmoved[0, 0].sum() >= 6 * 9 - 1


def test_the_logits_know_detail_finer_than_a_quarter() -> None:
    torch.manual_seed(0)
    model = build_model(ModelConfig(name="desert", backbone="resnet18", backbone_weights="none", width=16), 3)
    maps = []
    model.classifier.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    image_BCHW = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        model.eval()(image_BCHW)
        for module in (*model.backbone.modules(), model.reduce):
            if isinstance(module, torch.nn.Conv2d):
                module.weight.zero_()
        model(image_BCHW)
    assert maps[0].shape == (1, 3, 32, 48)
    # What is left without the backbone comes from the image itself, place by place.
    assert maps[1].std((2, 3)).min() > 0


@BOTH
def test_recipes_choose_pretrained_weights_and_can_do_without(recipe: str) -> None:
    assert load_recipe(recipe).model.backbone_weights == "timm"
    assert load_recipe(recipe, ["model.backbone_weights=none"]).model.backbone_weights == "none"
