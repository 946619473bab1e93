# SPDX-License-Identifier: Apache-2.0
"""Going on with, or beginning with, the weights of another run: what is taken, and what is refused by name."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from offroad_seg.errors import InputError
from offroad_seg.image import Normalization
from offroad_seg.ontology import load_ontology
from offroad_seg_train.checkpoint import load_checkpoint
from offroad_seg_train.models import ModelConfig, NormalizedModel, build_model
from offroad_seg_train.training.config import TrainConfig
from offroad_seg_train.training.run import train
from offroad_seg_train.training.warm_start import load_initial
from tests.helpers.checkpoints import write_checkpoint

TINY = ModelConfig(name="tiny", backbone_weights="none", width=8)


def fresh(ontology: str, config: ModelConfig = TINY) -> NormalizedModel:
    torch.manual_seed(5)
    return NormalizedModel(build_model(config, load_ontology(ontology).n_classes), Normalization())


def test_every_weight_is_taken_where_the_classes_are_the_same(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "best.ckpt", config=TINY)
    network = fresh("duality_desert")
    load_initial(network, TINY, load_ontology("duality_desert"), path)
    saved = load_checkpoint(path).module.state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    "model", [TINY, ModelConfig(name="unet", backbone="resnet10t", backbone_weights="none")]
)
def test_classes_of_the_same_name_are_taken_over(model: ModelConfig, tmp_path: Path) -> None:
    # Sky and Rocks have other places in the two; the rest of the names differ.
    old, new = load_ontology("duality_desert"), load_ontology("seed_deck")
    shared = set(old.names) & set(new.names)
    assert {"Sky", "Rocks"} <= shared
    path = write_checkpoint(tmp_path / "best.ckpt", config=model)
    network = fresh("seed_deck", model)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    load_initial(network, model, new, path)
    saved, now = load_checkpoint(path).module.state_dict(), network.state_dict()
    by_class = [name for name, value in now.items() if value.shape[:1] == (new.n_classes,)]
    heads = [n for n in by_class if not torch.equal(now[n], saved[n])]
    assert heads
    for name in heads:
        for i, label in enumerate(new.names):
            expected = saved[name][old.id_of(label)] if label in shared else before[name][i]
            assert torch.equal(now[name][i], expected), (name, label)
    for name in set(now) - set(heads):
        assert torch.equal(now[name], saved[name]), name


def test_other_numbers_of_classes_do_not_hinder(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "best.ckpt", config=TINY, ontology="ycor")
    network = fresh("duality_desert")
    load_initial(network, TINY, load_ontology("duality_desert"), path)
    saved = load_checkpoint(path).module.state_dict()
    assert torch.equal(network.state_dict()["model.stem.0.weight"], saved["model.stem.0.weight"])


def test_another_model_is_refused_and_both_are_named(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "best.ckpt", config=TINY)
    unet = ModelConfig(name="unet", backbone="resnet10t", backbone_weights="none")
    with pytest.raises(InputError) as caught:
        load_initial(fresh("duality_desert", unet), unet, load_ontology("duality_desert"), path)
    assert "is of model 'tiny', the run of 'unet'" in caught.value.what
    wider = replace(TINY, width=16)
    with pytest.raises(InputError, match="width 8 and 16"):
        load_initial(fresh("duality_desert", wider), wider, load_ontology("duality_desert"), path)
    with pytest.raises(InputError, match="no such checkpoint"):
        load_initial(fresh("duality_desert"), TINY, load_ontology("duality_desert"), tmp_path / "none.ckpt")


def test_a_run_begins_with_the_weights_of_another(recipe: TrainConfig, tmp_path: Path) -> None:
    first = train(recipe, tmp_path / "first", show=False)
    second = train(replace(recipe, init_from=str(first.best_checkpoint)), tmp_path / "second", show=False)
    assert second.rows[0]["train"]["loss"] < first.rows[0]["train"]["loss"]


def test_a_run_does_not_go_on_with_a_checkpoint_of_another(
    recipe: TrainConfig, frames: Path, tmp_path: Path
) -> None:
    done = train(replace(recipe, epochs=2), tmp_path / "run", show=False)
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert len(done.rows) == 2

    def go_on(with_checkpoint: Path) -> InputError:
        shutil.copyfile(with_checkpoint, last)
        with pytest.raises(InputError) as caught:
            train(replace(recipe, epochs=2), tmp_path / "run", resume=True, show=False)
        assert "init_from=" in caught.value.mend
        return caught.value

    other = go_on(write_checkpoint(tmp_path / "wide.ckpt", config=replace(TINY, width=16)))
    assert "width 16 and 8" in other.what
    other = go_on(write_checkpoint(tmp_path / "ycor.ckpt", config=TINY, ontology="ycor"))
    assert "is of ontology 'ycor'" in other.what
    assert "the data of 'duality_desert'" in other.what
