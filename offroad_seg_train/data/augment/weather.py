# SPDX-License-Identifier: Apache-2.0
"""What light and air add: shadows, dust, the sun in the lens.

Each is a soft map of weights, drawn on a coarse grid, between the image and a darker, dusty or white one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]

# Coarse maps are this many times smaller than the image.
_COARSE = 4
# Corners of a shadow's outline.
_OUTLINE = 64
# Light from a blue sky alone, relative to sunlight and sky together.
_SHADE_RGB = np.array([0.90, 0.98, 1.10])
_SUN_RGB = (255.0, 250.0, 235.0)


def add_shadow(image_HWC: U8, strongest: float, rng: np.random.Generator, sky_HW: U8 | None = None) -> U8:
    """Darken the inside of a random outline with a soft edge by up to ``strongest`` (0–1) of its light.

    Args:
        image_HWC: uint8 RGB.
        strongest: Largest part of the light that is taken.
        rng: Where the numbers come from.
        sky_HW: uint8, 1 where no shadow can fall; None where that is not known.
    """
    height, width = _coarse_size(image_HWC)
    # A wavy outline, as of a bush, a rock, a cloud: waves the lower, the shorter they are; wide and low on the ground.
    angles_N = np.linspace(0, 2 * np.pi, _OUTLINE, endpoint=False)
    waves_K = np.arange(2, 10)[:, None]
    waves_KN = rng.uniform(0, 0.5, waves_K.shape) * np.cos(
        waves_K * angles_N + rng.uniform(0, 2 * np.pi, waves_K.shape)
    )
    reach_N = 1 + (waves_KN / waves_K).sum(axis=0)
    reach_2N = rng.uniform((0.1, 0.08), (0.5, 0.3))[:, None] * [[width], [height]] * reach_N
    # On the ground more than in the sky.
    centre = rng.uniform((0, 0.5), (1, 1.1)) * (width, height)
    polygon = centre + (reach_2N * (np.cos(angles_N), np.sin(angles_N))).T
    shape_HW = np.zeros((height, width), np.uint8)
    cv2.fillPoly(shape_HW, [np.round(polygon * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    weight = cv2.GaussianBlur(shape_HW.astype(np.float32) / 255, (0, 0), rng.uniform(0.5, 3.0))
    light = 1 - rng.uniform(0.3, 1.0) * strongest
    # A deep shadow must not come out bluer than it is dark.
    shaded_HWC = cv2.transform(image_HWC, np.diag(np.minimum(light * _SHADE_RGB, 1)).astype(np.float32))
    return _blend(image_HWC, shaded_HWC, weight, sky_HW)


def add_dust(image_HWC: U8, strongest: float, rng: np.random.Generator) -> U8:
    """Hide up to ``strongest`` (0–1) of what is far under dust, and ever less of what is near.

    Along a level ground, distance goes as 1 / (row - horizon), and what haze lets through falls off exponentially
    with distance (Koschmieder's law); clouds of dust vary its density.
    """
    height, width = _coarse_size(image_HWC)
    horizon = rng.uniform(0.2, 0.5) * height
    below = np.maximum(np.arange(height) + 0.5 - horizon, 0.5)
    distance = 0.25 * height / below  # 1 halfway between the horizon and the bottom edge, more or less
    clouds = cv2.resize(rng.uniform(0.3, 1.7, (3, 5)), (width, height), interpolation=cv2.INTER_CUBIC)
    density = rng.uniform(0.2, 1.5)
    hidden = 1 - np.exp(-density * distance[:, None] * np.maximum(clouds, 0))
    weight = rng.uniform(0.3, 1.0) * strongest * hidden
    red = rng.uniform(130, 220)
    green = red * rng.uniform(0.80, 0.95)
    dust_HWC = _plain(image_HWC, (red, green, green * rng.uniform(0.70, 0.92)))
    return _blend(image_HWC, dust_HWC, weight.astype(np.float32))


def add_glare(image_HWC: U8, strongest: float, rng: np.random.Generator) -> U8:
    """The sun in the upper half of the view: a white core up to ``strongest`` (0–1), a wide veil, and ghosts.

    Ghosts are reflections between lens elements: they lie on the line through the sun and the image's centre.
    """
    height, width = _coarse_size(image_HWC)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    sun = np.array([rng.uniform(-0.1, 1.1) * width, rng.uniform(-0.15, 0.5) * height])
    strength = rng.uniform(0.5, 1.0) * strongest
    distance = np.hypot(columns - sun[0], rows - sun[1]) / max(height, width)
    core, veil = rng.uniform(0.04, 0.14), rng.uniform(0.2, 0.5)
    weight = strength * (0.9 * np.exp(-((distance / core) ** 2)) + 0.6 * np.exp(-distance / veil))
    centre = np.array([width, height]) / 2
    for _ in range(int(rng.integers(0, 5))):
        ghost = sun + (centre - sun) * rng.uniform(0.4, 2.2)
        radius = rng.uniform(0.01, 0.05) * max(height, width)
        inside = np.hypot(columns - ghost[0], rows - ghost[1]) < radius
        weight += strength * rng.uniform(0.1, 0.3) * inside
    weight = cv2.GaussianBlur(np.minimum(weight, 1).astype(np.float32), (0, 0), 0.8)
    return _blend(image_HWC, _plain(image_HWC, _SUN_RGB), weight)


def _coarse_size(image_HWC: U8) -> tuple[int, int]:
    height, width = image_HWC.shape[:2]
    return max(2, height // _COARSE), max(2, width // _COARSE)


def _plain(image_HWC: U8, rgb: tuple[float, float, float]) -> U8:
    """A picture of the same size in one colour; enlarging one pixel takes a quarter of filling them all."""
    height, width = image_HWC.shape[:2]
    return cv2.resize(np.array([[rgb]], np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)


def _blend(image_HWC: U8, other_HWC: U8, coarse_weight: F32, never_HW: U8 | None = None) -> U8:
    """The other image where the weight is 1, the image where it is 0 or ``never_HW`` is not."""
    height, width = image_HWC.shape[:2]
    weight_HW = cv2.resize(coarse_weight, (width, height), interpolation=cv2.INTER_LINEAR)
    if never_HW is not None:
        weight_HW[never_HW != 0] = 0
    return cv2.blendLinear(image_HWC, other_HWC, 1 - weight_HW, weight_HW)
