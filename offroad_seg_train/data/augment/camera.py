# SPDX-License-Identifier: Apache-2.0
"""What a camera and its cable add: motion, focus, noise, compression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import kornia.filters
import numpy as np
import torch
from torchvision.transforms.v2 import functional

if TYPE_CHECKING:
    from numpy.typing import NDArray

    U8 = NDArray[np.uint8]

_SHORTEST_PATH = 3
_BEST_QUALITY = 95


def add_motion(image_HWC: U8, longest: float, rng: np.random.Generator) -> U8:
    """Blur along a straight path of random direction, 3 to ``longest`` pixels long, an odd number of them.

    Kornia's path by OpenCV's filter, which takes a tenth of the time of Kornia's and stays quick for long paths.
    """
    length = 2 * int(rng.integers(_SHORTEST_PATH // 2, (int(longest) + 1) // 2)) + 1
    path = kornia.filters.get_motion_kernel2d(length, rng.uniform(0, 180), mode="bilinear")[0]
    return cv2.filter2D(image_HWC, -1, path.numpy(), borderType=cv2.BORDER_REPLICATE)


def defocus(image_CHW: torch.Tensor, largest_sigma: float, rng: np.random.Generator) -> torch.Tensor:
    """Blur a uint8 image evenly by a Gaussian of a standard deviation up to ``largest_sigma`` pixels."""
    sigma = rng.uniform(0.1, largest_sigma)
    size = 2 * int(np.ceil(3 * sigma)) + 1
    blurred_BCHW = kornia.filters.gaussian_blur2d(
        image_CHW[None].float(), (size, size), (sigma, sigma), border_type="replicate"
    )
    return blurred_BCHW[0].round_().to(torch.uint8)


def add_noise(image_CHW: torch.Tensor, largest_sigma: float, rng: np.random.Generator) -> torch.Tensor:
    """Add Gaussian noise to every value, of a standard deviation up to ``largest_sigma`` grey levels."""
    sigma = rng.uniform(0, largest_sigma)
    # Torchvision draws from the global generator: it is seeded by the frame's own, and left as it was.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(rng.integers(2**63)))
        return functional.gaussian_noise(image_CHW, sigma=sigma / 255)


def compress(image_CHW: torch.Tensor, lowest_quality: int, rng: np.random.Generator) -> torch.Tensor:
    """Through JPEG and back, at a quality from ``lowest_quality`` to 95."""
    return functional.jpeg(image_CHW, int(rng.integers(lowest_quality, _BEST_QUALITY + 1)))
