# SPDX-License-Identifier: Apache-2.0
"""Between the masks of a data set, raw values or colours, and class ids."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.errors import OntologyError
from offroad_seg.ontology_class import MAX_RAW, OntologyClass
from offroad_seg.ontology_palette import Color, PaletteEncoder, pack, unpack
from offroad_seg.types import UNLABELLED

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LISTED = 12


class MaskCodec:
    """What ``Ontology.encode`` and ``Ontology.decode`` do.

    Args:
        name: The ontology's, for messages.
        classes: All with raw values or none; all with palette colours or none.
        ignore: Raw values that carry no class.
        ignore_palette: Colours that carry no class.
    """

    def __init__(
        self,
        name: str,
        classes: tuple[OntologyClass, ...],
        ignore: tuple[int, ...],
        ignore_palette: tuple[Color, ...],
    ) -> None:
        self.name = name
        self.classes = classes
        self.ignore = ignore
        self.ignore_palette = ignore_palette
        self.has_raw = bool(classes[0].raw)
        self.has_palette = bool(classes[0].palette)

    @cached_property
    def _lut(self) -> NDArray[np.int16]:
        # −1: a value that the ontology does not know; 65,536 int16 entries stay in the L2 cache.
        lut = np.full(MAX_RAW + 1, -1, np.int16)
        for c in self.classes:
            lut[list(c.raw)] = c.id
        lut[list(self.ignore)] = UNLABELLED
        return lut

    @cached_property
    def _palette(self) -> PaletteEncoder:
        ids = dict.fromkeys(self.ignore_palette, UNLABELLED)
        return PaletteEncoder({**ids, **{color: c.id for c in self.classes for color in c.palette}})

    def unknown_values(self, mask: NDArray[np.generic]) -> dict[int, int]:
        """See ``Ontology.unknown_values``."""
        is_picture = self._is_picture(mask, "")
        values, counts = np.unique(pack(mask) if is_picture else mask, return_counts=True)
        if is_picture:
            known = self._palette.encode(values) >= 0
        else:
            known = np.array([0 <= int(v) <= MAX_RAW and self._lut[int(v)] >= 0 for v in values], np.bool_)
        return {int(v): int(n) for v, n in zip(values[~known], counts[~known], strict=True)}

    def encode(self, mask: NDArray[np.generic], where: str) -> NDArray[np.uint8]:
        """See ``Ontology.encode``."""
        if self._is_picture(mask, where):
            ids = self._palette.encode(pack(mask))
            known = bool((ids >= 0).all())
        elif mask.dtype in (np.uint8, np.uint16):
            ids = self._lut[mask]
            known = bool((ids >= 0).all())
        else:
            known = not self.unknown_values(mask)
            ids = self._lut[mask] if known else self._lut[:1]
        if not known:
            raise self._error(self.unknown_values(mask), mask.ndim == 3, where)
        labels: NDArray[np.uint8] = ids.astype(np.uint8)
        return labels

    def decode(self, ids_HW: NDArray[np.uint8]) -> NDArray[np.uint16] | NDArray[np.uint8]:
        """See ``Ontology.decode``."""
        if self.has_raw:
            lut = np.full(256, self.ignore[0] if self.ignore else 0, np.uint16)
            for c in self.classes:
                lut[c.id] = c.raw[0]
            return lut[ids_HW]
        palette = np.full((256, 3), self.ignore_palette[0] if self.ignore_palette else 0, np.uint8)
        for c in self.classes:
            palette[c.id] = c.palette[0]
        return palette[ids_HW]

    def _is_picture(self, mask: NDArray[np.generic], where: str) -> bool:
        """Whether the mask is coded by colours; refuses what the ontology cannot read."""
        if mask.dtype.kind not in "ui":
            raise OntologyError(f"a mask holds integers, not {mask.dtype}", where=where)
        is_picture = mask.ndim == 3
        if is_picture and (mask.shape[2] != 3 or mask.dtype != np.uint8):
            raise OntologyError(
                f"a mask of colours is RGB uint8 (H, W, 3), not {mask.dtype} {mask.shape}", where=where
            )
        if is_picture and not self.has_palette:
            raise OntologyError(
                f"the mask is a colour picture, but ontology {self.name} knows raw values only",
                where=where,
                mend="choose the ontology that fits the masks, or give its classes a `palette`",
            )
        if not is_picture and not self.has_raw:
            raise OntologyError(
                f"the mask has one channel, but ontology {self.name} knows colours only",
                where=where,
                mend="give the colour masks, or give the ontology's classes `raw` values",
            )
        return is_picture

    def _error(self, unknown: dict[int, int], is_picture: bool, where: str) -> OntologyError:
        what, key = ("colours", "ignore_palette") if is_picture else ("values", "ignore")
        # Lossy compression makes thousands of colours: the commonest say enough.
        shown = sorted(unknown, key=lambda v: -unknown[v] if is_picture else v)[:_LISTED]
        named = [f"{unpack(v) if is_picture else v} ({unknown[v]} pixels)" for v in shown]
        more = f" and {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
        lossy = "; masks must be saved without loss and resized to the nearest pixel" if more else ""
        return OntologyError(
            f"mask {what} that are not in ontology {self.name}: {', '.join(named)}{more}",
            where=where,
            mend="choose the ontology that fits the masks, or add these to a class or to `"
            + key
            + "`"
            + lossy,
        )
