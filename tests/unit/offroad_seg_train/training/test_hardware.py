# SPDX-License-Identifier: Apache-2.0
"""Precision and devices: what this machine cannot do is replaced and said, or refused."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only

from offroad_seg.errors import InputError
from offroad_seg_train.checkpoint import load_checkpoint
from offroad_seg_train.training import hardware
from offroad_seg_train.training.config import TrainConfig
from offroad_seg_train.training.hardware import choose_hardware, choose_precision, cpu_has_bf16
from offroad_seg_train.training.run import train


def test_a_cpu_without_bf16_trains_in_32_bits_and_says_so(monkeypatch, caplog) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
    assert not cpu_has_bf16()
    assert choose_precision("bf16-mixed", gpu=False) == "32-true"
    assert "no bf16 instructions" in caplog.text


def test_a_cpu_with_bf16_uses_it(monkeypatch, caplog) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": True})
    assert choose_precision("bf16-mixed", gpu=False) == "bf16-mixed"
    assert not caplog.text


def test_a_cpu_does_not_train_in_fp16(caplog) -> None:
    assert choose_precision("16-mixed", gpu=False) == "32-true"
    assert "32-true instead" in caplog.text
    with pytest.raises(InputError, match="16-mixed"):
        TrainConfig(device="cpu", precision="16-mixed")


def test_what_is_asked_for_is_used_where_it_can_be(caplog) -> None:
    caplog.set_level(logging.INFO)
    assert choose_precision("32-true", gpu=False) == "32-true"
    assert not caplog.text


def test_devices_that_are_not_there_are_refused(monkeypatch) -> None:
    config = TrainConfig(device="cuda")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device"):
            choose_hardware(config)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match="3 devices wanted, 2 are there"):
        choose_hardware(replace(config, devices=3))


def test_a_strategy_that_lightning_does_not_know_is_refused() -> None:
    with pytest.raises(InputError, match="Lightning refuses"):
        choose_hardware(TrainConfig(device="cpu", devices=2, strategy="telepathy"))


def test_the_rank_is_known_before_anything_is_started(monkeypatch) -> None:
    config = TrainConfig(device="cpu", devices=2, nodes=2)
    # Lightning keeps the rank for the whole process: the next test is the first process again.
    monkeypatch.setattr(rank_zero_only, "rank", 0, raising=False)
    assert hardware.choose_hardware(config).world == 4
    for name, value in (("WORLD_SIZE", "4"), ("LOCAL_RANK", "1"), ("NODE_RANK", "1"), ("GROUP_RANK", "1")):
        monkeypatch.setenv(name, value)
    found = hardware.choose_hardware(config)
    assert (found.rank, found.world, found.is_first) == (3, 4, False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"devices": 0},
        {"nodes": 0},
        {"accumulate": 0},
        {"loggers": ["neptune"]},
        {"picture_epochs": -1},
        {"monitor": "iou"},
        {"clip": float("nan")},
    ],
    ids=str,
)
def test_settings_out_of_bounds_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        TrainConfig(**wrong)


@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU has no bf16 instructions")
def test_a_cpu_trains_in_bf16_and_clips(recipe: TrainConfig, tmp_path: Path, caplog) -> None:
    plain = train(recipe, tmp_path / "plain", show=False)
    with caplog.at_level(logging.INFO):
        mixed = train(replace(recipe, precision="bf16-mixed", clip=1.0), tmp_path / "mixed", show=False)
    assert "bf16-mixed" in caplog.text
    assert mixed.rows[-1]["train"]["loss"] == pytest.approx(plain.rows[-1]["train"]["loss"], rel=0.05)
    assert mixed.rows[-1]["train"]["loss"] != plain.rows[-1]["train"]["loss"]
    weights = load_checkpoint(mixed.best_checkpoint).module.state_dict().values()
    assert {w.dtype for w in weights if w.is_floating_point()} == {torch.float32}
