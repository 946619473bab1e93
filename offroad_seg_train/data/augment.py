# SPDX-License-Identifier: Apache-2.0
"""Augmentation of letterboxed images and their labels, on uint8 tensors.

Every random number comes from torch's global generator, which the caller seeds for each frame
(``training.loading.TrainingSet``): the same seed, epoch and frame give the same picture whatever the number of
worker processes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional

from offroad_seg.errors import InputError
from offroad_seg.image import PAD_VALUE
from offroad_seg.types import UNLABELLED


@dataclass(frozen=True)
class AugmentConfig:
    """How training images are varied. The defaults change nothing.

    Attributes:
        flip: Probability of a mirrored image, 0–1.
        scale_min: Smallest zoom; below 1 the image shrinks and its surroundings are ignored.
        scale_max: Largest zoom; above 1 a random part is cut out.
        brightness: Largest relative change, 0–1; 0.3 is usual.
        contrast: Largest relative change, 0–1.
        saturation: Largest relative change, 0–1.
        hue: Largest shift in turns of the colour wheel, 0–0.5; small, since colour tells grass from rock.
    """

    flip: float = 0.0
    scale_min: float = 1.0
    scale_max: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        for name in ("flip", "brightness", "contrast", "saturation"):
            _within(name, getattr(self, name), 0, 1)
        _within("hue", self.hue, 0, 0.5)
        if not 0 < self.scale_min <= self.scale_max:
            raise InputError(
                f"scale_min {self.scale_min} and scale_max {self.scale_max} are no range",
                where="augment",
                mend="0 < scale_min ≤ scale_max, such as 0.75 and 1.5",
            )


class Augment:
    """Flip, zoom and colour of one frame.

    Args:
        config: What to vary.
        pad_value: Grey of what lies outside the image; the letterbox's.
    """

    def __init__(self, config: AugmentConfig, pad_value: int = PAD_VALUE) -> None:
        self.config = config
        self.pad_value = pad_value
        changes = (config.brightness, config.contrast, config.saturation, config.hue)
        self._jitter = v2.ColorJitter(*changes) if any(changes) else None

    def __call__(self, image_CHW: Tensor, labels_HW: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 image (3, H, W) and uint8 labels (H, W) → the same shapes; what lies outside is 255."""
        config = self.config
        if config.scale_min != 1 or config.scale_max != 1:
            scale = float(torch.empty(()).uniform_(config.scale_min, config.scale_max))
            image_CHW, labels_HW = zoom(image_CHW, labels_HW, scale, self.pad_value)
        if config.flip and float(torch.rand(())) < config.flip:
            image_CHW, labels_HW = image_CHW.flip(-1), labels_HW.flip(-1)
        if self._jitter is not None:
            image_CHW = self._jitter(image_CHW)
        return image_CHW, labels_HW


def zoom(image_CHW: Tensor, labels_HW: Tensor, scale: float, pad_value: int) -> tuple[Tensor, Tensor]:
    """Scale a frame about a random place and keep its size: above 1 it is cropped, below 1 padded.

    Args:
        image_CHW: uint8 (3, H, W).
        labels_HW: uint8 (H, W).
        scale: New size / old size of what is seen.
        pad_value: Grey outside the image; labels there are 255.
    """
    height, width = labels_HW.shape
    if scale >= 1:
        # Cropping first costs less than resizing the whole image.
        h, w = max(1, round(height / scale)), max(1, round(width / scale))
        top, left = _place(height - h), _place(width - w)
        inside = (slice(top, top + h), slice(left, left + w))
        return _resize(image_CHW[:, inside[0], inside[1]], labels_HW[inside], height, width)
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = _place(height - h), _place(width - w)
    small_CHW, small_HW = _resize(image_CHW, labels_HW, h, w)
    padded_CHW = torch.full_like(image_CHW, pad_value)
    padded_HW = torch.full_like(labels_HW, UNLABELLED)
    padded_CHW[:, top : top + h, left : left + w] = small_CHW
    padded_HW[top : top + h, left : left + w] = small_HW
    return padded_CHW, padded_HW


def _resize(image_CHW: Tensor, labels_HW: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    size = [height, width]
    # NEAREST_EXACT as in the letterbox: NEAREST moves labels by up to half a pixel.
    labels_1HW = functional.resize(labels_HW[None], size, interpolation=InterpolationMode.NEAREST_EXACT)
    return functional.resize(image_CHW, size, antialias=True), labels_1HW[0]


def _place(room: int) -> int:
    return int(torch.randint(room + 1, ()))


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"{name} is {value}", where=f"augment.{name}", mend=f"{low}–{high}")
