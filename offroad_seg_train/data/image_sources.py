# SPDX-License-Identifier: Apache-2.0
"""Images that are read part by part, so that their size does not bound what can be labelled."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from offroad_seg.compile.images import read_image
from offroad_seg_train.data.tiff import TiffSource

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    U8 = NDArray[np.uint8]

_LOG = logging.getLogger(__name__)


class ImageSource(Protocol):
    """An RGB image.

    Attributes:
        height: Rows.
        width: Columns.
    """

    height: int
    width: int

    def read(self, top: int, bottom: int, left: int, right: int) -> U8:
        """A part of it, uint8 (bottom − top, right − left, 3).

        Raises:
            ImageError: The file is damaged there.
        """

    def close(self) -> None:
        """Free what it holds."""


class ArraySource:
    """``ImageSource`` over an image in memory.

    Args:
        image_HWC: uint8 RGB.
    """

    def __init__(self, image_HWC: U8) -> None:
        self.height, self.width = image_HWC.shape[:2]
        self._image_HWC = image_HWC

    def read(self, top: int, bottom: int, left: int, right: int) -> U8:
        """See ``ImageSource``."""
        return self._image_HWC[top:bottom, left:right]

    def close(self) -> None:
        """Nothing to free beside the object itself."""


def open_source(path: Path) -> ImageSource:
    """An image file: a TIFF is read part by part where its coding allows it, all else as a whole.

    Raises:
        ImageError: It is missing, damaged, or no picture.
    """
    if path.suffix.lower() in (".tif", ".tiff"):
        try:
            return TiffSource(path)
        except NotImplementedError as reason:
            _LOG.info("%s is decoded as a whole: %s", path.name, reason)
    return ArraySource(read_image(path))
