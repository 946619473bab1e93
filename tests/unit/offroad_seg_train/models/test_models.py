# SPDX-License-Identifier: Apache-2.0
"""The desert networks: shapes, sizes, frozen stages, parameter groups. ``test_zoo`` has the others."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from offroad_seg.errors import InputError
from offroad_seg.image import Normalization
from offroad_seg_train.models import ModelConfig, NormalizedModel, build_model

DESERT_MODELS = ("resnet50_fpn", "baseline_v1", "tiny")


def make(name: str, n_classes: int = 10, **settings) -> torch.nn.Module:
    return build_model(ModelConfig(name=name, backbone_weights="none", **settings), n_classes)


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def gflop(model: torch.nn.Module, height: int, width: int) -> float:
    """One multiply-add counts as two."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, height, width))
    return counter.get_total_flops() / 1e9


@pytest.mark.parametrize("name", DESERT_MODELS)
@pytest.mark.parametrize("size", [(96, 160), (75, 131)], ids=["even", "odd"])
def test_logits_have_the_image_size(name: str, size: tuple[int, int]) -> None:
    model = make(name, n_classes=7).eval()
    with torch.no_grad():
        logits_BCHW = model(torch.rand(2, 3, *size))
    assert logits_BCHW.shape == (2, 7, *size)
    assert torch.isfinite(logits_BCHW).all()


@pytest.mark.parametrize("name", DESERT_MODELS)
def test_every_trainable_parameter_is_in_one_group_and_gets_a_gradient(name: str) -> None:
    model = make(name).train()
    model(torch.rand(2, 3, 64, 96)).square().mean().backward()
    groups = model.parameter_groups()
    grouped = [id(p) for group in groups.values() for p in group]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    assert all(
        p.grad is not None and torch.isfinite(p.grad).all() for group in groups.values() for p in group
    )


def test_v3_has_the_size_and_cost_of_its_description() -> None:
    model = make("resnet50_fpn").eval()
    assert parameters(model) / 1e6 == pytest.approx(32.6, abs=0.1)
    assert gflop(model, 266, 476) == pytest.approx(51.7, rel=0.01)


def test_tiny_is_tiny() -> None:
    model = make("tiny").eval()
    assert parameters(model) < 3e6
    assert gflop(model, 144, 256) < 2


def test_layer_norm_takes_the_place_of_every_batch_norm_in_the_head() -> None:
    head = {
        norm: [
            type(m).__name__
            for n, m in make("resnet50_fpn", norm=norm).named_modules()
            if "backbone" not in n
        ]
        for norm in ("batch", "layer")
    }
    assert head["batch"].count("BatchNorm2d") == head["layer"].count("LayerNorm2d") > 0
    assert "BatchNorm2d" not in head["layer"]


def test_frozen_stages_do_not_move_in_training() -> None:
    torch.manual_seed(0)
    model = make("resnet50_fpn", frozen=["stem", "layer1", "layer2"])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    # Off-centre inputs: statistics that are not frozen would follow them.
    model(torch.rand(2, 3, 64, 96) * 5 + 3).square().mean().backward()
    optimizer.step()
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    frozen = ("backbone.conv1.", "backbone.bn1.", "backbone.layer1.", "backbone.layer2.")
    assert not [name for name in moved if name.startswith(frozen)]
    for expected in (
        "backbone.layer3.0.bn1.running_mean",
        "backbone.layer4.0.downsample.0.weight",
        "laterals.0.0.weight",
        "refine.0.1.running_var",
    ):
        assert expected in moved
    assert {n for n in before if n.startswith(frozen)}, "the names above are this backbone's"


def test_frozen_stages_stay_in_evaluation_mode_through_train_and_eval() -> None:
    model = make("resnet50_fpn", frozen=["stem", "layer1", "layer2"])
    model.eval().train()
    assert not model.backbone.bn1.training
    assert not any(m.training for m in model.backbone.layer2.modules())
    assert all(m.training for m in model.backbone.layer3.modules())


def test_v1_trains_only_its_head() -> None:
    model = make("baseline_v1", frozen=["stem", "layer1", "layer2", "layer3", "layer4"])
    assert set(model.parameter_groups()) == {"head"}


def test_normalized_model_is_the_textbook_normalisation() -> None:
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    model = NormalizedModel(torch.nn.Identity(), Normalization(mean, std))
    image_BCHW = torch.randint(0, 256, (2, 3, 5, 7), dtype=torch.uint8)
    expected = (image_BCHW.double() / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(
        3, 1, 1
    )
    torch.testing.assert_close(model(image_BCHW).double(), expected, atol=1e-5, rtol=1e-5)
    assert not model.state_dict(), "the checkpoint's record carries these numbers"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "resnet51"}, "resnet50_fpn"),
        ({"norm": "group"}, "batch or layer"),
        ({"frozen": ["layer9"]}, "layer9"),
        ({"name": "tiny", "frozen": ["layer1"]}, "random"),
        ({"name": "tiny", "width": 2}, "width"),
        ({"backbone": "vgg16"}, "vgg16"),
        ({"backbone": "resnet5000"}, "resnet5000"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_model(ModelConfig(**{"backbone_weights": "none", **settings}), 3)
