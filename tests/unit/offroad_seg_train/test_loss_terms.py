# SPDX-License-Identifier: Apache-2.0
"""Lovász, focal and hard-example loss, class weights, and weighted sums of all terms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.errors import InputError
from offroad_seg_train.loss_terms import focal_loss, hardest_loss, lovasz_loss
from offroad_seg_train.losses import TERMS, LossConfig, SegmentationLoss, class_weights

N_CLASSES = 4
WEIGHT_C = torch.tensor([0.3, 1.0, 2.5, 0.2])
GAMMAS = [0.0, 0.5, 2.0, 5.0]
# The hybrid loss of the post-disaster system.
HYBRID = LossConfig(
    class_weights="inverse_sqrt", cross_entropy=0.35, lovasz=0.30, focal=0.20, focal_gamma=GAMMAS, ohem=0.15
)
CONFIGS = {
    "lovasz": LossConfig(cross_entropy=0, lovasz=1),
    "focal": LossConfig(cross_entropy=0, focal=1, focal_gamma=GAMMAS),
    "ohem": LossConfig(cross_entropy=0, ohem=1, ohem_fraction=0.3),
    "dice": LossConfig(cross_entropy=0, dice=1),
    "cross_entropy": LossConfig(label_smoothing=0.1),
    "hybrid": HYBRID,
    "all": LossConfig(
        class_weights="inverse",
        label_smoothing=0.05,
        dice=0.5,
        lovasz=0.3,
        focal=0.2,
        focal_gamma=GAMMAS,
        ohem=0.1,
    ),
}
ALL = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def test_every_term_is_tested_alone_and_in_a_sum():
    alone = {
        term
        for config in CONFIGS.values()
        for term in TERMS
        if getattr(config, term) and not any(getattr(config, other) for other in TERMS if other != term)
    }
    assert alone == set(TERMS)
    assert all(getattr(CONFIGS["all"], term) for term in TERMS)


def loss_and_gradient(config: LossConfig, logits: torch.Tensor, labels: torch.Tensor):
    logits = logits.clone().requires_grad_(True)
    loss = SegmentationLoss(config, WEIGHT_C)(logits, labels)
    (gradient,) = torch.autograd.grad(loss, logits)
    return loss.detach(), gradient


def example(seed: int = 0, size: tuple[int, int, int] = (2, 6, 9), ignored: float = 0.2):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(size[0], N_CLASSES, *size[1:], generator=generator) * 2
    labels = torch.randint(0, N_CLASSES, size, generator=generator)
    labels[torch.rand(size, generator=generator) < ignored] = 255
    return logits, labels


def probabilities(logits: torch.Tensor, labels: torch.Tensor):
    """Labels and softmax of the labelled pixels, (N,) and (N, C), by numpy in double precision."""
    known = labels.numpy() != 255
    x = logits.double().numpy().transpose(0, 2, 3, 1)[known]
    p = np.exp(x - x.max(1, keepdims=True))
    return labels.numpy()[known], p / p.sum(1, keepdims=True)


@ALL
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    share=st.floats(0, 1),
    scale=st.floats(0.1, 50),
    size=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 13)),
)
def test_ignored_pixels_change_neither_loss_nor_gradient(config, seed, share, scale, size):
    logits, labels = example(seed, size, share)
    ignored = labels == 255
    loss, gradient = loss_and_gradient(config, logits, labels)
    generator = torch.Generator().manual_seed(seed + 1)
    noise = torch.randn(logits.shape, generator=generator) * scale
    changed, changed_gradient = loss_and_gradient(
        config, torch.where(ignored[:, None], noise, logits), labels
    )
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()
    torch.testing.assert_close(loss, changed, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(gradient, changed_gradient, atol=1e-6, rtol=1e-4)
    assert (gradient.movedim(1, -1)[ignored] == 0).all()


@ALL
def test_padding_is_as_if_it_were_not_there(config):
    logits, labels = example()
    wide_logits, wide_labels = torch.randn(2, N_CLASSES, 11, 12), torch.full((2, 11, 12), 255)
    wide_logits[:, :, :6, 3:] = logits
    wide_labels[:, :6, 3:] = labels
    loss = SegmentationLoss(config, WEIGHT_C)
    torch.testing.assert_close(loss(wide_logits, wide_labels), loss(logits, labels))


@ALL
def test_a_batch_without_labels_has_loss_and_gradient_zero(config):
    loss, gradient = loss_and_gradient(config, torch.randn(2, N_CLASSES, 5, 7), torch.full((2, 5, 7), 255))
    assert loss == 0
    assert (gradient == 0).all()


@ALL
def test_training_on_the_loss_finds_the_labels(config):
    logits, labels = example(3)
    logits.requires_grad_(True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    loss = SegmentationLoss(config, WEIGHT_C)
    for _ in range(150):
        optimizer.zero_grad()
        loss(logits, labels).backward()
        optimizer.step()
    known = labels != 255
    assert (logits.argmax(1)[known] == labels[known]).all()


@ALL
@pytest.mark.parametrize("confidence", [50.0, 1e4])
def test_certain_logits_right_or_wrong_give_finite_numbers(config, confidence):
    _, labels = example(5)
    right = torch.nn.functional.one_hot(labels.clamp(max=3), N_CLASSES).movedim(-1, 1) * confidence
    for logits in (right, right.roll(1, dims=1)):
        loss, gradient = loss_and_gradient(config, logits.float(), labels)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


def test_focal_loss_is_the_formula():
    logits, labels = example(1)
    ids, p = probabilities(logits, labels)
    true = p[np.arange(len(ids)), ids]
    expected = np.mean(-((1 - true) ** np.array(GAMMAS)[ids]) * np.log(true))
    assert float(focal_loss(logits, labels, torch.tensor(GAMMAS))) == pytest.approx(expected, rel=1e-5)


def test_without_gamma_focal_loss_is_cross_entropy():
    logits, labels = example(2)
    focal = SegmentationLoss(LossConfig(cross_entropy=0, focal=1, focal_gamma=[0.0]), torch.ones(4))
    plain = SegmentationLoss(LossConfig(), torch.ones(4))
    torch.testing.assert_close(focal(logits, labels), plain(logits, labels))


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 1.0])
def test_hardest_loss_is_the_mean_of_the_largest(fraction):
    logits, labels = example(4)
    ids, p = probabilities(logits, labels)
    each = np.sort(-np.log(p[np.arange(len(ids)), ids]))[::-1]
    expected = each[: int(np.ceil(fraction * len(each)))].mean()
    assert float(hardest_loss(logits, labels, fraction)) == pytest.approx(expected, rel=1e-5)


def test_lovasz_of_certain_predictions_is_one_minus_iou_over_the_classes_that_are_there():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (2, 7, 11))  # class 3 never occurs
    predicted = np.where(rng.random(labels.shape) < 0.6, labels, rng.integers(0, 4, labels.shape))
    labels[0, :2] = 255
    known = labels != 255
    ious = [
        ((predicted == c) & (labels == c) & known).sum() / (((predicted == c) | (labels == c)) & known).sum()
        for c in range(3)
    ]
    logits = torch.nn.functional.one_hot(torch.from_numpy(predicted), 4).movedim(-1, 1) * 1e3
    loss = lovasz_loss(logits.float(), torch.from_numpy(labels))
    assert float(loss) == pytest.approx(1 - np.mean(ious), abs=1e-5)


def test_a_sum_is_its_terms_by_their_weights():
    logits, labels = example(6)
    hybrid = SegmentationLoss(HYBRID, WEIGHT_C)(logits, labels)
    parts = (
        0.35 * SegmentationLoss(LossConfig(), WEIGHT_C)(logits, labels)
        + 0.30 * lovasz_loss(logits, labels)
        + 0.20 * focal_loss(logits, labels, torch.tensor(GAMMAS))
        + 0.15 * hardest_loss(logits, labels, 0.2)
    )
    torch.testing.assert_close(hybrid, parts)


def test_the_layout_of_the_logits_changes_nothing():
    logits, labels = example(8)
    loss, gradient = loss_and_gradient(CONFIGS["all"], logits, labels)
    last, last_gradient = loss_and_gradient(
        CONFIGS["all"], logits.to(memory_format=torch.channels_last), labels
    )
    torch.testing.assert_close(loss, last)
    torch.testing.assert_close(gradient, last_gradient)


def test_half_precision_logits_are_worked_out_in_float32():
    logits, labels = example(7)
    half = SegmentationLoss(HYBRID, WEIGHT_C)(logits.half(), labels.to(torch.uint8))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, SegmentationLoss(HYBRID, WEIGHT_C)(logits.half().float(), labels))


PIXELS = [9_000_000, 3_000_000, 0, 400_000, 2_000]


def test_median_frequency_leaves_the_median_class_as_it_is():
    weights = class_weights([900, 300, 0, 100], LossConfig(class_weights="median_frequency"))
    assert weights.tolist() == pytest.approx([1 / 3, 1.0, 1.0, 3.0])


def test_effective_number_is_the_formula_of_its_paper():
    config = LossConfig(class_weights="effective_number", weight_min=1e-9, weight_max=1e9)
    present = np.array([n for n in PIXELS if n], float)
    beta = 1 - 1 / present.mean()
    expected = (1 - beta) / (1 - beta**present)
    expected /= expected.mean()
    weights = class_weights(PIXELS, config)
    assert weights[[0, 1, 3, 4]].tolist() == pytest.approx(expected, rel=1e-4)
    # Rare classes as by inverse frequency, frequent ones nearly alike.
    assert float(weights[4] / weights[3]) == pytest.approx(200, rel=0.1)
    assert float(weights[1] / weights[0]) < 2


@pytest.mark.parametrize("kind", ["inverse", "inverse_sqrt", "median_frequency", "effective_number"])
def test_every_kind_of_weights_survives_an_absent_class(kind):
    config = LossConfig(class_weights=kind)
    weights = class_weights(PIXELS, config)
    assert torch.isfinite(weights).all()
    assert weights[2] == 1
    assert ((weights >= config.weight_min) & (weights <= config.weight_max)).all()
    present = [weights[i].item() for i in (0, 1, 3, 4)]
    assert present == sorted(present)  # the rarer, the heavier
    assert class_weights([0, 0], config).tolist() == [1, 1]
    assert class_weights([5, 0], config).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"lovasz": -0.1}, "loss.lovasz"),
        ({"cross_entropy": 0}, "every term has weight 0"),
        ({"focal_gamma": []}, "loss.focal_gamma"),
        ({"focal_gamma": [-1.0]}, "loss.focal_gamma"),
        ({"ohem_fraction": 0.0}, "loss.ohem_fraction"),
        ({"dice": float("nan")}, "loss.dice"),
    ],
)
def test_settings_out_of_bounds_are_refused_by_name(wrong, where):
    with pytest.raises(InputError, match=where):
        LossConfig(**wrong)


def test_gammas_must_fit_the_classes():
    with pytest.raises(InputError, match="3 values for 4 classes"):
        SegmentationLoss(LossConfig(focal=1, focal_gamma=[1.0, 2.0, 3.0]), WEIGHT_C)
