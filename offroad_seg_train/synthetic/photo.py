# SPDX-License-Identifier: Apache-2.0
"""From radiance to the picture that a camera delivers: vignette, tone curve, noise, 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    F32 = NDArray[np.float32]


def develop(radiance_HW3: F32, exposure: F32, noise: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Linear radiance (H, W, 3) → sRGB picture (H, W, 3) uint8.

    Args:
        radiance_HW3: Linear RGB ≥ 0.
        exposure: Factor on each channel before the tone curve, shape (3,).
        noise: Deviation of the sensor's noise in a mid grey, as a share of full scale.
        rng: For the noise.
    """
    height, width = radiance_HW3.shape[:2]
    light = (radiance_HW3 * exposure).astype(np.float32)
    # Light that scatters in the lens: bright sky bleeds a little over dark edges.
    bloom = cv2.GaussianBlur(np.minimum(light, 6.0), (0, 0), width / 60.0)
    light = 0.955 * light + 0.045 * bloom
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    light *= (1.0 - 0.13 * (x * x + y * y))[..., None]
    # Shot noise grows with the root of the light, read noise does not.
    grain = rng.standard_normal(light.shape, dtype=np.float32)
    light = light + grain * noise * np.sqrt(np.maximum(light, 0.0) * 0.5 + 0.01)
    return (_srgb(_filmic(np.maximum(light, 0.0))) * 255.0 + 0.5).astype(np.uint8)


def _filmic(x: F32) -> F32:
    """Narkowicz's fit of the ACES curve: contrast in the middle, soft shoulder for the sun."""
    x = x * np.float32(0.62)
    return np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0.0, 1.0)


def _srgb(x: F32) -> F32:
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-6) ** (1 / 2.4) - 0.055)
