# SPDX-License-Identifier: Apache-2.0
"""Sweeps: the words, what they leave, going on after a kill, trials that fail."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import yaml

from offroad_seg.cli.main import main
from offroad_seg.errors import InputError
from offroad_seg_train.checkpoint import load_checkpoint
from offroad_seg_train.training import sweep as sweep_module
from offroad_seg_train.training.config import TrainConfig
from offroad_seg_train.training.recipe import load_recipe
from offroad_seg_train.training.search_space import Range, split_words
from offroad_seg_train.training.sweep import sweep

optuna = pytest.importorskip("optuna")

WORDS = ["optimizer.lr=log:1e-4:1e-1", "model.norm=[batch,layer]", "model.width=8:16:4", "epochs=2"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("optimizer.lr=log:1e-5:1e-2", Range("optimizer.lr", low=1e-5, high=1e-2, log=True)),
        ("loss.dice=0:1", Range("loss.dice", low=0, high=1)),
        ("loss.dice=0:1:0.25", Range("loss.dice", low=0, high=1, step=0.25)),
        ("batch_size=2:8:2", Range("batch_size", low=2, high=8, step=2, whole=True)),
        ("model.width=log:8:64", Range("model.width", low=8, high=64, log=True, whole=True)),
        ("model.backbone=[a.b,c]", Range("model.backbone", ("a.b", "c"))),
        ("clip=[0,1e-1]", Range("clip", ("0", "0.1"))),
        ("model.frozen=[[stem],[]]", Range("model.frozen", ("[stem]", "[]"))),
    ],
)
def test_words_that_vary_a_setting(word: str, expected: Range) -> None:
    assert split_words([word], load_recipe("tiny")) == ([], [expected])


@pytest.mark.parametrize(
    "word", ["epochs=3", "model.frozen=[stem,layer1]", "data.root=/a:b", "data.val_root=C:/x", "name=tiny"]
)
def test_words_that_fix_a_setting(word: str) -> None:
    assert split_words([word], load_recipe("tiny")) == ([word], [])


@pytest.mark.parametrize(
    "word",
    [
        "optimizer.lr=1e-2:1e-5",
        "optimizer.lr=log:0:1",
        "optimizer.lr=log:a:b",
        "loss.dice=0:1:2:3",
        "loss.dice=0:1:7",
        "clip=[1]",
    ],
)
def test_ranges_that_are_none_are_refused(word: str) -> None:
    with pytest.raises(InputError, match="'"):
        split_words([word], load_recipe("tiny"))


def test_a_choice_survives_the_way_through_optuna() -> None:
    one = Range("model.frozen", ("[stem]", "[]"))
    study = optuna.create_study()
    drawn = {one.suggest(study.ask()) for _ in range(20)}
    assert {json.dumps(yaml.safe_load(text)) for text in drawn} == {'["stem"]', "[]"}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, frames: Path) -> tuple[Path, TrainConfig]:
    """Six trials; killed in the fourth, and resumed."""
    words = ["data.height=48", "data.width=80", "data.workers=0", "device=cpu", "batch_size=4"]
    config = load_recipe("tiny", words, data=frames)
    out = tmp_path_factory.mktemp("swept") / "sweep"

    def killed(*args, **kwargs):
        killed.count += 1
        if killed.count == 4:
            raise KeyboardInterrupt  # as SIGKILL: nothing is told to the study
        return real(*args, **kwargs)

    killed.count, real = 0, sweep_module.train
    sweep_module.train = killed
    try:
        with pytest.raises(KeyboardInterrupt):
            sweep(config, WORDS, out, trials=6)
    finally:
        sweep_module.train = real
    assert sweep(config, WORDS, out, trials=6, resume=True).trials == 6
    return out, config


def lines(out: Path) -> list[dict]:
    with (out / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_sweep_leaves_a_table_a_picture_and_a_recipe(swept: tuple[Path, TrainConfig]) -> None:
    out, config = swept
    table = lines(out)
    assert len(table) == 7, "six trials, and the one that was killed"
    assert [row["state"] for row in table].count("fail") == 1
    assert {"complete"} < {row["state"] for row in table}
    complete = [row for row in table if row["state"] == "complete"]
    best = max(complete, key=lambda row: float(row["value"]))
    assert all(1e-4 <= float(row["optimizer.lr"]) <= 1e-1 for row in table)
    assert {row["model.width"] for row in table} <= {"8", "12", "16"}
    recipe = load_recipe(out / "best.yaml")
    assert recipe.optimizer.lr == pytest.approx(float(best["optimizer.lr"]))
    assert recipe.model.norm == best["model.norm"]
    assert recipe.epochs == 2
    assert recipe.data.root is None
    assert recipe.loss == config.loss
    assert cv2.imread(str(out / "sweep.png")).std() > 5


def test_only_the_best_trial_keeps_its_checkpoint(swept: tuple[Path, TrainConfig]) -> None:
    out, _ = swept
    complete = [row for row in lines(out) if row["state"] == "complete"]
    best = max(complete, key=lambda row: float(row["value"]))
    kept = [path.relative_to(out / "trials") for path in (out / "trials").rglob("*.ckpt")]
    assert kept == [Path(f"{int(best['trial']):04d}") / "checkpoints" / "best.ckpt"]
    load_checkpoint(out / "trials" / kept[0])


def test_the_trial_that_was_killed_is_done_again(swept: tuple[Path, TrainConfig]) -> None:
    table = lines(swept[0])
    killed, again = table[3], table[4]
    assert (killed["state"], again["state"]) != ("complete", "fail")
    for key in ("optimizer.lr", "model.norm", "model.width"):
        assert killed[key] == again[key]


def test_a_finished_sweep_resumes_to_itself_and_differing_words_are_refused(
    swept: tuple[Path, TrainConfig],
) -> None:
    out, config = swept
    before = lines(out)
    assert sweep(config, WORDS, out, trials=6, resume=True).trials == 6
    assert lines(out) == before
    with pytest.raises(InputError, match="differ"):
        sweep(config, [*WORDS, "loss.dice=0:1"], out, trials=6, resume=True)
    with pytest.raises(InputError, match="not empty"):
        sweep(config, WORDS, out, trials=6)


def test_a_trial_that_cannot_be_trained_is_a_result(recipe: TrainConfig, tmp_path: Path) -> None:
    wild = replace(
        recipe,
        clip=0.0,
        optimizer=replace(recipe.optimizer, name="sgd"),
        schedule=replace(recipe.schedule, name="constant", warmup_epochs=0),
    )
    result = sweep(wild, ["optimizer.lr=[1e30,1e29]", "epochs=1"], tmp_path / "sweep", trials=2)
    assert result.best_value is None
    table = lines(tmp_path / "sweep")
    assert [row["state"] for row in table] == ["fail", "fail"]
    assert all("the loss is" in row["error"] for row in table)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["epochs=3"], "nothing is varied"),
        (["optimizer.speed=0:1"], "speed"),
        (["model.norm=[batch,none]"], "none"),
        (["loss.dice=-1:1"], r"loss\.dice"),
        (["devices=2", "loss.dice=0:1"], "one device"),
    ],
    ids=str,
)
def test_ranges_that_do_not_fit_their_setting_stop_before_anything_is_written(
    words: list[str], match: str, recipe: TrainConfig, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=match):
        sweep(recipe, words, tmp_path / "sweep", trials=2)
    assert not (tmp_path / "sweep").exists()


def test_the_command_prints_the_best_settings(frames: Path, tmp_path: Path, capsys) -> None:
    small = ["data.height=48", "data.width=80", "data.workers=0", "model.width=8", "epochs=2", "device=cpu"]
    out = tmp_path / "sweep"
    words = ["sweep", "--config", "tiny", "--data", str(frames), "--out", str(out), "--trials", "1", *small]
    assert main([*words, "loss.dice=0:1"]) == 0
    said = capsys.readouterr().out
    assert "best miou" in said
    assert "loss.dice=" in said
    assert str(out / "best.yaml") in said
    assert (
        main(
            [
                "sweep",
                "--config",
                "tiny",
                "--data",
                "/nowhere/at/all",
                "--out",
                str(tmp_path / "x"),
                "clip=0:1",
            ]
        )
        == 2
    )
    assert not (tmp_path / "x").exists()
