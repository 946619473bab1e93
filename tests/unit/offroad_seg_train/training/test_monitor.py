# SPDX-License-Identifier: Apache-2.0
"""Which epoch is the best, and when a run has waited long enough."""

from __future__ import annotations

import pytest

from offroad_seg.errors import InputError
from offroad_seg_train.training.monitor import EarlyStoppingConfig, Monitor


def rows(*values: float | None, name: str = "miou") -> list[dict]:
    return [{"val": {name: value, "per_class": {"Dry Grass": {"iou": value}}}} for value in values]


def test_a_figure_is_found_by_its_name() -> None:
    (row,) = rows(0.25)
    assert Monitor("miou").value(row) == 0.25
    assert Monitor("per_class.Dry Grass.iou").value(row) == 0.25


def test_more_is_better_but_of_the_loss() -> None:
    assert Monitor("miou").is_better(0.3, 0.2)
    assert not Monitor("miou").is_better(0.2, 0.2)
    assert Monitor("loss").is_better(0.2, 0.3)
    assert not Monitor("loss").is_better(0.3, 0.2)


def test_what_validation_cannot_give_is_never_better_than_a_figure() -> None:
    monitor = Monitor("miou")
    assert monitor.is_better(None, None), "some checkpoint must be the best"
    assert monitor.is_better(0.0, None)
    assert not monitor.is_better(None, 0.0)


@pytest.mark.parametrize(
    ("values", "stops"),
    [
        ((0.1, 0.2, 0.3), False),
        ((0.3, 0.2), False),
        ((0.3, 0.2, 0.2), True),
        ((0.3, 0.2, 0.305), True),  # better, but by less than it takes
        ((0.3, 0.2, 0.35), False),
        ((None, None), True),
        ((0.3, None, None), True),
    ],
)
def test_patience(values: tuple, stops: bool) -> None:
    config = EarlyStoppingConfig(patience=2, min_delta=0.01)
    assert Monitor("miou").should_stop(rows(*values), config) is stops
    assert not Monitor("miou").should_stop(rows(*values), EarlyStoppingConfig())


def test_patience_with_the_loss() -> None:
    config = EarlyStoppingConfig(patience=2)
    assert not Monitor("loss").should_stop(rows(0.5, 0.6, 0.4, name="loss"), config)
    assert Monitor("loss").should_stop(rows(0.5, 0.6, 0.5, name="loss"), config)


@pytest.mark.parametrize("name", ["iou", "per_class.Sky", "per_class.Sky.colour", ""])
def test_a_figure_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"mean_dice.*per_class\.NAME"):
        Monitor(name)


def test_a_class_that_is_none_is_refused_by_name() -> None:
    Monitor("per_class.Sky.iou").check_classes(["Sky"])
    with pytest.raises(InputError, match="no class 'Skye'") as caught:
        Monitor("per_class.Skye.iou").check_classes(["Sky", "Rocks"])
    assert "Sky, Rocks" in caught.value.mend


def test_patience_below_zero_is_refused() -> None:
    with pytest.raises(InputError, match="early_stopping"):
        EarlyStoppingConfig(patience=-1)
