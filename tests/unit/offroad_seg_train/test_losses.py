# SPDX-License-Identifier: Apache-2.0
"""Losses against independent formulas, and what ignored pixels must not do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.errors import InputError
from offroad_seg_train.losses import LossConfig, SegmentationLoss, class_weights, soft_dice_loss

V3 = LossConfig(class_weights="inverse", label_smoothing=0.05, dice=0.5)
WEIGHT_C = torch.tensor([0.3, 1.0, 2.5, 0.2])


def loss_and_gradient(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    logits = logits.clone().requires_grad_(True)
    loss = SegmentationLoss(V3, WEIGHT_C)(logits, labels)
    (gradient,) = torch.autograd.grad(loss, logits)
    return loss.detach(), gradient


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    share=st.floats(0, 1),
    scale=st.floats(0.1, 50),
    size=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 13)),
)
def test_ignored_pixels_change_neither_loss_nor_gradient(seed, share, scale, size) -> None:
    generator = torch.Generator().manual_seed(seed)
    batch, height, width = size
    logits = torch.randn(batch, 4, height, width, generator=generator) * 3
    labels = torch.randint(0, 4, size, generator=generator, dtype=torch.uint8)
    ignored = torch.rand(size, generator=generator) < share
    labels[ignored] = 255
    loss, gradient = loss_and_gradient(logits, labels)
    noise = torch.randn(logits.shape, generator=generator) * scale
    changed, changed_gradient = loss_and_gradient(torch.where(ignored[:, None], noise, logits), labels)
    assert torch.isfinite(loss)
    torch.testing.assert_close(loss, changed, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(gradient, changed_gradient, atol=1e-6, rtol=1e-4)
    assert (gradient.movedim(1, -1)[ignored] == 0).all()


def test_ignored_pixels_are_as_if_they_were_not_there() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 4, 6, 9), torch.randint(0, 4, (2, 6, 9))
    padded_logits = torch.randn(2, 4, 8, 9)
    padded_logits[:, :, :6] = logits
    padded_labels = torch.full((2, 8, 9), 255)
    padded_labels[:, :6] = labels
    loss = SegmentationLoss(V3, WEIGHT_C)
    torch.testing.assert_close(loss(padded_logits, padded_labels), loss(logits, labels))


def test_a_batch_without_labels_has_loss_and_gradient_zero() -> None:
    loss, gradient = loss_and_gradient(torch.randn(2, 4, 5, 7), torch.full((2, 5, 7), 255))
    assert loss == 0
    assert (gradient == 0).all()


def test_cross_entropy_is_the_formula() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(2, 4, 3, 5)), rng.integers(0, 4, (2, 3, 5))
    labels[0, 0, :2] = 255
    smoothing, weight = 0.05, WEIGHT_C.double().numpy()
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    total = norm = 0.0
    for b, y, x in np.ndindex(labels.shape):
        if labels[b, y, x] == 255:
            continue
        target = np.full(4, smoothing / 4)
        target[labels[b, y, x]] += 1 - smoothing
        total -= (target * weight * log_p[b, :, y, x]).sum()
        norm += weight[labels[b, y, x]]
    config = LossConfig(label_smoothing=smoothing)
    loss = SegmentationLoss(config, WEIGHT_C)(torch.from_numpy(logits), torch.from_numpy(labels))
    assert float(loss) == pytest.approx(total / norm, rel=1e-5)


def test_soft_dice_is_the_formula() -> None:
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(2, 4, 3, 5)), rng.integers(0, 3, (2, 3, 5))  # class 3 never occurs
    labels[1, 2] = 255
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    known = labels != 255
    terms = []
    for c in range(4):
        pc, tc = p[:, c][known], (labels == c)[known]
        terms.append((2 * (pc * tc).sum() + 1) / (pc.sum() + tc.sum() + 1))
    expected = 1 - np.mean(terms)
    assert float(soft_dice_loss(torch.from_numpy(logits), torch.from_numpy(labels))) == pytest.approx(
        expected, rel=1e-5
    )


def test_perfect_logits_have_hardly_any_loss() -> None:
    labels = torch.randint(0, 4, (2, 12, 17))
    logits = torch.nn.functional.one_hot(labels, 4).movedim(-1, 1) * 100.0
    assert SegmentationLoss(LossConfig(dice=0.5), torch.ones(4))(logits, labels) < 1e-4


def test_class_weights_are_scaled_to_mean_one_then_clipped() -> None:
    config = LossConfig(class_weights="inverse")
    even = class_weights([100, 100, 200], config)
    torch.testing.assert_close(even, torch.tensor([1.2, 1.2, 0.6]))
    assert float(even.mean()) == pytest.approx(1)
    skewed = class_weights([10**9, 10**9, 10**9, 1], config)
    assert skewed.tolist() == pytest.approx([0.1, 0.1, 0.1, 4.0])
    many = class_weights([10**9] * 30 + [1], config)
    assert float(many.max()) == 15.0


def test_square_root_weights() -> None:
    weights = class_weights([100, 400], LossConfig(class_weights="inverse_sqrt"))
    torch.testing.assert_close(weights, torch.tensor([4 / 3, 2 / 3]))


def test_a_class_without_pixels_does_not_move_the_others() -> None:
    config = LossConfig(class_weights="inverse")
    with_absent = class_weights([100, 0, 300], config)
    without = class_weights([100, 300], config)
    assert with_absent.tolist() == pytest.approx([float(without[0]), 1.0, float(without[1])])
    assert class_weights([0, 0], config).tolist() == [1, 1]


@pytest.mark.parametrize(
    "wrong",
    [{"class_weights": "yes"}, {"label_smoothing": 1.0}, {"dice": -1}, {"weight_min": 2, "weight_max": 1}],
)
def test_settings_out_of_bounds_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError):
        LossConfig(**wrong)
