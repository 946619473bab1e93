# SPDX-License-Identifier: Apache-2.0
"""What the network is fed, written once: the same at training, at evaluation and on the vehicle.

The host only letterboxes uint8 pixels. Normalisation runs inside the exported graph, from the same numbers that the
trainer used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.errors import ImageError
from offroad_seg.native.resize import resize_rgb
from offroad_seg.types import UNLABELLED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    U8 = NDArray[np.uint8]

PAD_VALUE = 114

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Normalization:
    """(image / 255 − mean) / std, per RGB channel; the numbers are for images scaled to 0–1."""

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


@dataclass(frozen=True)
class LetterboxGeometry:
    """Where a source image lies inside the network's input.

    Attributes:
        height: Rows that the resized image takes.
        width: Columns that it takes.
        top: First row.
        left: First column.
    """

    height: int
    width: int
    top: int
    left: int


@dataclass(frozen=True)
class Letterbox:
    """Resizes to the network's size, keeps the aspect ratio, and pads the rest.

    Attributes:
        height: Network input rows.
        width: Network input columns.
        pad_value: Grey of the padding.
    """

    height: int
    width: int
    pad_value: int = PAD_VALUE

    def geometry(self, height: int, width: int) -> LetterboxGeometry:
        """Where an image of (height, width) comes to lie.

        Raises:
            ImageError: The image is empty.
        """
        if height < 1 or width < 1:
            raise ImageError(f"the image is {width}×{height}", mend="send an image with pixels")
        return _geometry((self.height, self.width), (height, width))

    def apply(self, image_HWC: U8, out: U8 | None = None) -> U8:
        """Image (h, w, 3) uint8 → (height, width, 3) uint8.

        Args:
            image_HWC: RGB.
            out: Kept buffer of the network's size. Its padding is painted anew, so it may serve several sizes.

        Raises:
            ImageError: Not uint8 with three channels.
        """
        if image_HWC.dtype != np.uint8 or image_HWC.ndim != 3 or image_HWC.shape[2] != 3:
            raise ImageError(f"an image is uint8 (H, W, 3), not {image_HWC.dtype} {image_HWC.shape}")
        place = self.geometry(*image_HWC.shape[:2])
        if out is None:
            out = np.empty((self.height, self.width, 3), np.uint8)
        inside = self._paint_padding(out, place, self.pad_value)
        if (
            image_HWC.shape == inside.shape or image_HWC.size == 3
        ):  # OpenCV 4.5 takes no single pixel as its input
            inside[:] = image_HWC
        elif resize_rgb(image_HWC, inside):
            pass
        elif inside.flags.c_contiguous and inside.size > 3:  # OpenCV 4.5 takes no single pixel as its output
            cv2.resize(image_HWC, (place.width, place.height), dst=inside, interpolation=cv2.INTER_LINEAR)
        else:
            inside[:] = cv2.resize(image_HWC, (place.width, place.height), interpolation=cv2.INTER_LINEAR)
        return out

    def apply_mask(self, ids_HW: U8) -> U8:
        """Class ids (h, w) → (height, width): nearest neighbour, padding unlabelled."""
        place = self.geometry(*ids_HW.shape[:2])
        out = np.empty((self.height, self.width), np.uint8)
        inside = self._paint_padding(out, place, UNLABELLED)
        # INTER_NEAREST_EXACT samples pixel centres; INTER_NEAREST is shifted by up to half a pixel.
        inside[:] = cv2.resize(ids_HW, (place.width, place.height), interpolation=cv2.INTER_NEAREST_EXACT)
        return out

    def restore(self, network_HW: U8, height: int, width: int, out: U8 | None = None) -> U8:
        """The inverse for labels or confidence: crops the padding and resizes to (height, width), nearest.

        Args:
            network_HW: uint8 at network size.
            height: Rows of the source image.
            width: Columns of the source image.
            out: Kept buffer (height, width), C-contiguous.
        """
        place = self.geometry(height, width)
        inside = network_HW[place.top : place.top + place.height, place.left : place.left + place.width]
        if out is None:
            out = np.empty((height, width), np.uint8)
        if inside.shape == out.shape:
            out[:] = inside
            return out
        cv2.resize(inside, (width, height), dst=out, interpolation=cv2.INTER_NEAREST_EXACT)
        return out

    def _paint_padding(self, out: U8, place: LetterboxGeometry, value: int) -> U8:
        if out.shape[:2] != (self.height, self.width):
            raise ImageError(
                f"the buffer is {out.shape[:2]}, the network's input ({self.height}, {self.width})"
            )
        bottom, right = place.top + place.height, place.left + place.width
        if place.height < self.height:
            out[: place.top].fill(value)
            out[bottom:].fill(value)
        if place.width < self.width:
            out[place.top : bottom, : place.left].fill(value)
            out[place.top : bottom, right:].fill(value)
        return out[place.top : bottom, place.left : right]


@lru_cache(maxsize=32)
def _geometry(network: tuple[int, int], image: tuple[int, int]) -> LetterboxGeometry:
    """Kept: each frame asks for the same one."""
    (height, width), (rows, columns) = network, image
    scale = min(height / rows, width / columns)
    new_h = max(1, min(height, round(rows * scale)))
    new_w = max(1, min(width, round(columns * scale)))
    return LetterboxGeometry(new_h, new_w, (height - new_h) // 2, (width - new_w) // 2)
