# SPDX-License-Identifier: Apache-2.0
"""Colours vary as torchvision's own functions would, and stay as they are by default."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from offroad_seg_train.data.augment import AugmentConfig
from offroad_seg_train.data.augment.colour import colour_matrix, vary_colour

PICTURE = cv2.resize(np.random.default_rng(0).integers(60, 190, (6, 10, 3), np.uint8), (40, 24))


def torchvision(function: str, factor: float) -> np.ndarray:
    changed = getattr(functional, function)(torch.from_numpy(PICTURE).permute(2, 0, 1), factor)
    return changed.permute(1, 2, 0).numpy().astype(int)


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.3])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_each_amount_is_torchvision_s(name: str, factor: float) -> None:
    amounts = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue_turn": 0.0, name: factor}
    ours = cv2.transform(PICTURE, colour_matrix(PICTURE, **amounts).astype(np.float32)).astype(int)
    assert np.abs(ours - torchvision(f"adjust_{name}", factor)).max() <= 2


def test_a_third_of_a_turn_makes_red_green_and_keeps_grey() -> None:
    colours = np.array([[[200, 40, 40], [120, 120, 120]]], np.uint8)
    turned = cv2.transform(colours, colour_matrix(colours, 1, 1, 1, 1 / 3).astype(np.float32))
    back = cv2.transform(colours, colour_matrix(colours, 1, 1, 1, -1 / 3).astype(np.float32))
    assert {turned[0, 0].argmax(), back[0, 0].argmax()} == {1, 2}
    assert np.abs(turned[0, 1].astype(int) - 120).max() <= 1


def test_without_settings_it_is_the_very_image() -> None:
    assert vary_colour(PICTURE, AugmentConfig(), np.random.default_rng(0)) is PICTURE


def test_the_same_numbers_give_the_same_colours() -> None:
    config = AugmentConfig(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.05)
    first, second, third = (vary_colour(PICTURE, config, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)
    assert not np.array_equal(first, PICTURE)
