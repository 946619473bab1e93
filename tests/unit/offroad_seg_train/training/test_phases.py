# SPDX-License-Identifier: Apache-2.0
"""Runs of several phases: what is frozen, which weights and rates a phase begins with, stopping early, resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import lightning.pytorch as lightning
import pytest
import torch

from offroad_seg.errors import InputError
from offroad_seg_train.checkpoint import load_checkpoint
from offroad_seg_train.training.config import TrainConfig
from offroad_seg_train.training.ema import EmaConfig
from offroad_seg_train.training.monitor import EarlyStoppingConfig
from offroad_seg_train.training.phase_config import PhaseConfig
from offroad_seg_train.training.recipe import dump, load_recipe
from offroad_seg_train.training.run import train
from offroad_seg_train.training.schedule import ScheduleConfig

ALL = ["stem", "layer1", "layer2", "layer3", "layer4"]


class Beginnings(lightning.Callback):
    """What each phase begins and ends with."""

    def __init__(self) -> None:
        self.trained: list[set[str]] = []
        self.first: list[dict[str, torch.Tensor]] = []
        self.last: list[dict[str, torch.Tensor]] = []

    def on_train_start(self, _trainer, module) -> None:
        self.trained.append({name for name, p in module.network.named_parameters() if p.requires_grad})
        self.first.append({name: value.clone() for name, value in module.network.state_dict().items()})

    def on_train_epoch_end(self, trainer, module) -> None:
        if trainer.current_epoch == 0:
            self.last.append({name: value.clone() for name, value in module.network.state_dict().items()})


class Interrupt(lightning.Callback):
    """Ctrl-C as the n-th epoch of all phases begins."""

    def __init__(self, epoch: int) -> None:
        self.left = epoch

    def on_train_epoch_start(self, *_) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def phased(frames: Path) -> TrainConfig:
    """A small U-Net in three phases."""
    words = ["data.height=64", "data.width=96", "data.workers=0", "model.backbone=resnet10t", "device=cpu"]
    config = load_recipe(
        "unet_resnet18", [*words, "model.backbone_weights=none", "epochs=4", "batch_size=8"], frames
    )
    return replace(
        config,
        loss=replace(config.loss, class_weights="none"),
        schedule=ScheduleConfig("cosine_restarts", restart_epochs=2),
        ema=EmaConfig(decay=0.5),
        phases=[
            PhaseConfig(epochs=1, frozen=ALL),
            PhaseConfig(epochs=2, frozen=["stem"], lr_factor=0.5),
            PhaseConfig(epochs=1, lr_factor=0.1, start="last"),
        ],
    )


@pytest.fixture(scope="module")
def unbroken(phased: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list, Beginnings]:
    run, beginnings = tmp_path_factory.mktemp("phases") / "run", Beginnings()
    return run, train(phased, run, show=False, callbacks=[beginnings]).rows, beginnings


def figures(rows: list[dict]) -> list[dict]:
    return [{**row, "seconds": 0} for row in rows]


def test_epochs_are_counted_through(unbroken: tuple[Path, list, Beginnings]) -> None:
    run, rows, _ = unbroken
    assert [(row["epoch"], row["phase"]) for row in rows] == [(1, 1), (2, 2), (3, 2), (4, 3)]
    assert load_checkpoint(run / "checkpoints" / "last.ckpt").epoch == 4


def test_each_phase_trains_what_it_does_not_freeze(unbroken: tuple[Path, list, Beginnings]) -> None:
    _, _, seen = unbroken
    backbone = [{name for name in names if "encoder" in name} for names in seen.trained]
    assert not backbone[0]
    assert backbone[0] < backbone[1] < backbone[2]
    moved = {name for name in seen.first[0] if not torch.equal(seen.first[0][name], seen.last[0][name])}
    assert moved
    assert not any("encoder" in name for name in moved), "frozen, BatchNorm's statistics too"
    moved = {name for name in seen.first[1] if not torch.equal(seen.first[1][name], seen.last[1][name])}
    assert any("encoder" in name and name.endswith("running_mean") for name in moved)


def test_rates_are_scaled_and_begin_anew(unbroken: tuple[Path, list, Beginnings]) -> None:
    _, rows, _ = unbroken
    base = rows[0]["lr"]["head"]
    assert [row["lr"]["head"] / base for row in rows] == pytest.approx([1, 0.5, 0.25, 0.1])


def test_a_phase_begins_with_the_best_or_the_last_weights(
    phased: TrainConfig, unbroken: tuple[Path, list, Beginnings], tmp_path: Path
) -> None:
    run, _, seen = unbroken
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert "current_model_state" in last, "the mean and the weights are both kept"
    with pytest.raises(KeyboardInterrupt):
        train(phased, tmp_path / "run", show=False, callbacks=[Interrupt(4)])
    state = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(state[f"network.{name}"], value) for name, value in seen.first[2].items())


@pytest.mark.parametrize("epoch", [2, 3], ids=["between two phases", "inside a phase"])
def test_a_resumed_run_is_as_if_it_had_not_stopped(
    epoch: int, phased: TrainConfig, unbroken: tuple[Path, list, Beginnings], tmp_path: Path
) -> None:
    run, rows, _ = unbroken
    with pytest.raises(KeyboardInterrupt):
        train(phased, tmp_path / "run", show=False, callbacks=[Interrupt(epoch)])
    resumed = train(phased, tmp_path / "run", resume=True, show=False)
    assert figures(resumed.rows) == figures(rows)
    for name in ("last.ckpt", "best.ckpt"):
        a, b = (
            torch.load(folder / "checkpoints" / name, weights_only=True)["state_dict"]
            for folder in (run, tmp_path / "run")
        )
        assert all(torch.equal(a[key], b[key]) for key in a), name


def test_a_phase_that_gets_no_better_gives_way_to_the_next(recipe: TrainConfig, tmp_path: Path) -> None:
    stuck = replace(
        recipe,
        # Nothing can get better by less than 2.
        early_stopping=EarlyStoppingConfig(patience=1, min_delta=2.0),
        schedule=ScheduleConfig("plateau", plateau_patience=0, plateau_factor=0.5),
        phases=[PhaseConfig(epochs=5), PhaseConfig(epochs=4, lr_factor=0.1)],
        epochs=9,
    )
    run = tmp_path / "run"
    result = train(stuck, run, show=False)
    assert [(row["epoch"], row["phase"]) for row in result.rows] == [(1, 1), (2, 1), (3, 2), (4, 2)]
    again = train(stuck, run, resume=True, show=False)
    assert again.rows == result.rows, "a run that was stopped early is finished"


def test_phases_survive_a_recipe_file(phased: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "phases.yaml").write_text(dump(phased))
    again = load_recipe(tmp_path / "phases.yaml")
    assert again == phased
    longer = load_recipe(tmp_path / "phases.yaml", ["phases.1.epochs=3", "epochs=5", "phases.0.frozen=null"])
    assert longer.phases == [
        replace(phased.phases[0], frozen=None),
        replace(phased.phases[1], epochs=3),
        phased.phases[2],
    ]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["epochs=5"], r"the phases have 1 \+ 2 \+ 1 epochs, the run has 5"),
        (["phases.3.epochs=5"], "no entry '3'"),
        (["phases.0.epochs=0"], "phases"),
        (["phases.0.lr_factor=0"], "lr_factor"),
        (["phases.0.start=first"], "no start 'first'"),
        (["phases.0.length=3"], "length"),
        (["schedule.warmup_epochs=1"], "warm-up"),
    ],
    ids=str,
)
def test_phases_that_do_not_fit_are_refused(
    words: list[str], names: str, phased: TrainConfig, tmp_path: Path
) -> None:
    (tmp_path / "phases.yaml").write_text(dump(phased))
    with pytest.raises(InputError, match=names):
        load_recipe(tmp_path / "phases.yaml", words)
