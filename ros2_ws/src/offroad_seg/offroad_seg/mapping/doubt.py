# SPDX-License-Identifier: Apache-2.0
"""Out of distribution: pixels unlike anything that the network was fitted on say nothing about the ground."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.types import OOD_THRESHOLD

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.types import Segmentation

    U8 = NDArray[np.uint8]

_DOUBT_FROM = 112


def _weights_256() -> NDArray[np.float32]:
    """Full weight below ``_DOUBT_FROM``, none from ``OOD_THRESHOLD``, in between falling evenly."""
    score = np.arange(256, dtype=np.float32)
    weight = (OOD_THRESHOLD - score) / (OOD_THRESHOLD - _DOUBT_FROM)
    return np.clip(weight, 0.0, 1.0).astype(np.float32)


class Doubt:
    """Lowers confidence where the OOD score is high, so that ``min_confidence`` and evidence do the rest.

    The arrays of its results are kept buffers: they stay valid until the next but one call.
    """

    def __init__(self) -> None:
        self._weight_256: U8 = np.round(255 * _weights_256()).astype(np.uint8)
        self._buffers: list[U8] = [np.empty((0, 0), np.uint8) for _ in range(2)]

    def apply(self, segmentation: Segmentation) -> Segmentation:
        """The same labels, with confidence × weight of the OOD score; as it is where there is no score."""
        ood_HW = segmentation.ood_HW
        if ood_HW is None:
            return segmentation
        self._buffers.reverse()
        if self._buffers[0].shape != ood_HW.shape:
            self._buffers[0] = np.empty(ood_HW.shape, np.uint8)
        out_HW = self._buffers[0]
        cv2.LUT(ood_HW, self._weight_256, dst=out_HW)
        cv2.multiply(segmentation.confidence_HW, out_HW, dst=out_HW, scale=1.0 / 255.0)
        return replace(segmentation, confidence_HW=out_HW)


def ood_share(segmentation: Segmentation) -> float | None:
    """Share of pixels that are out of distribution, 0–1; None where the bundle has no such score."""
    if segmentation.ood_HW is None:
        return None
    return float(np.count_nonzero(segmentation.ood_HW >= OOD_THRESHOLD)) / segmentation.ood_HW.size
