# SPDX-License-Identifier: Apache-2.0
"""A whole run: what it leaves, what it refuses, and that a refused run harms nothing."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from offroad_seg.errors import DataError, InputError, OffroadSegError
from offroad_seg.metrics import SegmentationMetrics
from offroad_seg_train.checkpoint import load_checkpoint
from offroad_seg_train.training.config import TrainConfig
from offroad_seg_train.training.loading import build_loader
from offroad_seg_train.training.opening import open_data
from offroad_seg_train.training.recipe import load_recipe
from offroad_seg_train.training.run import train


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, frames: Path) -> tuple[Path, TrainConfig]:
    """A run of twelve epochs, for the tests that only look at it."""
    words = ["data.height=48", "data.width=80", "data.workers=0", "model.width=16", "device=cpu", "epochs=12"]
    config = load_recipe("tiny", [*words, "batch_size=4", "optimizer.lr=5e-3"], data=frames)
    run = tmp_path_factory.mktemp("finished") / "run"
    train(config, run, show=False)
    return run, config


def rows(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_run_leaves_what_it_promises(finished: tuple[Path, TrainConfig]) -> None:
    run, config = finished
    assert sorted(name for name in files(run) if not name.startswith("tensorboard/events.")) == [
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "config.yaml",
        "curves.png",
        "metrics.jsonl",
        "tensorboard/hparams.yaml",
    ]
    assert load_recipe(run / "config.yaml") == config
    assert [row["epoch"] for row in rows(run)] == list(range(1, 13))
    for row in rows(run):
        assert row["seconds"] > 0
        for part in ("train", "val"):
            assert {"loss", "miou", "miou_present", "miou_batch_mean", "mean_dice", "pixel_accuracy"} <= row[
                part
            ].keys()
    picture = cv2.imread(str(run / "curves.png"))
    assert picture is not None
    assert picture.std() > 5, "something is drawn"


def test_it_learns_what_colours_tell(finished: tuple[Path, TrainConfig]) -> None:
    history = rows(finished[0])
    assert history[-1]["val"]["loss"] < history[0]["val"]["loss"]
    assert max(row["val"]["miou_present"] for row in history) > 0.8


def test_the_best_checkpoint_gives_the_best_figure_again(finished: tuple[Path, TrainConfig]) -> None:
    run, config = finished
    best = max(rows(run), key=lambda row: row["val"]["miou"])
    model = load_checkpoint(run / "checkpoints" / "best.ckpt")
    assert model.epoch == best["epoch"]
    _, _, _, val = open_data(config.data, config.seed, show=False)
    metrics = SegmentationMetrics(model.ontology.names)
    for batch in build_loader(val, batch_size=1, workers=0):
        with torch.no_grad():
            predicted = model.module(batch["image"]).argmax(1)[0].to(torch.uint8)
        metrics.update(predicted.numpy(), batch["labels"][0].numpy())
    result = metrics.result()
    assert result["miou"] == pytest.approx(best["val"]["miou"], abs=1e-4)
    assert result["miou_batch_mean"] == pytest.approx(best["val"]["miou_batch_mean"], abs=1e-4)


def test_the_same_seed_gives_the_same_losses_and_another_seed_does_not(
    recipe: TrainConfig, tmp_path: Path
) -> None:
    losses = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        result = train(replace(recipe, epochs=2, seed=seed), tmp_path / name, show=False)
        losses.append([(row["train"]["loss"], row["val"]["loss"]) for row in result.rows])
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(recipe: TrainConfig, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        train(recipe, run, show=False)
    assert files(run) == {"notes.txt": b"mine"}


def test_overwrite_replaces_only_once_the_data_is_known_to_be_good(
    recipe: TrainConfig, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "old.txt").write_text("old")
    nowhere = replace(recipe, data=replace(recipe.data, root=str(tmp_path / "nowhere")))
    with pytest.raises(DataError, match="nowhere"):
        train(nowhere, run, overwrite=True, show=False)
    assert files(run) == {"old.txt": b"old"}
    train(
        replace(recipe, epochs=1, schedule=replace(recipe.schedule, warmup_epochs=0)),
        run,
        overwrite=True,
        show=False,
    )
    assert "old.txt" not in files(run)


def test_resume_refuses_other_settings_and_names_them(
    finished: tuple[Path, TrainConfig], tmp_path: Path
) -> None:
    run, config = finished
    before = files(run)
    changed = replace(config, epochs=20, optimizer=replace(config.optimizer, lr=1.0))
    with pytest.raises(InputError) as caught:
        train(changed, run, resume=True, show=False)
    assert "epochs was 12, is 20" in str(caught.value)
    assert "optimizer.lr was 0.005, is 1.0" in str(caught.value)
    with pytest.raises(InputError, match="no run to resume"):
        train(config, tmp_path / "nothing", resume=True, show=False)
    assert files(run) == before


def test_resuming_a_finished_run_changes_nothing(finished: tuple[Path, TrainConfig]) -> None:
    run, config = finished
    before = rows(run), (run / "checkpoints" / "best.ckpt").read_bytes()
    result = train(config, run, resume=True, show=False)
    assert (rows(run), (run / "checkpoints" / "best.ckpt").read_bytes()) == before
    assert result.rows == before[0]


def test_a_damaged_checkpoint_is_found_before_anything_is_written(
    finished: tuple[Path, TrainConfig], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    for name, data in files(finished[0]).items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(data)
    last = run / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:5000])
    before = files(run)
    with pytest.raises(InputError, match=r"last\.ckpt"):
        train(finished[1], run, resume=True, show=False)
    assert files(run) == before


def test_a_loss_that_is_not_finite_names_the_files(recipe: TrainConfig, tmp_path: Path, monkeypatch) -> None:
    # A real blow-up: the learning rate is absurd and nothing is clipped.
    wild = replace(
        recipe,
        clip=0.0,
        optimizer=replace(recipe.optimizer, name="sgd", lr=1e30),
        schedule=replace(recipe.schedule, name="constant", warmup_epochs=0),
    )
    with pytest.raises(OffroadSegError) as caught:
        train(wild, tmp_path / "run", show=False)
    assert "the loss is nan in epoch 1, batch" in caught.value.what or "the loss is inf" in caught.value.what
    named = caught.value.where.removeprefix("images ").split(", ")
    assert len(named) == 4
    assert all(name.startswith("f0") for name in named)
    assert "lr" in caught.value.mend
    assert "last.ckpt" not in caught.value.mend, "there is none yet"


def test_masks_with_unknown_values_stop_before_training(
    recipe: TrainConfig, frames: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    for name, data in files(frames).items():
        (bad / name).parent.mkdir(parents=True, exist_ok=True)
        (bad / name).write_bytes(data)
    mask = np.full((48, 80), 1234, np.uint16)
    cv2.imwrite(str(bad / "Segmentation" / "f003.png"), mask)
    with pytest.raises(InputError, match=r"1234 \(3840 pixels"):
        train(replace(recipe, data=replace(recipe.data, root=str(bad))), tmp_path / "run", show=False)
    assert not (tmp_path / "run").exists()


def test_masks_in_which_all_is_ignored_stop_before_training(
    recipe: TrainConfig, frames: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    shutil.copytree(frames, empty)
    for mask in (empty / "Segmentation").iterdir():
        cv2.imwrite(str(mask), np.zeros((48, 80), np.uint16))  # raw 0 is ignored
    with pytest.raises(DataError, match="not one pixel of 20 masks has a class: ontology duality_desert"):
        train(replace(recipe, data=replace(recipe.data, root=str(empty))), tmp_path / "run", show=False)
    assert not (tmp_path / "run").exists()


def test_a_separate_validation_folder_is_used_whole(recipe: TrainConfig, frames: Path) -> None:
    data = replace(recipe.data, val_root=str(frames))
    _, _, training, validation = open_data(data, recipe.seed, show=False)
    assert len(training) == len(validation) == 20
    _, _, training, validation = open_data(recipe.data, recipe.seed, show=False)
    assert (len(training), len(validation)) == (16, 4)
    assert not set(training.names) & set(validation.names)


def test_the_log_is_free_of_advertisement(
    recipe: TrainConfig, tmp_path: Path, caplog, capfd, recwarn
) -> None:
    with caplog.at_level(logging.INFO):
        train(replace(recipe, epochs=2), tmp_path / "run", show=False)
    said = caplog.text + "".join(capfd.readouterr()) + "".join(str(w.message) for w in recwarn)
    for word in ("Tip", "litlogger", "num_workers", "GPU available", "Trainer.fit"):
        assert word not in said
    assert "epoch 2/2" in said


def test_data_are_needed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--data"):
        train(load_recipe("tiny"), tmp_path / "run", show=False)
