# SPDX-License-Identifier: Apache-2.0
"""The search for a learning rate: what it suggests, and what it says where there is nothing to suggest."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from offroad_seg.cli.main import main
from offroad_seg.errors import InputError, OffroadSegError
from offroad_seg_train.training.config import TrainConfig
from offroad_seg_train.training.lr_finder import find_rate, judge

RATES = [float(rate) for rate in np.geomspace(1e-6, 1.0, 120)]


def losses(fall_at: float, explode_at: float, noise: float = 0.0) -> list[float]:
    """A loss that falls from 2 to 1 around one rate and explodes at another."""
    rng = np.random.default_rng(0)
    made = []
    for rate in RATES:
        value = 2 - 1 / (1 + (fall_at / rate) ** 2) + (rate / explode_at) ** 4
        made.append(value + noise * rng.normal())
    return made


@pytest.mark.parametrize("fall_at", [1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_the_steepest_descent_is_found(fall_at: float, noise: float) -> None:
    found = judge(RATES, losses(fall_at, explode_at=0.5, noise=noise))
    assert fall_at / 2 < found.suggestion < fall_at * 2
    assert found.suggestion < found.lowest < 0.5
    assert found.diverged is not None
    assert 0.3 < found.diverged <= 1.0


def test_a_loss_that_never_explodes_is_read_to_its_end() -> None:
    found = judge(RATES, losses(1e-3, explode_at=1e9))
    assert found.diverged is None
    assert len(found.rates) == len(found.losses) == len(found.smoothed) == len(RATES)


@pytest.mark.parametrize("last", [math.nan, math.inf, 1e9])
def test_diverging_at_once_is_an_error_that_says_what_to_do(last: float) -> None:
    with pytest.raises(OffroadSegError, match="grows from the first steps on: 2 at 1.0e-06") as caught:
        judge(RATES[:3], [2.0, 2.5, last])
    assert "--min" in caught.value.mend


def test_a_loss_that_never_falls_is_an_error() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(OffroadSegError, match="never falls") as caught:
        judge(RATES, [2 + 0.01 * rng.normal() for _ in RATES])
    assert "--max" in caught.value.mend


def test_a_search_on_real_pictures(recipe: TrainConfig, tmp_path: Path) -> None:
    found = find_rate(recipe, tmp_path / "lr", steps=60, show=False)
    written = json.loads((tmp_path / "lr" / "lr_find.json").read_text())
    assert written["suggestion"] == found.suggestion
    assert 1e-4 < found.suggestion < 1.0
    picture = cv2.imread(str(tmp_path / "lr" / "lr_find.png"))
    assert picture.std() > 5, "something is drawn"
    again = find_rate(recipe, tmp_path / "again", steps=60, show=False)
    assert again == found, "the same seed finds the same"


def test_real_steps_that_explode_are_an_error_and_leave_nothing(recipe: TrainConfig, tmp_path: Path) -> None:
    wild = replace(recipe, clip=0.0, optimizer=replace(recipe.optimizer, name="sgd"))
    with pytest.raises(OffroadSegError, match="grows from the first steps on"):
        find_rate(wild, tmp_path / "lr", lowest=1e8, highest=1e9, show=False)
    assert not (tmp_path / "lr").exists()


@pytest.mark.parametrize(
    "wrong", [{"lowest": 0.0}, {"lowest": 2.0}, {"steps": 3}, {"lowest": float("nan")}], ids=str
)
def test_a_range_that_is_none_is_refused(wrong: dict, recipe: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no search"):
        find_rate(recipe, tmp_path / "lr", **wrong)


def test_the_command_prints_the_setting(frames: Path, tmp_path: Path, capsys) -> None:
    words = ["data.height=48", "data.width=80", "data.workers=0", "model.width=8", "device=cpu"]
    out = tmp_path / "lr"
    assert (
        main(
            ["lr-find", "--config", "tiny", "--data", str(frames), "--out", str(out), "--steps", "40", *words]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "optimizer.lr=" in said
    assert str(out / "lr_find.png") in said
    assert main(["lr-find", "--data", str(frames)]) == 2
    assert main(["lr-find", "--config", "tiny", "--data", str(frames), "--out", str(out)]) == 2
    assert "not empty" in capsys.readouterr().err
