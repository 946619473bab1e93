# SPDX-License-Identifier: Apache-2.0
"""What the cells of a window see in an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.mapping.buffers import Scratch
from offroad_seg.types import UNLABELLED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.cells import CellLookup, CellTable, Placement
    from offroad_seg.mapping.foot_range import Feet, FootRange
    from offroad_seg.mapping.shadow import Shadow

    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]

# Marks corners outside the image: equal to no label.
_NO_PIXEL = 254
_LOOKS = 5  # centre and four corners


@dataclass(frozen=True)
class Cells:
    """A window's cells, to be filled: see ``GridObservation``.

    Attributes:
        labels_HW: uint8.
        evidence_HW: float32.
        confidence_HW: uint8.
    """

    labels_HW: U8
    evidence_HW: F32
    confidence_HW: U8

    @classmethod
    def empty(cls, height: int, width: int) -> Cells:
        """Memory for a window of that size, with undefined contents."""
        shape = (height, width)
        return cls(np.empty(shape, np.uint8), np.empty(shape, np.float32), np.empty(shape, np.uint8))

    def clear(self) -> None:
        """Nothing is known of any cell."""
        self.labels_HW.fill(UNLABELLED)
        self.evidence_HW.fill(0.0)
        self.confidence_HW.fill(0)


class CellReader:
    """Fills cells with what their own pixels say, and with what may stand on them.

    Args:
        table: Where the cells lie in the image.
        ground_256: uint8, which labels say something about the ground they are seen on.
        min_confidence: 0–255.
        feet: Says how far around where it seems to be a lethal thing is marked; None marks nothing.
    """

    def __init__(self, table: CellTable, ground_256: U8, min_confidence: int, feet: FootRange | None) -> None:
        self._table = table
        self._ground_256 = ground_256
        self._min_confidence = min_confidence
        self._feet = feet
        self._scratch = Scratch()

    def read(
        self,
        labels_HW: U8,
        confidence_HW: U8,
        placed: Placement,
        shadow: Shadow | None,
        feet: Feet | None,
        out: Cells,
    ) -> None:
        """Look at one image.

        Args:
            labels_HW: uint8 class ids, C-contiguous.
            confidence_HW: uint8, likewise.
            placed: What the table placed.
            shadow: What hides cells; None if nothing does.
            feet: What may stand in each direction; None if nothing lethal does.
            out: The cleared window.
        """
        cells = self._table.lookup(placed)
        self._look_up(labels_HW, confidence_HW, placed, cells, shadow, out)
        if feet is not None and self._feet is not None:
            self._feet.mark(feet, placed, cells, out)

    def _look_up(
        self,
        labels_HW: U8,
        confidence_HW: U8,
        placed: Placement,
        cells: CellLookup,
        shadow: Shadow | None,
        out: Cells,
    ) -> None:
        get = self._scratch.get
        shape = cells.u.shape
        label = _seen_at(labels_HW, cells.u, cells.v, _NO_PIXEL, get("label", shape, np.uint8))
        confidence = _seen_at(confidence_HW, cells.u, cells.v, 0, get("confidence", shape, np.uint8))
        corner = get("corner", cells.corner_u.shape, np.uint8)
        corner = _seen_at(labels_HW, cells.corner_u, cells.corner_v, _NO_PIXEL, corner)

        seen = np.asarray(cv2.LUT(label, self._ground_256, dst=get("seen", shape, np.uint8))).view(np.bool_)
        np.logical_and(seen, cells.near, out=seen)
        test = get("test", shape, np.bool_)
        if self._min_confidence > 0:
            np.greater_equal(confidence, self._min_confidence, out=test)
            np.logical_and(seen, test, out=seen)
        if shadow is not None:
            # Seen, and not hidden.
            np.greater(seen, shadow.hides(cells.direction, cells.distance), out=seen)

        share = get("share", shape, np.uint8)
        share.fill(1)
        for same in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]):
            np.equal(label, same, out=test)
            np.add(share, test.view(np.uint8), out=share)
        np.multiply(share, seen.view(np.uint8), out=share)
        weight = np.multiply(share, confidence, out=get("weight", shape, np.uint16), dtype=np.uint16)
        evidence = np.multiply(weight, np.float32(1.0 / (255.0 * _LOOKS)), out=get("evidence", shape))
        part = placed.window
        np.multiply(evidence, cells.worth, out=out.evidence_HW[part])
        np.copyto(out.labels_HW[part], label, where=seen)
        np.copyto(out.confidence_HW[part], confidence, where=seen)


def _seen_at(image_HW: U8, u: F32, v: F32, outside: int, out: U8) -> U8:
    """What the nearest pixels show (halves go to the even one), and a value of its own outside the image."""
    found = cv2.remap(
        image_HW, u, v, cv2.INTER_NEAREST, dst=out, borderMode=cv2.BORDER_CONSTANT, borderValue=outside
    )
    return np.asarray(found, np.uint8)
