# SPDX-License-Identifier: Apache-2.0
"""Colours vary by torchvision's functions, with amounts from the frame's own generator; hue by OpenCV's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torchvision.transforms.v2 import functional

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg_train.data.augment.config import AugmentConfig

    U8 = NDArray[np.uint8]


def turn_hue(image_HWC: U8, largest: float, rng: np.random.Generator) -> U8:
    """Turn the colour wheel by up to ``largest`` turns to either side, in steps of 1/256.

    By OpenCV, since ``adjust_hue`` of torchvision takes twenty times as long for the same picture.
    """
    hsv_HWC = cv2.cvtColor(image_HWC, cv2.COLOR_RGB2HSV_FULL)
    hsv_HWC[..., 0] += np.uint8(round(256 * rng.uniform(-largest, largest)) % 256)  # the wheel wraps around
    return cv2.cvtColor(hsv_HWC, cv2.COLOR_HSV2RGB_FULL)


def vary_colour(image_CHW: torch.Tensor, config: AugmentConfig, rng: np.random.Generator) -> torch.Tensor:
    """Vary an image as the settings allow; each amount is uniform in its range, gamma's logarithm is.

    Args:
        image_CHW: uint8 RGB (3, H, W), contiguous; left as it is.
        config: ``gamma``, ``brightness``, ``contrast``, ``saturation``.
        rng: Where the amounts come from.
    """
    gamma = float(np.exp(rng.uniform(-1, 1) * np.log1p(config.gamma))) if config.gamma else 1.0
    brightness, contrast, saturation = (
        rng.uniform(1 - limit, 1 + limit) if limit else 1.0
        for limit in (config.brightness, config.contrast, config.saturation)
    )
    if gamma != 1 or brightness != 1:
        image_CHW = look_up(image_CHW, tone_table(gamma, brightness))
    if contrast != 1:
        image_CHW = functional.adjust_contrast(image_CHW, contrast)
    if saturation != 1:
        image_CHW = functional.adjust_saturation(image_CHW, saturation)
    return image_CHW


def tone_table(gamma: float, brightness: float) -> U8:
    """What gamma, then brightness make of each of the 256 values: they need be computed no more often; uint8 (256,)."""
    values_CHW = torch.arange(256, dtype=torch.uint8)[None, None]
    return (
        functional.adjust_brightness(functional.adjust_gamma(values_CHW, gamma), brightness).numpy().ravel()
    )


def look_up(image_CHW: torch.Tensor, table_256: U8) -> torch.Tensor:
    """Each value's entry in a table."""
    rows = image_CHW.numpy().reshape(-1, image_CHW.shape[-1])
    return torch.from_numpy(cv2.LUT(rows, table_256)).view(image_CHW.shape)
