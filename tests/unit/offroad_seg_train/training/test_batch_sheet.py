# SPDX-License-Identifier: Apache-2.0
"""``train --show-batch`` draws what training would get, and trains nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from offroad_seg.cli.main import main
from offroad_seg.errors import InputError
from offroad_seg_train.training.batch_sheet import show_batch
from offroad_seg_train.training.config import TrainConfig
from offroad_seg_train.training.loading import build_training_loader
from offroad_seg_train.training.opening import open_data


def test_the_first_pictures_of_the_run_are_on_the_sheet(recipe: TrainConfig, tmp_path: Path) -> None:
    recipe = replace(recipe, augment=replace(recipe.augment, rotation=20, shadow=0.5))
    show_batch(recipe, tmp_path / "a" / "batch.png", images=5, show=False)
    sheet = cv2.imread(str(tmp_path / "a" / "batch.png"))[..., ::-1]
    ontology, _, frames, _ = open_data(recipe.data, recipe.seed, show=False)
    batch = next(iter(build_training_loader(frames, recipe, ontology.n_classes)))
    height, width = batch["image"].shape[2:]
    for i in range(3):
        left = 6 + i * (2 * width + 2 + 12)
        assert (
            sheet[48 : 48 + height, left : left + width] == batch["image"][i].permute(1, 2, 0).numpy()
        ).all()


def test_the_command_draws_and_trains_nothing(
    frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["data.height=48", "data.width=80", "sampling.exponent=0.5", "sampling.rare_crop=0.5"]
    assert main(["train", "--config", "tiny", "--data", str(frames), "--show-batch", "b.jpg", *words]) == 0
    assert cv2.imread("b.jpg").shape[0] > 300
    assert [p.name for p in tmp_path.iterdir()] == ["b.jpg"]
    assert "b.jpg" in capsys.readouterr().out


def test_what_is_no_picture_is_refused(recipe: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.png"):
        show_batch(recipe, tmp_path / "batch.pdf", show=False)
