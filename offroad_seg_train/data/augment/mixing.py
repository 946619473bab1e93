# SPDX-License-Identifier: Apache-2.0
"""Two frames in one picture, labels and all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.types import UNLABELLED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """A view of a frame, at the network's size.

    Attributes:
        image_HWC: uint8 RGB.
        labels_HW: uint8 class ids; 255 = none, or outside the image.
        inside_HW: uint8, 1 inside the image and 0 in the padding; None where there is no padding.
    """

    image_HWC: U8
    labels_HW: U8
    inside_HW: U8 | None


def cut_mix(sample: Sample, other: Sample, rng: np.random.Generator) -> Sample:
    """A rectangle of the other frame in its place: CutMix (Yun et al., 2019), for labels of pixels.

    Its share of the area is uniform in 0–1, its centre anywhere, and what sticks out is cut off.
    """
    height, width = sample.labels_HW.shape
    side = np.sqrt(rng.random())
    middle_y, middle_x = rng.random() * height, rng.random() * width
    top, bottom = np.clip(np.round([middle_y - side * height / 2, middle_y + side * height / 2]), 0, height)
    left, right = np.clip(np.round([middle_x - side * width / 2, middle_x + side * width / 2]), 0, width)
    mask = np.zeros((height, width), np.uint8)
    mask[int(top) : int(bottom), int(left) : int(right)] = 1
    return _paste(sample, other, mask)


def class_mix(sample: Sample, other: Sample, rng: np.random.Generator) -> Sample:
    """Half of the classes of the other frame pasted in: ClassMix (Olsson et al., 2020), on true labels."""
    counts = np.bincount(other.labels_HW.ravel(), minlength=UNLABELLED + 1)
    present = np.flatnonzero(counts[:UNLABELLED])
    chosen = rng.permutation(present)[: (len(present) + 1) // 2]
    table = np.zeros(256, np.uint8)
    table[chosen] = 1
    return _paste(sample, other, cv2.LUT(other.labels_HW, table))


def _paste(sample: Sample, other: Sample, mask_HW: U8) -> Sample:
    """The other frame where the mask is not 0."""
    image, labels = sample.image_HWC.copy(), sample.labels_HW.copy()
    cv2.copyTo(other.image_HWC, mask_HW, image)
    cv2.copyTo(other.labels_HW, mask_HW, labels)
    if sample.inside_HW is None and other.inside_HW is None:
        return Sample(image, labels, None)
    inside = np.ones_like(labels) if sample.inside_HW is None else sample.inside_HW.copy()
    cv2.copyTo(np.ones_like(labels) if other.inside_HW is None else other.inside_HW, mask_HW, inside)
    return Sample(image, labels, inside)
