# SPDX-License-Identifier: Apache-2.0
"""Gamma as a table; brightness, contrast, saturation and hue as one 3×4 colour matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg_train.data.augment.config import AugmentConfig

    U8 = NDArray[np.uint8]
    F64 = NDArray[np.float64]

# ITU-R BT.601 luma, as torchvision and OpenCV weigh grey.
LUMA_3 = np.array([0.299, 0.587, 0.114])
# RGB → YIQ (NTSC); a turn of the I-Q plane shifts the hue and keeps the luma.
_YIQ_T_RGB_33 = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def vary_colour(image_HWC: U8, config: AugmentConfig, rng: np.random.Generator) -> U8:
    """Vary an image as the settings allow; each amount is uniform in its range, gamma's logarithm is.

    Args:
        image_HWC: uint8 RGB (H, W, 3); left as it is.
        config: ``gamma``, ``brightness``, ``contrast``, ``saturation``, ``hue``.
        rng: Where the amounts come from.
    """
    if config.gamma:
        limit = np.log1p(config.gamma)
        image_HWC = cv2.LUT(image_HWC, gamma_table(float(np.exp(rng.uniform(-limit, limit)))))
    if not (config.brightness or config.contrast or config.saturation or config.hue):
        return image_HWC
    brightness, contrast, saturation = (
        rng.uniform(1 - limit, 1 + limit) for limit in (config.brightness, config.contrast, config.saturation)
    )
    turn = rng.uniform(-config.hue, config.hue)
    matrix_34 = colour_matrix(image_HWC, brightness, contrast, saturation, turn)
    return cv2.transform(image_HWC, matrix_34.astype(np.float32))


def gamma_table(gamma: float) -> U8:
    """255 (v / 255)^gamma for each uint8 value v."""
    return np.round(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)


def colour_matrix(
    image_HWC: U8, brightness: float, contrast: float, saturation: float, hue_turn: float
) -> F64:
    """The 3×4 matrix that maps (r, g, b, 1) to varied colours.

    Args:
        image_HWC: Whose mean grey contrast keeps.
        brightness: Factor of all channels.
        contrast: Factor of the distance to the mean grey.
        saturation: Factor of the distance to a pixel's own grey; 0 makes it grey.
        hue_turn: Turns of the colour wheel.
    """
    mean_grey = float(LUMA_3 @ np.asarray(cv2.mean(image_HWC)[:3])) * brightness
    angle = 2 * np.pi * hue_turn
    c, s = np.cos(angle), np.sin(angle)
    turn_33 = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    hue_33 = np.linalg.inv(_YIQ_T_RGB_33) @ turn_33 @ _YIQ_T_RGB_33
    saturation_33 = saturation * np.eye(3) + (1 - saturation) * np.tile(LUMA_3, (3, 1))
    linear_33 = hue_33 @ saturation_33 * (contrast * brightness)
    return np.column_stack([linear_33, np.full(3, (1 - contrast) * mean_grey)])
