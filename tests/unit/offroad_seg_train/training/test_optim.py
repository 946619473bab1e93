# SPDX-License-Identifier: Apache-2.0
"""Parameter groups and their rates."""

from __future__ import annotations

import pytest
import torch

from offroad_seg.errors import InputError
from offroad_seg_train.models import ModelConfig, build_model
from offroad_seg_train.training.optim import OptimizerConfig, build_optimizer


def test_v3_has_two_learning_rates() -> None:
    model = build_model(
        ModelConfig(name="resnet50_fpn", backbone_weights="none", frozen=["stem", "layer1", "layer2"]), 10
    )
    optimizer = build_optimizer(OptimizerConfig("adamw", 5e-4, 5e-5, 1e-4), model)
    groups = {group["name"]: group for group in optimizer.param_groups}
    assert {name: group["lr"] for name, group in groups.items()} == {"head": 5e-4, "backbone": 5e-5}
    assert all(group["weight_decay"] == 1e-4 for group in groups.values())
    tuned = {id(p) for p in groups["backbone"]["params"]}
    expected = [*model.backbone.layer3.parameters(), *model.backbone.layer4.parameters()]
    assert tuned == {id(p) for p in expected}


def test_a_network_without_a_backbone_has_one_group() -> None:
    optimizer = build_optimizer(OptimizerConfig("sgd", 0.1), build_model(ModelConfig(name="tiny"), 3))
    assert [(group["name"], group["lr"]) for group in optimizer.param_groups] == [("head", 0.1)]


def test_a_phase_scales_every_rate() -> None:
    model = build_model(ModelConfig(name="tiny"), 3)
    optimizer = build_optimizer(OptimizerConfig("adamw", 0.2), model, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1]


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_one_kernel_for_all_tensors_gives_what_the_plain_optimiser_gives(name: str) -> None:
    results = []
    for fused in (False, True):
        torch.manual_seed(0)
        model = build_model(ModelConfig(name="tiny", width=8), 3)
        optimizer = build_optimizer(OptimizerConfig(name, 1e-2, weight_decay=0.1), model, fused=fused)
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.rand(1, 3, 32, 48)).square().mean().backward()
            optimizer.step()
        results.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-3, atol=1e-5)


def test_a_network_that_is_wholly_frozen_is_refused() -> None:
    model = build_model(ModelConfig(name="tiny"), 3).requires_grad_(False)
    with pytest.raises(InputError, match="frozen"):
        build_optimizer(OptimizerConfig(), model)


@pytest.mark.parametrize(
    "wrong", [{"name": "adam"}, {"lr": 0}, {"lr": float("nan")}, {"backbone_lr": -1e-3}], ids=str
)
def test_optimizer_settings_out_of_bounds_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError):
        OptimizerConfig(**wrong)
