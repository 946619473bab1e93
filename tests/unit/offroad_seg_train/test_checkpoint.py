# SPDX-License-Identifier: Apache-2.0
"""A checkpoint rebuilds its network by itself, and what is not one is refused by name."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from offroad_seg.errors import InputError
from offroad_seg.image import Letterbox, Normalization
from offroad_seg.ontology import load_ontology
from offroad_seg_train.checkpoint import RECORD_KEY, load_checkpoint, make_record
from offroad_seg_train.models import ModelConfig, NormalizedModel, build_model

NORMALIZATION = Normalization((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


def save(path: Path, config: ModelConfig, **changes) -> NormalizedModel:
    """A checkpoint as the trainer's module writes it; returns its network."""
    ontology = load_ontology("ycor")
    torch.manual_seed(1)
    weightless = ModelConfig(**{**asdict(config), "backbone_weights": "none"})
    network = NormalizedModel(build_model(weightless, ontology.n_classes), NORMALIZATION).eval()
    record = make_record(
        name="my_recipe",
        model=config,
        ontology=ontology,
        letterbox=Letterbox(64, 96, 7),
        normalization=NORMALIZATION,
        config={"epochs": 3},
    )
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save(
        {"state_dict": state | {"loss.weight_C": torch.ones(3)}, "epoch": 4, RECORD_KEY: record} | changes,
        path,
    )
    return network


@pytest.mark.parametrize("name", ["resnet50_fpn", "baseline_v1", "tiny"])
def test_it_rebuilds_the_network_without_its_recipe(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    # The weights' file is gone and the hub is not asked: both are none of a trained network's business.
    frozen = [] if name == "tiny" else ["stem", "layer1"]
    network = save(path, ModelConfig(name=name, backbone_weights="/gone/weights.pth", frozen=frozen))
    model = load_checkpoint(path)
    image_BCHW = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(model.module(image_BCHW), network(image_BCHW))
    assert not model.module.training
    assert (model.name, model.epoch, model.config) == ("my_recipe", 5, {"epochs": 3})
    assert model.ontology == load_ontology("ycor")
    assert model.letterbox == Letterbox(64, 96, 7)
    assert model.normalization == NORMALIZATION
    assert model.model_config.name == name
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none.ckpt")
    with pytest.raises(InputError, match="no such checkpoint"):
        load_checkpoint(tmp_path)
    text = tmp_path / "text.ckpt"
    text.write_text("hello")
    with pytest.raises(InputError, match=r"cannot be read.*\n.*text\.ckpt") as caught:
        load_checkpoint(text)
    # torch's own message advises to switch the safeguard off.
    assert "weights_only" not in str(caught.value)
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    with pytest.raises(InputError, match="not a checkpoint of this trainer"):
        load_checkpoint(tmp_path / "foreign.ckpt")


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    save(path, ModelConfig(name="tiny"))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(path)


def test_another_format_or_other_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    save(path, ModelConfig(name="tiny"), **{RECORD_KEY: {"format": 99}})
    with pytest.raises(InputError, match="format 99"):
        load_checkpoint(path)
    save(path, ModelConfig(name="tiny"), **{RECORD_KEY: {"format": 1, "version": "0.0"}})
    with pytest.raises(InputError, match="incomplete"):
        load_checkpoint(path)
    save(path, ModelConfig(name="tiny"), state_dict={"network.model.stem.0.weight": torch.zeros(1)})
    with pytest.raises(InputError, match="do not fit"):
        load_checkpoint(path)
