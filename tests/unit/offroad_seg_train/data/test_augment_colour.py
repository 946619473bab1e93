# SPDX-License-Identifier: Apache-2.0
"""Colours vary by torchvision's own functions, within their limits, and stay as they are by default."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from offroad_seg_train.data.augment import AugmentConfig
from offroad_seg_train.data.augment.colour import look_up, tone_table, turn_hue, vary_colour

PICTURE = cv2.resize(np.random.default_rng(0).integers(60, 190, (6, 10, 3), np.uint8), (40, 24))
PICTURE_CHW = torch.from_numpy(PICTURE.transpose(2, 0, 1).copy())


class Drawn:
    """A generator whose numbers are all a given part of their range, 0 to 1."""

    def __init__(self, part: float) -> None:
        self.part = part

    def uniform(self, low: float, high: float) -> float:
        return low + self.part * (high - low)


@pytest.mark.parametrize(("part", "factor"), [(0.0, 0.7), (1.0, 1.3), (0.75, 1.15)])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_each_amount_is_torchvision_s_within_its_limit(name: str, part: float, factor: float) -> None:
    before = PICTURE_CHW.clone()
    ours = vary_colour(PICTURE_CHW, AugmentConfig(**{name: 0.3}), Drawn(part))
    assert torch.equal(ours, getattr(functional, f"adjust_{name}")(PICTURE_CHW, factor))
    assert not torch.equal(ours, PICTURE_CHW)
    assert torch.equal(PICTURE_CHW, before)


@pytest.mark.parametrize(("part", "gamma"), [(0.0, 1 / 1.3), (0.5, 1.0), (1.0, 1.3)])
def test_gamma_is_torchvision_s_within_its_limit(part: float, gamma: float) -> None:
    ours = vary_colour(PICTURE_CHW, AugmentConfig(gamma=0.3), Drawn(part))
    assert torch.equal(ours, functional.adjust_gamma(PICTURE_CHW, gamma))


def test_a_table_says_what_the_functions_say_of_a_picture_of_any_width() -> None:
    wide_CHW = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (3, 5, 1200), np.uint8))
    expected = functional.adjust_brightness(functional.adjust_gamma(wide_CHW, 0.8), 1.2)
    assert torch.equal(look_up(wide_CHW, tone_table(0.8, 1.2)), expected)


def test_a_third_of_a_turn_makes_red_green_and_keeps_grey() -> None:
    colours = np.array([[[200, 40, 40], [120, 120, 120]]], np.uint8)
    turned, back = (turn_hue(colours, 1 / 3, Drawn(part)) for part in (1.0, 0.0))
    assert (turned[0, 0].argmax(), back[0, 0].argmax()) == (1, 2)
    assert np.abs(turned[0, 1].astype(int) - 120).max() <= 1
    assert (colours[0, 0] == (200, 40, 40)).all()


@pytest.mark.parametrize("steps", [-7, 3, 12])
def test_hue_is_torchvision_s_but_for_rounding(steps: int) -> None:
    ours = turn_hue(PICTURE, abs(steps) / 256, Drawn(float(steps > 0))).astype(int)
    theirs = functional.adjust_hue(PICTURE_CHW, steps / 256).permute(1, 2, 0).numpy()
    assert np.abs(ours - theirs).max() <= 5
    assert np.abs(ours - theirs).mean() < 1 < np.abs(PICTURE.astype(int) - theirs).mean()


def test_without_settings_it_is_the_very_image() -> None:
    assert vary_colour(PICTURE_CHW, AugmentConfig(), np.random.default_rng(0)) is PICTURE_CHW


def test_the_same_numbers_give_the_same_colours() -> None:
    config = AugmentConfig(brightness=0.3, contrast=0.3, saturation=0.3, gamma=0.2)
    first, second, third = (vary_colour(PICTURE_CHW, config, np.random.default_rng(s)) for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
