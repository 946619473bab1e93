# SPDX-License-Identifier: Apache-2.0
"""Boundary IoU: how well the edges of the classes are met, where plain IoU hears only their insides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

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
        # Unlabelled areas cut both sides alike, so that their edges are no error.
        shown_HW = np.where(truth_HW == UNLABELLED, UNLABELLED, predicted_HW)
        for index in range(self.n_classes):
            true_HW, claimed_HW = truth_HW == index, shown_HW == index
            if not (true_HW.any() or claimed_HW.any()):
                continue
            edge_HW, edge_claimed_HW = _inner_edge(true_HW, distance), _inner_edge(claimed_HW, distance)
            self.intersection[index] += int(np.count_nonzero(edge_HW & edge_claimed_HW))
            self.union[index] += int(np.count_nonzero(edge_HW | edge_claimed_HW))

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


def _inner_edge(mask_HW: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    """The pixels of a mask that lie within ``distance`` pixels of its outline or of the image border."""
    padded = cv2.copyMakeBorder(mask_HW.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    core = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)[1:-1, 1:-1]
    edge: NDArray[np.bool_] = mask_HW & (core == 0)
    return edge
