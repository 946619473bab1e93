# SPDX-License-Identifier: Apache-2.0
"""What a step is: accumulation, plateaus, determinism, losses that are not finite, what is said about absent classes."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import lightning.pytorch as lightning
import pytest
import torch
import torch._dynamo.utils

from offroad_seg.errors import OffroadSegError
from offroad_seg_train.checkpoint import load_checkpoint, read_checkpoint
from offroad_seg_train.training.config import TrainConfig
from offroad_seg_train.training.ema import EmaConfig
from offroad_seg_train.training.monitor import Monitor
from offroad_seg_train.training.run import train
from offroad_seg_train.training.schedule import ScheduleConfig
from tests.unit.offroad_seg_train.training.test_phases import Interrupt, figures


class Steps(lightning.Callback):
    """The rate of each optimiser step."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_before_optimizer_step(self, _trainer, _module, optimizer) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])


def test_the_schedule_counts_optimiser_steps(recipe: TrainConfig, tmp_path: Path) -> None:
    # Four batches an epoch, of which three make a step: two steps an epoch.
    config = replace(recipe, accumulate=3, epochs=2, schedule=ScheduleConfig("cosine"))
    steps = Steps()
    train(config, tmp_path / "run", show=False, callbacks=[steps])
    expected = [config.schedule.factor(step, 2, 2) * config.optimizer.lr for step in range(4)]
    assert steps.rates == pytest.approx(expected)


def test_accumulated_gradients_are_those_of_a_larger_batch(recipe: TrainConfig, tmp_path: Path) -> None:
    # Without BatchNorm and class weights, four batches of four are one batch of sixteen.
    base = replace(
        recipe,
        epochs=1,
        clip=0.0,
        model=replace(recipe.model, norm="layer"),
        loss=replace(recipe.loss, class_weights="none", dice=0.0),
        augment=replace(recipe.augment, flip=0.0, brightness=0.0, contrast=0.0, saturation=0.0),
        schedule=ScheduleConfig("constant"),
        optimizer=replace(recipe.optimizer, name="sgd", lr=0.1),
    )
    parts = train(replace(base, batch_size=4, accumulate=4), tmp_path / "parts", show=False)
    whole = train(replace(base, batch_size=16), tmp_path / "whole", show=False)
    a, b = (load_checkpoint(r.best_checkpoint).module.state_dict() for r in (parts, whole))
    assert all(torch.allclose(a[name], b[name], atol=1e-5) for name in a)


def test_a_plateau_lowers_the_rate_and_resuming_knows_it(recipe: TrainConfig, tmp_path: Path) -> None:
    config = replace(
        recipe,
        epochs=4,
        monitor="loss",
        # Nothing gets better: hardly a step, and no statistics that settle.
        optimizer=replace(recipe.optimizer, lr=1e-9),
        model=replace(recipe.model, norm="layer"),
        schedule=ScheduleConfig("plateau", plateau_patience=0, plateau_factor=0.5),
    )
    rows = train(config, tmp_path / "unbroken", show=False).rows
    rates = [row["lr"]["head"] for row in rows]
    assert rates[-1] < rates[0]
    monitor = Monitor("loss")
    for n, rate in enumerate(rates):
        factor = config.schedule.plateau(monitor.values(rows[:n]), larger_is_better=False)
        assert rate == pytest.approx(1e-9 * factor)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "broken", show=False, callbacks=[Interrupt(4)])
    assert figures(train(config, tmp_path / "broken", resume=True, show=False).rows) == figures(rows)


def test_deterministic_runs_agree_to_the_last_bit_across_a_stop(recipe: TrainConfig, tmp_path: Path) -> None:
    config = replace(
        recipe, deterministic=True, loss=replace(recipe.loss, lovasz=0.5, focal=0.5, ohem=0.5), seed=3
    )
    states = []
    for name in ("a", "b", "stopped"):
        if name == "stopped":
            with pytest.raises(KeyboardInterrupt):
                train(config, tmp_path / name, show=False, callbacks=[Interrupt(2)])
        rows = train(config, tmp_path / name, resume=name == "stopped", show=False).rows
        states.append((figures(rows), read_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt")))
    assert (
        not torch.are_deterministic_algorithms_enabled() or torch.use_deterministic_algorithms(False) is None
    )
    for rows, checkpoint in states[1:]:
        assert rows == states[0][0]
        ours, first = checkpoint["state_dict"], states[0][1]["state_dict"]
        assert all(torch.equal(ours[name], first[name]) for name in first)


class Poison(lightning.Callback):
    """A weight becomes NaN after the last training step of an epoch: the loss of training was finite."""

    def on_validation_start(self, _trainer, module) -> None:
        next(module.network.parameters()).data[0, 0, 0, 0] = float("nan")


def test_a_validation_loss_that_is_not_finite_names_the_files(recipe: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(OffroadSegError) as caught:
        train(recipe, tmp_path / "run", show=False, callbacks=[Poison()])
    assert "the validation loss is nan in epoch 1, batch 1" in caught.value.what
    assert caught.value.where.startswith("images f")


def test_classes_that_are_not_there_are_named_once(recipe: TrainConfig, tmp_path: Path, caplog) -> None:
    with caplog.at_level(logging.INFO):
        result = train(recipe, tmp_path / "run", show=False)
        train(recipe, tmp_path / "run", resume=True, show=False)
    said = [r.getMessage() for r in caplog.records if "validation has no pixel of" in r.getMessage()]
    assert len(said) == 1
    assert "Lush Bushes, Dry Bushes" in said[0]
    assert "n_classes_present is 4 of 10" in said[0]
    assert result.rows[0]["val"]["n_classes_present"] == 4
    assert any("no training pixel of Lush Bushes" in r.getMessage() for r in caplog.records)


def test_the_best_checkpoint_is_by_the_figure_that_is_asked_for(recipe: TrainConfig, tmp_path: Path) -> None:
    config = replace(recipe, monitor="per_class.Sky.recall", epochs=4)
    result = train(config, tmp_path / "run", show=False)
    values = [row["val"]["per_class"]["Sky"]["recall"] for row in result.rows]
    assert result.best == max(values)
    assert load_checkpoint(result.best_checkpoint).epoch == values.index(max(values)) + 1


def test_a_compiled_network_trains_and_is_kept_as_itself(
    recipe: TrainConfig, tmp_path: Path, monkeypatch
) -> None:
    # All of torch.compile but the C++ compiler, which would take minutes.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    counters = torch._dynamo.utils.counters
    counters.clear()
    config = replace(recipe, compile=True, ema=EmaConfig(0.5), epochs=2)
    plain = train(replace(config, compile=False), tmp_path / "plain", show=False)
    assert not counters["frames"]
    run = tmp_path / "compiled"
    with pytest.raises(KeyboardInterrupt):
        train(config, run, show=False, callbacks=[Interrupt(2)])
    assert counters["frames"]["ok"] >= 2, "training and validation"
    state = read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]
    assert not any("_orig_mod" in name for name in state)
    load_checkpoint(run / "checkpoints" / "best.ckpt")
    # A run may go on with or without compiling.
    again = train(replace(config, compile=False), run, resume=True, show=False)
    for a, b in zip(again.rows, plain.rows, strict=True):
        assert a["train"]["loss"] == pytest.approx(b["train"]["loss"], rel=0.02)
