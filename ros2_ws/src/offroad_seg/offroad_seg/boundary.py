# SPDX-License-Identifier: Apache-2.0
"""Boundary IoU: how well the edges of the classes are met, where plain IoU hears only their insides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.counting import count_bytes
from offroad_seg.native.counting import count_zones
from offroad_seg.types import UNLABELLED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    U8 = NDArray[np.uint8]
    I64 = NDArray[np.int64]

BOUNDARY_RATIO = 0.02


class BoundaryIoU:
    """Boundary IoU (Cheng et al., "Boundary IoU", CVPR 2021), counted over a whole set.

    Args:
        n_classes: Number of classes.
        ratio: Width of the edge zone as a part of the image diagonal.
    """

    def __init__(self, n_classes: int, ratio: float = BOUNDARY_RATIO) -> None:
        self.n_classes = n_classes
        self.ratio = ratio
        self.intersection: I64 = np.zeros(n_classes, np.int64)
        self.union: I64 = np.zeros(n_classes, np.int64)

    def update(self, predicted_HW: U8, truth_HW: U8) -> None:
        """Add one image; uint8 ids of the same shape (H, W)."""
        height, width = truth_HW.shape
        distance = max(1, round(self.ratio * float(np.hypot(height, width))))
        of_truth, of_shown, of_both = _zones(truth_HW, predicted_HW, distance)[:, : self.n_classes]
        self.intersection += of_both
        self.union += of_truth + of_shown - of_both

    def add(self, other: BoundaryIoU) -> None:
        """Add the pixels that another one of as many classes has counted."""
        self.intersection += other.intersection
        self.union += other.union

    def per_class(self) -> list[float | None]:
        """Of each class; None where it neither occurs nor is predicted."""
        return [
            float(i / u) if u else None
            for i, u in zip(self.intersection.tolist(), self.union.tolist(), strict=True)
        ]

    def value(self) -> float | None:
        """Mean over the classes that occur; None where there are none."""
        found = [v for v in self.per_class() if v is not None]
        return float(np.mean(found)) if found else None


def _zones(truth_HW: U8, predicted_HW: U8, distance: int) -> I64:
    """Pixels of each label in the edge zones of the truth, of what is shown, and of both; int64 (3, 256).

    The numbers of UNLABELLED mean nothing.
    """
    counted = count_zones(truth_HW, predicted_HW, distance)
    if counted is not None:
        return counted
    # Unlabelled areas cut both sides alike, so that their edges are no error.
    shown_HW = np.where(truth_HW == UNLABELLED, UNLABELLED, predicted_HW)
    truth, shown = (_around(labels, distance) for labels in (truth_HW, shown_HW))
    zone_HW, shown_zone_HW = (greatest != least for greatest, least in (truth, shown))
    both_HW = zone_HW & shown_zone_HW & (truth_HW == shown_HW)
    pairs = ((truth_HW, zone_HW), (shown_HW, shown_zone_HW), (truth_HW, both_HW))
    return np.stack([count_bytes(labels, mask.view(np.uint8)) for labels, mask in pairs])


def _around(labels_HW: U8, distance: int) -> tuple[U8, U8]:
    """The greatest and the least label within ``distance`` pixels (of 8 neighbours each).

    They differ at each class's inner edge, and at the image's border.
    """
    kernel = np.ones((2 * distance + 1, 2 * distance + 1), np.uint8)
    # Beyond the border lies a label that no class has; for the least one it must not count.
    greatest = cv2.dilate(labels_HW, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=UNLABELLED)
    least = cv2.erode(labels_HW, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=UNLABELLED)
    return np.asarray(greatest, np.uint8), np.asarray(least, np.uint8)
