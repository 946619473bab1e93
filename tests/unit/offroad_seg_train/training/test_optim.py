# SPDX-License-Identifier: Apache-2.0
"""Parameter groups and their rates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from offroad_seg.errors import InputError
from offroad_seg_train.models import ModelConfig, build_model
from offroad_seg_train.training.config import TrainConfig
from offroad_seg_train.training.optim import OptimizerConfig, build_optimizer
from offroad_seg_train.training.run import train
from tests.unit.offroad_seg_train.training.test_phases import Interrupt, figures


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


def test_muon_moves_every_direction_of_a_convolution_alike_and_norms_as_adamw_does() -> None:
    torch.manual_seed(0)
    model = build_model(ModelConfig(name="tiny", width=16), 5)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    rate = 1e-3
    optimizer = build_optimizer(OptimizerConfig("muon", rate, weight_decay=0.0), model)
    model(torch.rand(2, 3, 32, 48)).square().mean().backward()
    optimizer.step()
    steps = {name: (p.detach() - before[name]) / rate for name, p in model.named_parameters()}
    # Deeper, maps of this small image have too few places for gradients of full rank.
    convolutions = [step.flatten(1) for name, step in steps.items() if name.startswith("stage8.1.conv")]
    assert len(convolutions) == 2
    for step in convolutions:
        values = torch.linalg.svdvals(step)
        assert values.min() > 0.8 * values.max(), "those of a plain gradient span orders of magnitude"
        # As large as AdamW's steps are: the same rates fit both.
        assert step.square().mean().sqrt() == pytest.approx(0.2, rel=0.05)
    norms = [step for name, step in steps.items() if step.ndim == 1]
    assert all(0.5 < step.abs().median() < 2.5 for step in norms)


def test_a_run_with_muon_goes_on_as_if_it_had_not_stopped(recipe: TrainConfig, tmp_path: Path) -> None:
    config = replace(recipe, epochs=2, optimizer=OptimizerConfig("muon", 3e-3, weight_decay=1e-2))
    rows = train(config, tmp_path / "unbroken", show=False).rows
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "broken", show=False, callbacks=[Interrupt(2)])
    assert figures(train(config, tmp_path / "broken", resume=True, show=False).rows) == figures(rows)


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
