# SPDX-License-Identifier: Apache-2.0
"""Reading masks as the raw values or colours that the data set gives, whatever the PNG's flavour."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.compile.images import read_whole
from offroad_seg.errors import DataError, ImageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology


def read_mask(path: Path, *, colors: bool = False) -> NDArray[np.generic]:
    """A mask file as raw values (H, W): uint8 for 8-bit and palette PNG (its indexes), uint16 for 16-bit PNG.

    OpenCV would turn a palette into colours; Pillow gives the indexes, which are the class values.

    Args:
        path: The file.
        colors: The classes are coded by colours: a palette is applied, and the mask is RGB uint8 (H, W, 3).

    Raises:
        DataError: It is missing, truncated, damaged, or a colour picture where values are expected.
    """
    # Imported here: `offroad-seg --help` must not load Pillow.
    from PIL import Image

    try:
        data = read_whole(path)
        with Image.open(io.BytesIO(data)) as picture:
            mode = picture.mode
            raw = np.asarray(picture.convert("RGB") if colors and mode in _COLOR_MODES else picture)
    except ImageError as error:
        raise DataError(error.what, where=error.where, mend=error.mend) from None
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(
            f"the mask cannot be decoded: {error}", where=str(path), mend="copy or make the file again"
        ) from None
    if raw.ndim != 2 and not colors:
        raise DataError(
            f"a mask of {mode} colours; one channel of class values is expected",
            where=str(path),
            mend="choose an ontology with a `palette`, or convert the colours to class values",
        )
    if raw.dtype.kind == "b":
        return raw.astype(np.uint8)
    if raw.dtype.kind == "i" and raw.min() >= 0 and raw.max() <= np.iinfo(np.uint16).max:
        return raw.astype(np.uint16)  # older Pillow opens 16-bit PNG as int32
    return raw


_COLOR_MODES = ("P", "PA", "RGB", "RGBA")


def needs_16_bit(ontology: Ontology) -> bool:
    """Whether some raw value of the ontology does not fit into 8 bits."""
    values = [v for c in ontology.classes for v in c.raw] + list(ontology.ignore)
    return max(values, default=0) > np.iinfo(np.uint8).max


def encode_mask(raw_HW: NDArray[np.generic], ontology: Ontology, path: Path) -> NDArray[np.uint8]:
    """Raw values or colours → class ids (uint8, 255 = no class).

    Raises:
        DataError: The mask has 8 bits where the ontology's values need 16.
        OntologyError: It holds values that the ontology does not know.
    """
    if raw_HW.ndim == 2 and raw_HW.dtype == np.uint8 and needs_16_bit(ontology):
        raise DataError(EIGHT_BIT, where=str(path), mend=EIGHT_BIT_MEND)
    return ontology.encode(raw_HW, where=str(path))


EIGHT_BIT = "8-bit mask where 16-bit is expected: values above 255 were lost"
EIGHT_BIT_MEND = "save the masks as 16-bit PNG, or choose the ontology that fits them"
