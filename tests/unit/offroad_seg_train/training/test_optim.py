# SPDX-License-Identifier: Apache-2.0
"""Parameter groups and schedules, the latter against torch's own."""

from __future__ import annotations

import pytest
import torch

from offroad_seg.errors import InputError
from offroad_seg_train.models import ModelConfig, build_model
from offroad_seg_train.training.optim import OptimizerConfig, build_optimizer
from offroad_seg_train.training.schedule import ScheduleConfig

STEPS = 7


def rates(schedule: ScheduleConfig, epochs: int) -> list[float]:
    return [schedule.factor(step, STEPS, epochs) for step in range(STEPS * epochs)]


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


def test_restarts_are_those_of_torch() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=10, eta_min=0.02)
    ours = rates(ScheduleConfig("cosine_restarts", restart_epochs=10, floor=0.02), 25)
    for epoch in range(25):
        epoch_rates = ours[epoch * STEPS : (epoch + 1) * STEPS]
        assert epoch_rates == pytest.approx([optimizer.param_groups[0]["lr"]] * STEPS), f"epoch {epoch}"
        optimizer.step()
        reference.step()


def test_cosine_falls_from_full_to_floor() -> None:
    values = rates(ScheduleConfig("cosine", floor=0.1), 10)
    assert values[0] == 1.0
    assert values == sorted(values, reverse=True)
    assert values[len(values) // 2] == pytest.approx(0.55)
    assert 0.1 < values[-1] < 0.102


def test_warm_up_climbs_to_full_and_shifts_the_rest() -> None:
    values = rates(ScheduleConfig("constant", warmup_epochs=2), 4)
    assert values[: 2 * STEPS] == pytest.approx([(i + 1) / (2 * STEPS + 1) for i in range(2 * STEPS)])
    assert values[2 * STEPS :] == [1.0] * (2 * STEPS)
    cosine = rates(ScheduleConfig("cosine", warmup_epochs=2), 4)
    assert max(cosine) == cosine[2 * STEPS] == 1.0


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


@pytest.mark.parametrize(
    "wrong", [{"name": "step"}, {"floor": 2}, {"restart_epochs": 0}, {"warmup_epochs": -1}], ids=str
)
def test_schedule_settings_out_of_bounds_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError):
        ScheduleConfig(**wrong)
