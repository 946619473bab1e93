# SPDX-License-Identifier: Apache-2.0
"""Overlays of images whatever their size: built from top to bottom, and shrunk where they would be huge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.overlay import overlay_image
from offroad_seg_train.evaluation.pictures import write_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg_train.data.image_sources import ImageSource
    from offroad_seg_train.evaluation.tiles import Band

    U8 = NDArray[np.uint8]

LARGEST = 4096
"""Longest side of an overlay; larger images are shrunk by a whole number."""


class OverlayWriter:
    """Class colours over an image.

    Args:
        path: The picture to write.
        source: The image.
        ontology: Gives the colours.
        largest: Longest side of the picture.
    """

    def __init__(self, path: Path, source: ImageSource, ontology: Ontology, largest: int = LARGEST) -> None:
        self._path, self._source, self._ontology = path, source, ontology
        self._factor = -(-max(source.height, source.width) // largest)
        height, width = (-(-v // self._factor) for v in (source.height, source.width))
        self._picture_HWC: U8 = np.zeros((height, width, 3), np.uint8)
        self._waiting_HWC: U8 = np.zeros((0, source.width, 3), np.uint8)
        self._filled = 0

    def add(self, band: Band) -> None:
        """The next rows.

        Raises:
            ImageError: The image is damaged there.
        """
        bottom = band.top + len(band.labels_HW)
        image_HWC = self._source.read(band.top, bottom, 0, self._source.width)
        drawn_HWC = overlay_image(np.ascontiguousarray(image_HWC), band.labels_HW, self._ontology)
        if self._factor == 1:
            self._picture_HWC[band.top : bottom] = drawn_HWC
            return
        rows_HWC = np.concatenate([self._waiting_HWC, drawn_HWC])
        whole = len(rows_HWC) // self._factor
        self._shrink(rows_HWC[: whole * self._factor], whole)
        self._waiting_HWC = rows_HWC[whole * self._factor :]
        if bottom == self._source.height and len(self._waiting_HWC):
            self._shrink(self._waiting_HWC, 1)

    def save(self) -> None:
        """Write the picture.

        Raises:
            OffroadSegError: It cannot be written.
        """
        write_image(self._path, self._picture_HWC)

    def _shrink(self, rows_HWC: U8, height: int) -> None:
        if height:
            size = (self._picture_HWC.shape[1], height)
            small_HWC = cv2.resize(rows_HWC, size, interpolation=cv2.INTER_AREA)
            self._picture_HWC[self._filled : self._filled + height] = small_HWC
            self._filled += height
