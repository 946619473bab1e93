# SPDX-License-Identifier: Apache-2.0
"""The picture for people: class colours over the camera image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology

_SHARE = 0.5


def overlay_image(
    image_HWC: NDArray[np.uint8], labels_HW: NDArray[np.uint8], ontology: Ontology
) -> NDArray[np.uint8]:
    """Class colours mixed half and half into the RGB image, shape (H, W, 3); labels may be of another size."""
    # As ontology.colorize, in a quarter of its time.
    colors_HWC = cv2.applyColorMap(labels_HW, np.ascontiguousarray(ontology.colors_2563).reshape(256, 1, 3))
    if colors_HWC.shape != image_HWC.shape:
        size = (image_HWC.shape[1], image_HWC.shape[0])
        colors_HWC = np.asarray(cv2.resize(colors_HWC, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    return np.asarray(cv2.addWeighted(image_HWC, 1.0 - _SHARE, colors_HWC, _SHARE, 0.0), np.uint8)
