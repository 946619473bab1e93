# SPDX-License-Identifier: Apache-2.0
"""Masks that say classes by colour: checking the colours that a user wrote, and looking pixels up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.errors import OntologyError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Color = tuple[int, int, int]

UNKNOWN = -1


def parse_palette(values: Any, where: str) -> tuple[Color, ...]:
    """Check a list of colours.

    Raises:
        OntologyError: It is no list of [red, green, blue].
    """
    if not isinstance(values, (list, tuple)) or not all(_is_color(v) for v in values):
        raise OntologyError(
            f"palette colours are {values!r}", where=where, mend="list [red, green, blue], each 0–255"
        )
    return tuple((v[0], v[1], v[2]) for v in values)


def _is_color(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) == 3
        and all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= 255 for v in value)
    )


def pack(rgb_HWC: NDArray[np.generic]) -> NDArray[np.uint32]:
    """RGB uint8 (H, W, 3) → one number a pixel, red << 16 | green << 8 | blue, (H, W)."""
    wide_HWC = rgb_HWC.astype(np.uint32)
    red, green, blue = wide_HWC[..., 0], wide_HWC[..., 1], wide_HWC[..., 2]
    packed_HW: NDArray[np.uint32] = (red << np.uint32(16)) | (green << np.uint32(8)) | blue
    return packed_HW


def unpack(packed: int) -> Color:
    """The colour of a packed number."""
    return packed >> 16 & 255, packed >> 8 & 255, packed & 255


class PaletteEncoder:
    """From colours to class ids.

    Args:
        ids: Colour → class id, or 255 for a colour that carries no class.
    """

    def __init__(self, ids: Mapping[Color, int]) -> None:
        pairs = sorted((r << 16 | g << 8 | b, i) for (r, g, b), i in ids.items())
        self._packed_N = np.array([p for p, _ in pairs], np.uint32)
        self._ids_N = np.array([i for _, i in pairs], np.int16)

    def encode(self, packed_HW: NDArray[np.uint32]) -> NDArray[np.int16]:
        """Packed colours → class ids, int16 of the same shape; −1 for a colour that is not in the palette."""
        place_HW = np.searchsorted(self._packed_N, packed_HW).clip(max=len(self._packed_N) - 1)
        ids_HW: NDArray[np.int16] = np.where(
            self._packed_N[place_HW] == packed_HW, self._ids_N[place_HW], np.int16(UNKNOWN)
        )
        return ids_HW
