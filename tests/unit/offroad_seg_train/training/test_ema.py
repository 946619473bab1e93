# SPDX-License-Identifier: Apache-2.0
"""The running mean of the weights: its formula, what is validated and kept, and resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import lightning.pytorch as lightning
import pytest
import torch

from offroad_seg.errors import InputError
from offroad_seg.metrics import SegmentationMetrics
from offroad_seg_train.checkpoint import load_checkpoint
from offroad_seg_train.training.config import TrainConfig
from offroad_seg_train.training.ema import EmaConfig
from offroad_seg_train.training.loading import build_loader
from offroad_seg_train.training.opening import open_data
from offroad_seg_train.training.run import train


class History(lightning.Callback):
    """The network's state after each step, and once before the first."""

    def __init__(self) -> None:
        self.states: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self, _trainer, module, *_) -> None:
        self.states.append({name: value.clone() for name, value in module.state_dict().items()})


class Interrupt(lightning.Callback):
    """Ctrl-C as an epoch begins."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer, *_) -> None:
        if trainer.current_epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.fixture
def averaged(recipe: TrainConfig) -> TrainConfig:
    return replace(recipe, ema=EmaConfig(decay=0.8))


def test_decay_grows_to_its_value() -> None:
    decays = [EmaConfig(0.9).decay_at(step) for step in (0, 1, 10, 79, 80, 81, 1000)]
    assert decays == pytest.approx([0.1, 2 / 11, 0.55, 80 / 89, 0.9, 0.9, 0.9])
    assert EmaConfig(0.9, warmup=False).decay_at(0) == 0.9
    for wrong in (-0.1, 1.0, float("nan")):
        with pytest.raises(InputError, match=r"ema\.decay"):
            EmaConfig(wrong)


def test_the_checkpoint_holds_the_mean_of_weights_and_statistics(
    averaged: TrainConfig, tmp_path: Path
) -> None:
    history = History()
    train(averaged, tmp_path / "run", show=False, callbacks=[history])
    assert len(history.states) == 12  # 3 epochs of 4 steps
    mean = {name: value.double() for name, value in history.states[0].items()}
    for n, state in enumerate(history.states[1:], start=1):
        decay = min(0.8, (1 + n) / (10 + n))
        mean = {name: decay * mean[name] + (1 - decay) * state[name].double() for name in mean}
    saved = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    last = history.states[-1]
    for name in saved:
        if name.endswith("num_batches_tracked"):
            assert saved[name] == last[name] == 12
        else:
            torch.testing.assert_close(saved[name].double(), mean[name], rtol=1e-4, atol=1e-6)
    moved = [name for name in saved if not torch.allclose(saved[name].float(), last[name].float())]
    assert any(name.endswith("running_var") for name in moved)
    assert any(name.endswith("weight") for name in moved)


def test_the_mean_is_what_is_validated_and_exported(averaged: TrainConfig, tmp_path: Path) -> None:
    result = train(averaged, tmp_path / "run", show=False)
    model = load_checkpoint(result.best_checkpoint)
    _, _, _, frames = open_data(averaged.data, averaged.seed, show=False)
    metrics = SegmentationMetrics(model.ontology.names)
    for batch in build_loader(frames, batch_size=1, workers=0):
        predicted = model.module(batch["image"]).argmax(1)[0].to(torch.uint8)
        metrics.update(predicted.numpy(), batch["labels"][0].numpy())
    best = result.rows[model.epoch - 1]
    assert metrics.result()["miou"] == pytest.approx(best["val"]["miou"], abs=1e-4)


def test_the_mean_trains_as_without_it(averaged: TrainConfig, recipe: TrainConfig, tmp_path: Path) -> None:
    with_mean = train(averaged, tmp_path / "with", show=False).rows
    without = train(recipe, tmp_path / "without", show=False).rows
    assert [row["train"] for row in with_mean] == [row["train"] for row in without]
    assert [row["val"]["loss"] for row in with_mean] != [row["val"]["loss"] for row in without]


def test_a_resumed_run_goes_on_with_weights_and_mean(averaged: TrainConfig, tmp_path: Path) -> None:
    unbroken = train(averaged, tmp_path / "unbroken", show=False)
    with pytest.raises(KeyboardInterrupt):
        train(averaged, tmp_path / "broken", show=False, callbacks=[Interrupt(2)])
    resumed = train(averaged, tmp_path / "broken", resume=True, show=False)

    def figures(rows: list[dict]) -> list[dict]:
        return [{**row, "seconds": 0} for row in rows]

    assert figures(resumed.rows) == figures(unbroken.rows)
    for key in ("state_dict", "current_model_state", "averaging_state"):
        a, b = (
            torch.load(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=True)[key]
            for run in ("unbroken", "broken")
        )
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a), key


def test_frozen_weights_stay_as_they_are_to_the_last_bit() -> None:
    from offroad_seg_train.training.ema import EmaWeights

    callback = EmaWeights(EmaConfig(0.999, warmup=False))
    layer = torch.nn.Conv2d(3, 8, 3)
    before = [p.detach().clone() for p in layer.parameters()]
    callback._average_model = torch.optim.swa_utils.AveragedModel(
        layer, multi_avg_fn=callback._average, use_buffers=True
    )
    for _ in range(50):
        callback._average_model.update_parameters(layer)
    for mean, value in zip(callback._average_model.module.parameters(), before, strict=True):
        assert torch.equal(mean, value)
