# SPDX-License-Identifier: Apache-2.0
"""Every network of the registry beside the desert's own: sizes, gradients, frozen stages, weights files, ONNX."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from torch import nn

from offroad_seg.errors import InputError
from offroad_seg_train.losses import SegmentationLoss
from offroad_seg_train.models import MODELS, ModelConfig, build_model
from offroad_seg_train.models.padding import crop_like, pad_to_multiple
from offroad_seg_train.training.recipe import load_recipe, recipe_names

CLASSES = 7
RESNET = {"backbone": "resnet18"}
# What is built: the smallest backbone of each kind, so that the tests stay quick.
ZOO = {
    "unet": ("unet", RESNET),
    "unet-convnext": ("unet", {"backbone": "test_convnext"}),
    "unet-mobilenet": ("unet", {"backbone": "mobilenetv3_small_050"}),
    "unetplusplus": ("unetplusplus", RESNET),
    "deeplabv3plus": ("deeplabv3plus", RESNET),
    "desert": ("desert", {"width": 32, **RESNET}),
    "desert-convnext": ("desert", {"width": 16, "backbone": "test_convnext", "norm": "layer"}),
    "aspp_unet": ("aspp_unet", {"dropout": 0.1, **RESNET}),
    "attention_unet": ("attention_unet", RESNET),
    "attention_unet-convnext": ("attention_unet", {"backbone": "test_convnext", "norm": "layer"}),
    "cse_unet": ("cse_unet", {"dropout": 0.2}),
    "multires_unet": ("multires_unet", {}),
    "dinov2_unet": ("dinov2_unet", {"backbone": "vit_small_patch14_dinov2"}),
    "dinov2_unet-skips": ("dinov2_unet", {"backbone": "vit_small_patch14_dinov2", "skips": True}),
}
ALL = pytest.mark.parametrize("key", ZOO)


def make(name: str, n_classes: int = CLASSES, **settings) -> nn.Module:
    return build_model(ModelConfig(name=name, **{"backbone_weights": "none", **settings}), n_classes)


def from_zoo(key: str, **settings) -> nn.Module:
    torch.manual_seed(0)
    name, own = ZOO[key]
    return make(name, **{**own, **settings})


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_the_zoo_is_the_registry():
    assert {name for name, _ in ZOO.values()} == set(MODELS) - {"resnet50_fpn", "baseline_v1", "tiny"}


@ALL
@pytest.mark.parametrize("size", [(266, 476), (135, 241), (518, 518), (32, 97)])
def test_logits_have_the_size_of_any_image(key, size):
    # Shapes alone, without numbers: full sizes cost nothing.
    with torch.device("meta"):
        logits_BCHW = from_zoo(key).eval()(torch.zeros(2, 3, *size))
    assert logits_BCHW.shape == (2, CLASSES, *size)


@ALL
def test_gradients_reach_every_trainable_parameter(key):
    model = from_zoo(key).train()
    with torch.no_grad():
        # Some blocks start as the identity: their last scale is 0, and what lies before it sees no gradient yet.
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.5)
    logits_BCHW = model(torch.randn(2, 3, 67, 101))
    assert logits_BCHW.shape == (2, CLASSES, 67, 101)
    assert torch.isfinite(logits_BCHW).all()
    logits_BCHW.square().mean().backward()
    still = [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.isfinite().all() or not p.grad.any())
    ]
    assert still == []
    grouped = [id(p) for group in model.parameter_groups().values() for p in group]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


@ALL
def test_a_single_image_can_be_trained_on(key):
    model = from_zoo(key).train()
    assert torch.isfinite(model(torch.randn(1, 3, 64, 96))).all()


@ALL
def test_an_image_is_judged_alone(key):
    model = from_zoo(key).eval()
    images_BCHW = torch.randn(2, 3, 45, 70)
    with torch.no_grad():
        both, second = model(images_BCHW), model(images_BCHW[1:])
    assert torch.allclose(both[1:], second, atol=1e-4, rtol=1e-3)


# The counts of the library with its own ResNets and one class; 6 more classes add 6 × (width + 1).
# DeepLabV3+ has one BatchNorm of 256 channels less here.
@pytest.mark.parametrize(
    ("name", "settings", "count"),
    [
        ("unet", {"backbone": "resnet18"}, 14_328_209 + 6 * 145),
        ("unet", {"backbone": "resnet34"}, 24_436_369 + 6 * 145),
        ("unet", {"backbone": "resnet50"}, 32_521_105 + 6 * 145),
        ("deeplabv3plus", {"backbone": "resnet50"}, 26_677_585 + 6 * 257 - 512),
        ("deeplabv3plus", {"backbone": "resnet101"}, 45_669_713 + 6 * 257 - 512),
        ("cse_unet", {}, 36_988_807),
    ],
)
def test_parameters_are_those_of_the_publication(name, settings, count):
    with torch.device("meta"):
        assert parameters(make(name, **settings)) == count


def test_multires_unet_has_the_size_of_its_paper():
    with torch.device("meta"):
        model = make("multires_unet", n_classes=1)
    # The paper counts the running statistics of BatchNorm, has no scale in it, and has biases elsewhere.
    assert parameters(model) == pytest.approx(7_262_750, rel=0.005)


def test_dinov2_unet_is_the_decoder_of_its_description():
    with torch.device("meta"):
        model = make("dinov2_unet", n_classes=12, backbone="vit_base_patch14_dinov2")
        seen = {}
        model.ups[0].register_forward_hook(lambda _m, args, _o: seen.update(features=args[0].shape))
        model.ups[-1].register_forward_hook(lambda _m, _a, out: seen.update(raised=out.shape))
        model(torch.zeros(1, 3, 518, 518))
    assert seen == {"features": (1, 768, 37, 37), "raised": (1, 64, 592, 592)}
    assert [(up.in_channels, up.out_channels) for up in model.ups] == [
        (768, 512), (512, 256), (256, 128), (128, 64)
    ]  # fmt: skip
    head = parameters(model) - parameters(model.backbone)
    assert head == sum(4 * i * o + o for i, o in [(768, 512), (512, 256), (256, 128), (128, 64)]) + 65 * 12


STAGED = {
    "unet": {"stem": "conv1", "layer2": "layer2.0.conv1", "layer3": "layer3.0.conv1"},
    "unet-convnext": {"stem": "stem_0", "layer2": "stages_1.blocks.0.conv_dw", "layer3": "stages_2.blocks.0.conv_dw"},
    "unet-mobilenet": {"stem": "conv_stem", "layer2": "blocks.1.0.conv_pw", "layer3": "blocks.3.0.conv_pw"},
    "attention_unet": {"stem": "conv1", "layer2": "layer2.0.conv1", "layer3": "layer3.0.conv1"},
    "dinov2_unet": {"stem": "patch_embed.proj", "layer2": "blocks.3.mlp.fc1", "layer3": "blocks.6.mlp.fc1"},
}  # fmt: skip


@pytest.mark.parametrize("key", STAGED)
def test_frozen_stages_stay_still_and_the_others_move(key):
    model = from_zoo(key, frozen=["stem", "layer1", "layer2"]).train()
    inner = getattr(model.backbone, "model", model.backbone)
    before = copy.deepcopy(inner.state_dict())
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    model(torch.randn(2, 3, 64, 96)).square().mean().backward()
    with torch.no_grad():
        for p in model.parameters():
            if p.grad is not None:
                p.grad.add_(1.0)  # moves even what starts without a gradient
    optimizer.step()
    moved = {name for name, value in inner.state_dict().items() if not torch.equal(value, before[name])}
    expected = STAGED[key]
    for stage in ("stem", "layer2"):
        assert not [n for n in moved if n.startswith(expected[stage])]
    assert f"{expected['layer3']}.weight" in moved
    # Whole stages, with their BatchNorm statistics: nothing in front of the first that moves has moved.
    names = list(before)
    first = min(names.index(n) for n in moved)
    assert names[first].split(".")[0] not in ("conv1", "bn1", "layer1", "layer2", "cls_token", "pos_embed")
    assert "pos_embed" not in moved
    if key == "unet":
        assert "layer3.0.bn1.running_mean" in moved
        assert not [n for n in moved if n.startswith(("bn1", "layer1", "layer2"))]


def test_a_wholly_frozen_transformer_trains_its_decoder_alone():
    model = from_zoo("dinov2_unet", frozen=["stem", "layer1", "layer2", "layer3", "layer4"])
    assert list(model.parameter_groups()) == ["head"]
    assert not [n for n, p in model.backbone.named_parameters() if p.requires_grad]


@pytest.mark.parametrize(
    ("key", "first"),
    [("unet", "conv1"), ("unet-convnext", "stem_0"), ("attention_unet", "conv1"), ("dinov2_unet", "patch_embed.proj")],
)  # fmt: skip
def test_weights_come_from_a_file(key, first, tmp_path):
    torch.manual_seed(7)
    source = timm.create_model(ZOO[key][1]["backbone"], pretrained=False)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    model = from_zoo(key, backbone_weights=str(tmp_path / "weights.pth"))
    inner = getattr(model.backbone, "model", model.backbone)
    wanted = source.state_dict()[f"{first.replace('stem_0', 'stem.0')}.weight"]
    assert torch.equal(inner.state_dict()[f"{first}.weight"], wanted)
    with pytest.raises(InputError, match=r"weights\.pth"):
        make("unet", backbone="mobilenetv3_small_050", backbone_weights=str(tmp_path / "weights.pth"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "unet", "backbone": "resnet19"}, "timm has no model 'resnet19'"),
        ({"name": "unet", "backbone": "vit_tiny_patch16_224"}, "dinov2_unet"),
        ({"name": "attention_unet", "backbone": "vit_tiny_patch16_224"}, "strides 16"),
        ({"name": "aspp_unet", "backbone": "hrnet_w18_small", "frozen": ["layer1"]}, "cannot be told apart"),
        ({"name": "dinov2_unet", "backbone": "resnet18"}, "no vision transformer"),
        ({"name": "dinov2_unet", "backbone": "no_such"}, "timm has no model 'no_such'"),
        ({"name": "cse_unet", "frozen": ["stem"]}, "stay random"),
        ({"name": "cse_unet", "dropout": 1.0}, "model.dropout"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_mend(settings, message):
    with pytest.raises(InputError, match=message):
        make(**settings)


@pytest.mark.parametrize("size", [(32, 64), (33, 64), (31, 97)])
def test_padding_repeats_the_border_and_is_undone(size):
    x_BCHW = torch.randn(1, 3, *size)
    padded = pad_to_multiple(x_BCHW, 32)
    assert padded.shape[-2] % 32 == padded.shape[-1] % 32 == 0
    assert torch.equal(crop_like(padded, x_BCHW), x_BCHW)
    assert torch.equal(padded[..., -1, -1], x_BCHW[..., -1, -1])


RECIPES = (
    "unet_resnet18", "unet_resnet34", "unet_resnet50", "deeplabv3plus_resnet50", "deeplabv3plus_resnet101",
    "dinov2_unet", "aspp_unet", "attention_unet", "cse_unet", "multires_unet",
)  # fmt: skip


def test_every_network_that_was_promised_has_a_recipe():
    assert set(RECIPES) <= set(recipe_names())


@pytest.mark.parametrize("name", RECIPES)
def test_the_network_of_a_recipe_takes_images_of_its_size(name):
    config = load_recipe(name)
    with torch.device("meta"):
        model = build_model(replace(config.model, backbone_weights="none"), CLASSES).eval()
        size = (config.data.height, config.data.width)
        assert model(torch.zeros(1, 3, *size)).shape == (1, CLASSES, *size)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_the_loss_of_a_recipe_falls_on_its_network(name):
    config = load_recipe(name)
    torch.manual_seed(1)
    model = build_model(replace(config.model, backbone_weights="none"), CLASSES).train()
    loss = SegmentationLoss(config.loss, torch.ones(CLASSES))
    images_BCHW, labels_BHW = torch.randn(2, 3, 50, 70), torch.zeros(2, 50, 70, dtype=torch.uint8)
    labels_BHW[:, 20:, :30], labels_BHW[:, :5] = 3, 255
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    values = []
    for _ in range(5):
        value = loss(model(images_BCHW), labels_BHW)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert np.isfinite(values).all()
    assert values[-1] < values[0]


@pytest.mark.slow
@ALL
def test_onnx_runtime_agrees_with_eager(key, tmp_path):
    model = from_zoo(key).eval()
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            # Fresh statistics are 0 and 1: a graph that dropped them would not be noticed.
            if name.endswith("running_mean"):
                buffer.normal_(std=0.1)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    image_BCHW = torch.randn(1, 3, 67, 101)
    with torch.no_grad():
        expected = model(image_BCHW).numpy()
    path = tmp_path / "model.onnx"
    torch.onnx.export(model, (image_BCHW,), path, dynamo=True, opset_version=18, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: image_BCHW.numpy()})
    assert np.abs(logits - expected).max() < 1e-3 * np.ptp(expected)
    assert (logits.argmax(1) == expected.argmax(1)).mean() > 0.999
