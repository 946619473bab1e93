# SPDX-License-Identifier: Apache-2.0
"""Learning-rate schedules against torch's own."""

from __future__ import annotations

import pytest
import torch

from offroad_seg.errors import InputError
from offroad_seg_train.training.schedule import ScheduleConfig

STEPS = 7


def rates(schedule: ScheduleConfig, epochs: int) -> list[float]:
    return [schedule.factor(step, STEPS, epochs) for step in range(STEPS * epochs)]


def torch_rates(make, count: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    found = []
    for step in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step + 1 < count:
            scheduler.step()
    return found


def test_restarts_are_those_of_torch() -> None:
    schedulers = torch.optim.lr_scheduler
    expected = torch_rates(lambda o: schedulers.CosineAnnealingWarmRestarts(o, T_0=10, eta_min=0.02), 25)
    ours = rates(ScheduleConfig("cosine_restarts", restart_epochs=10, floor=0.02), 25)
    assert ours == pytest.approx([rate for rate in expected for _ in range(STEPS)])


def test_poly_is_that_of_torch() -> None:
    expected = torch_rates(
        lambda o: torch.optim.lr_scheduler.PolynomialLR(o, total_iters=10 * STEPS, power=0.9), 10 * STEPS
    )
    assert rates(ScheduleConfig("poly"), 10) == pytest.approx(expected)


@pytest.mark.parametrize("epochs", [1, 2, 10])
def test_one_cycle_is_that_of_torch(epochs: int) -> None:
    total = epochs * STEPS
    expected = torch_rates(
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=total), total
    )
    assert rates(ScheduleConfig("one_cycle"), epochs) == pytest.approx(expected)


def test_plateau_is_that_of_torch() -> None:
    values = [0.1, 0.2, 0.2, 0.2, 0.15, 0.3, 0.3, 0.2, 0.1, 0.1, 0.1]
    schedule = ScheduleConfig("plateau", plateau_patience=1, plateau_factor=0.5, floor=0.2)
    assert [schedule.plateau(values[:n], larger_is_better=True) for n in range(len(values) + 1)] == [
        *([1.0] * 4),
        *([0.5] * 4),
        *([0.25] * 2),
        *([0.2] * 2),
    ]
    falling = [1 - value for value in values]
    assert schedule.plateau(falling, larger_is_better=False) == 0.2
    assert ScheduleConfig("constant").plateau(values, larger_is_better=True) == 1.0


def test_a_plateau_of_what_validation_cannot_give_is_one() -> None:
    schedule = ScheduleConfig("plateau", plateau_patience=1, plateau_factor=0.5)
    assert schedule.plateau([float("-inf")] * 3, larger_is_better=True) == 0.5


def test_cosine_falls_from_full_to_floor() -> None:
    values = rates(ScheduleConfig("cosine", floor=0.1), 10)
    assert values[0] == 1.0
    assert values == sorted(values, reverse=True)
    assert values[len(values) // 2] == pytest.approx(0.55)
    assert 0.1 < values[-1] < 0.102


@pytest.mark.parametrize("name", ["constant", "cosine", "cosine_restarts", "poly", "plateau"])
def test_warm_up_climbs_to_full_and_shifts_the_rest(name: str) -> None:
    values = rates(ScheduleConfig(name, warmup_epochs=2), 4)
    assert values[: 2 * STEPS] == pytest.approx([(i + 1) / (2 * STEPS + 1) for i in range(2 * STEPS)])
    assert max(values) == values[2 * STEPS] == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "step"},
        {"floor": 2},
        {"restart_epochs": 0},
        {"warmup_epochs": -1},
        {"plateau_factor": 1.0},
        {"plateau_patience": -1},
        {"name": "one_cycle", "warmup_epochs": 1},
    ],
    ids=str,
)
def test_settings_out_of_bounds_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError):
        ScheduleConfig(**wrong)
