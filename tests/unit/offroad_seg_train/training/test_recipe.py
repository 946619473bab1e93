# SPDX-License-Identifier: Apache-2.0
"""Recipes: what ships, what is refused and how it is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from offroad_seg.errors import InputError
from offroad_seg_train.training.config import TrainConfig
from offroad_seg_train.training.recipe import dump, load_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads_and_survives_its_dump(name: str, tmp_path: Path) -> None:
    config = load_recipe(name)
    assert isinstance(config, TrainConfig)
    assert config.name == name
    (tmp_path / "again.yaml").write_text(dump(config))
    assert load_recipe(tmp_path / "again.yaml") == config


def test_v3_is_as_its_description() -> None:
    config = load_recipe("resnet50_fpn")
    assert (config.data.height, config.data.width) == (266, 476)
    assert (config.epochs, config.batch_size) == (15, 4)
    assert (config.optimizer.name, config.optimizer.lr, config.optimizer.backbone_lr) == ("adamw", 5e-4, 5e-5)
    assert config.optimizer.weight_decay == 1e-4
    assert (config.schedule.name, config.schedule.restart_epochs) == ("cosine_restarts", 10)
    loss = config.loss
    assert (loss.class_weights, loss.weight_min, loss.weight_max) == ("inverse", 0.1, 15)
    assert (loss.label_smoothing, loss.dice) == (0.05, 0.5)
    assert config.model.frozen == ["stem", "layer1", "layer2"]
    assert config.model.norm == "batch"


def test_v1_is_as_its_description() -> None:
    config = load_recipe("baseline_v1")
    assert (config.epochs, config.optimizer.name, config.loss.dice, config.loss.class_weights) == (
        10,
        "sgd",
        0,
        "none",
    )
    assert config.model.frozen == ["stem", "layer1", "layer2", "layer3", "layer4"]


def test_words_change_settings() -> None:
    words = ["epochs=3", "optimizer.lr=1e-3", "model.frozen=[layer1]", "data.val_root=null", "augment.flip=1"]
    config = load_recipe("resnet50_fpn", words, data=Path("somewhere"))
    assert config.epochs == 3
    assert config.optimizer.lr == 1e-3
    assert config.model.frozen == ["layer1"]
    assert config.data.val_root is None
    assert config.augment.flip == 1.0
    assert config.data.root == str(Path("somewhere").resolve())


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("optimizer.rate=3", "rate"),
        ("optimizr.lr=3", "optimizr"),
        ("epoch=3", "epoch"),
        ("epochs=many", "epochs"),
        ("epochs=1.5", "epochs"),
        ("epochs=0", "epochs"),
        ("batch_size=0", "batch_size"),
        ("seed=-1", "seed"),
        ("clip=-1", "clip"),
        ("model.frozen=layer1", "frozen"),
        ("precision=half", "precision"),
        ("device=tpu", "device"),
        ("data.height=16", "height"),
        ("data.val_fraction=1.0", "val_fraction"),
        ("data.workers=-2", "workers"),
        ("data.cache_gib=-1", "cache_gib"),
        ("augment.flip=2", "flip"),
        ("augment.scale_min=3", "scale_min"),
        ("schedule.warmup_epochs=99", "warmup_epochs"),
        ("lonely", "key=value"),
        ("name.first=x", "name"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(word: str, names: str) -> None:
    with pytest.raises(InputError) as caught:
        load_recipe("tiny", [word])
    assert names in str(caught.value)


def test_16_bit_on_a_cpu_is_refused_with_the_mend() -> None:
    with pytest.raises(InputError, match="32-true"):
        load_recipe("tiny", ["device=cpu", "precision=16-mixed"])


def test_a_recipe_that_is_not_there_lists_those_that_are() -> None:
    with pytest.raises(InputError, match="baseline_v1, .*resnet50_fpn, tiny"):
        load_recipe("tinny")


@pytest.mark.parametrize("text", ["- a\n- b\n", "{a: [", ""], ids=["list", "broken", "empty"])
def test_a_file_that_is_no_recipe_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match=r"mine\.yaml"):
        load_recipe(tmp_path / "mine.yaml")
    with pytest.raises(InputError, match=r"none\.yaml"):
        load_recipe(tmp_path / "none.yaml")


def test_a_file_without_a_name_is_called_as_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"epochs": 2}))
    assert load_recipe(tmp_path / "mine.yaml").name == "mine"


def test_every_setting_is_told_in_a_docstring() -> None:
    from dataclasses import fields, is_dataclass

    def check(cls: type) -> int:
        count = 0
        for field in fields(cls):
            assert f"        {field.name}: " in (cls.__doc__ or ""), f"{cls.__name__}.{field.name}"
            value = getattr(cls(), field.name)
            count += 1 + (check(type(value)) if is_dataclass(value) else 0)
        return count

    assert check(TrainConfig) > 40
