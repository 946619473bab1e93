# SPDX-License-Identifier: Apache-2.0
"""What a camera and its cable add: motion, focus, noise, compression."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]

_SHORTEST_PATH = 2.0
_BEST_QUALITY = 95


def add_motion(image_HWC: U8, longest: float, rng: np.random.Generator) -> U8:
    """Blur along a straight path of random direction, 2 to ``longest`` pixels long."""
    length = rng.uniform(_SHORTEST_PATH, longest)
    return cv2.filter2D(
        image_HWC, -1, path_kernel(length, rng.uniform(0, np.pi)), borderType=cv2.BORDER_REPLICATE
    )


def path_kernel(length: float, angle: float) -> F32:
    """Share of the exposure that each pixel of a straight path gets; float32, odd sizes, sum 1.

    Args:
        length: Of the path, in pixels.
        angle: Its direction in radians, from the x axis.
    """
    along = np.linspace(-(length - 1) / 2, (length - 1) / 2, 8 * int(np.ceil(length)) + 1)
    # Rounded: an upright path is one pixel wide, not one and 1e-16.
    x, y = np.round(along * np.cos(angle), 6), np.round(along * np.sin(angle), 6)
    half_w, half_h = int(np.ceil(np.abs(x).max())), int(np.ceil(np.abs(y).max()))
    kernel = np.zeros((2 * half_h + 2, 2 * half_w + 2), np.float32)
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    right, below = x - column, y - row
    for dy, wy in ((0, 1 - below), (1, below)):
        for dx, wx in ((0, 1 - right), (1, right)):
            np.add.at(kernel, (row + half_h + dy, column + half_w + dx), wy * wx)
    kernel = kernel[:-1, :-1]  # the last ones got weights of zero only
    return kernel / kernel.sum()


def defocus(image_HWC: U8, largest_sigma: float, rng: np.random.Generator) -> U8:
    """Blur evenly by a Gaussian of a standard deviation up to ``largest_sigma`` pixels."""
    sigma = rng.uniform(0.1, largest_sigma)
    return cv2.GaussianBlur(image_HWC, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


# Standard normal values at the middle of 256 equal shares of probability: random bytes become Gaussian numbers by a
# look-up, ten times as fast as drawing them. Scaled to a variance of 1, which the cut tails lack.
_NORMAL_256 = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)])
_NORMAL_256 /= _NORMAL_256.std()


def add_noise(image_HWC: U8, largest_sigma: float, rng: np.random.Generator) -> U8:
    """Add Gaussian noise to every value, of a standard deviation up to ``largest_sigma`` grey levels."""
    table = np.round(rng.uniform(0, largest_sigma) * _NORMAL_256).astype(np.int16)
    random_HWC = np.frombuffer(rng.bytes(image_HWC.size), np.uint8).reshape(image_HWC.shape)
    return cv2.add(image_HWC, cv2.LUT(random_HWC, table), dtype=cv2.CV_8U)


def compress(image_HWC: U8, lowest_quality: int, rng: np.random.Generator) -> U8:
    """Through JPEG and back, at a quality from ``lowest_quality`` to 95."""
    quality = int(rng.integers(lowest_quality, _BEST_QUALITY + 1))
    bgr_HWC = cv2.cvtColor(image_HWC, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr_HWC, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
