# SPDX-License-Identifier: Apache-2.0
"""The picture for people: class colours over the camera image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.native.pictures import overlay_rows
from offroad_seg.spread import spread_between

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology

    U8 = NDArray[np.uint8]

_BAND_BYTES = 100_000
"""What is worked on at once stays in the processor's cache from step to step."""


def overlay_image(image_HWC: U8, labels_HW: U8, ontology: Ontology, out: U8 | None = None) -> U8:
    """Class colours mixed half and half into the RGB image, shape (H, W, 3), each value to within a half.

    Args:
        image_HWC: uint8 RGB.
        labels_HW: uint8 class ids, of any size: the smaller the faster.
        ontology: The colours.
        out: Kept buffer of the image's shape, C-contiguous; not the image itself.
    """
    out = np.empty(image_HWC.shape, np.uint8) if out is None else out
    # Half of the image is rounded down, half of the colour up: their sum is right on average, and fits a byte.
    half_colors_2563 = ontology.half_colors_2563
    height, width = image_HWC.shape[:2]
    spread = spread_between(labels_HW.shape, (height, width))
    if overlay_rows(image_HWC, labels_HW, half_colors_2563, spread, out):
        return out
    colors_hwC = np.asarray(cv2.applyColorMap(labels_HW, half_colors_2563.reshape(256, 1, 3)), np.uint8)
    colors_hWC = spread.across(colors_hwC)
    step = max(1, _BAND_BYTES // (3 * width))
    kept = np.empty((min(step, height), width, 3), np.uint8)
    for top in range(0, height, step):
        band = out[top : top + step]
        np.right_shift(image_HWC[top : top + step], 1, out=band)
        np.add(band, spread.down(colors_hWC, kept[: len(band)], top), out=band)
    return out
