# SPDX-License-Identifier: Apache-2.0
"""Whether a camera sees anything: a picture without structure is one of a covered, dirty or blinded lens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.errors import BlindError, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.types import Frame

MIN_CONTRAST = 3.0
"""Grey levels: above noise and a mild vignette behind a cover, below any picture of the open (docs/faults.md)."""

MAX_MIN_CONTRAST = 64.0
PERIOD_NS = 200_000_000
"""A camera that sees is looked at once in each such span of its stamps, counted from stamp 0 wherever a log begins."""

_ROWS, _COLUMNS = 9, 16
_SAMPLES = 8  # along each side of a block: noise of single pixels shrinks to an eighth


class Sight:
    """Looks at one camera's pictures. Not safe for several threads at once.

    Contrast is the standard deviation of the mean brightness of 16×9 blocks, each averaged over some 8×8 pixels that
    are spread over it: fine noise is no structure, nor is how bright the picture is as a whole.

    Args:
        min_contrast: Grey levels below which a picture shows nothing; 0: none does.

    Raises:
        InputError: It is out of bounds.
    """

    def __init__(self, min_contrast: float = MIN_CONTRAST) -> None:
        check_min_contrast(min_contrast)
        self._min_contrast = min_contrast
        self._looked_at: int | None = None
        self._samples_HWC = np.empty((0, 0, 3), np.uint8)
        self._blocks_HWC = np.empty((_ROWS, _COLUMNS, 3), np.uint8)

    def check(self, frame: Frame) -> None:
        """Look at a frame, if it is time to: while the camera is blind, at each.

        An image that is not uint8 RGB is left to whoever labels it, and says so.

        Raises:
            BlindError: The picture shows nothing.
        """
        image_HWC = frame.image_HWC
        span = frame.stamp_ns // PERIOD_NS
        if self._min_contrast <= 0.0 or span == self._looked_at:
            return
        if (
            image_HWC.dtype != np.uint8
            or image_HWC.ndim != 3
            or image_HWC.shape[2] != 3
            or not image_HWC.size
        ):
            return
        self._looked_at = None
        found = self.contrast(image_HWC)
        if found < self._min_contrast:
            raise BlindError(
                f"the picture shows nothing: contrast {found:.1f} of {self._min_contrast:g} grey levels",
                where="min_contrast",
                mend="clean the lens: it is covered, dirty or blinded",
            )
        self._looked_at = span

    def contrast(self, image_HWC: NDArray[np.uint8]) -> float:
        """How much structure a picture has, in grey levels.

        Args:
            image_HWC: uint8 RGB (H, W, 3), not empty.
        """
        height, width = image_HWC.shape[:2]
        every = max(1, height // (_ROWS * _SAMPLES)), max(1, width // (_COLUMNS * _SAMPLES))
        spread_HWC = image_HWC[:: every[0], :: every[1]]
        if self._samples_HWC.shape != spread_HWC.shape:
            self._samples_HWC = np.empty(spread_HWC.shape, np.uint8)
        np.copyto(self._samples_HWC, spread_HWC)
        cv2.resize(self._samples_HWC, (_COLUMNS, _ROWS), dst=self._blocks_HWC, interpolation=cv2.INTER_AREA)
        return float(self._blocks_HWC.sum(axis=2, dtype=np.uint16).std()) / 3.0

    def reset(self) -> None:
        """Forget the past: the next picture is looked at."""
        self._looked_at = None


def check_min_contrast(min_contrast: float) -> None:
    """Refuse what no picture has.

    Raises:
        InputError: It is out of bounds.
    """
    if not 0.0 <= min_contrast <= MAX_MIN_CONTRAST:
        raise InputError(
            f"min_contrast is {min_contrast!r}",
            where="min_contrast",
            mend=f"give grey levels from 0 (never look) to {MAX_MIN_CONTRAST:g}",
        )
