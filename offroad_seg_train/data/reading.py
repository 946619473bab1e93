# SPDX-License-Identifier: Apache-2.0
"""Reading masks as the raw values or colours that the data set gives, whatever the file's flavour."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.compile.images import read_whole
from offroad_seg.errors import DataError, ImageError, OntologyError
from offroad_seg.ontology_palette import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    from offroad_seg.ontology import Ontology

# What OpenCV decodes at most. Pillow alone would refuse orthophotos of 180 megapixels as decompression bombs.
MAX_PIXELS = 1 << 30
LARGE_PIXELS = 16 << 20
"""Pictures with more pixels than this are decoded one at a time: an orthophoto takes half a gigabyte while it is."""
# Looking colours up needs tens of bytes a pixel, so large masks are taken in strips.
_STRIP_PIXELS = 1 << 20
_COLOR_MODES = ("P", "PA", "RGB", "RGBA")

EIGHT_BIT = "8-bit mask where 16-bit is expected: values above 255 were lost"
EIGHT_BIT_MEND = "save the masks as 16-bit PNG, or choose the ontology that fits them"
LOSSY_MEND = (
    "these masks went through lossy compression (JPEG) or were resized smoothly, which blends colours at every edge. "
    "Export them again as PNG; or let `offroad-seg prepare --snap-colors 60` take the nearest colour of the ontology"
)
# Colours farther off than this were hardly meant to be one of the ontology's.
_NEAR = 60


def open_picture(data: bytes, path: Path) -> Picture:
    """A picture file, opened by Pillow but not decoded yet.

    Raises:
        ImageError: It has more than ``MAX_PIXELS``.
        OSError: It is no picture.
    """
    # Imported here: `offroad-seg --help` must not load Pillow.
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        picture = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError:
        picture = None
    if picture is None or picture.width * picture.height > MAX_PIXELS:
        raise ImageError(
            f"the picture has more than {MAX_PIXELS >> 20} megapixels",
            where=str(path),
            mend="cut it into parts",
        )
    return picture


def is_large(path: Path) -> bool:
    """Whether a picture has more than ``LARGE_PIXELS``, as its header says; a file that is no picture is not."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        with Image.open(path) as picture:
            return picture.width * picture.height > LARGE_PIXELS
    except Image.DecompressionBombError:
        return True
    except (OSError, ValueError, SyntaxError):
        return False


def read_mask(path: Path, *, colors: bool = False) -> NDArray[np.generic]:
    """A mask file as raw values (H, W): uint8 for 8-bit and palette PNG (its indexes), uint16 for 16-bit PNG.

    OpenCV would turn a palette into colours; Pillow gives the indexes, which are the class values.

    Args:
        path: The file.
        colors: The classes are coded by colours: a palette is applied, and the mask is RGB uint8 (H, W, 3).

    Raises:
        DataError: It is missing, truncated, damaged, or a colour picture where values are expected.
    """
    try:
        with open_picture(read_whole(path), path) as picture:
            mode = picture.mode
            raw = np.asarray(picture.convert("RGB") if colors and mode in _COLOR_MODES else picture)
    except ImageError as error:
        raise DataError(error.what, where=error.where, mend=error.mend) from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise DataError(
            f"the mask cannot be decoded: {error}", where=str(path), mend="copy or make the file again"
        ) from None
    if raw.ndim == 3 and not colors and (raw[..., :3] == raw[..., :1]).all():
        # Grey values that some tool saved three times over.
        raw = raw[..., 0]
    if raw.ndim != 2 and not colors:
        raise DataError(
            f"a mask of {mode} colours; one channel of class values is expected",
            where=str(path),
            mend="choose an ontology with a `palette`, or convert the colours to class values",
        )
    if raw.dtype.kind == "b":
        return raw.astype(np.uint8)
    if (
        raw.dtype.kind in "iu"
        and raw.itemsize > 1
        and raw.min() >= 0
        and raw.max() <= np.iinfo(np.uint16).max
    ):
        # Older Pillow opens 16-bit PNG as int32; TIFF may be big-endian.
        return raw.astype(np.uint16)
    return raw


def needs_16_bit(ontology: Ontology) -> bool:
    """Whether some raw value of the ontology does not fit into 8 bits."""
    values = [v for c in ontology.classes for v in c.raw] + list(ontology.ignore)
    return max(values, default=0) > np.iinfo(np.uint8).max


def encode_mask(raw: NDArray[np.generic], ontology: Ontology, path: Path) -> NDArray[np.uint8]:
    """Raw values (H, W) or colours (H, W, 3) → class ids (H, W) uint8, 255 = no class.

    Raises:
        DataError: The mask has 8 bits where the ontology's values need 16.
        OntologyError: It holds values that the ontology does not know.
    """
    if raw.ndim == 2 and raw.dtype == np.uint8 and needs_16_bit(ontology):
        raise DataError(EIGHT_BIT, where=str(path), mend=EIGHT_BIT_MEND)
    ids_HW = np.empty(raw.shape[:2], np.uint8)
    try:
        for rows in _strips(raw):
            ids_HW[rows] = ontology.encode(raw[rows])
    except OntologyError as error:
        what, mend = error.what, error.mend
        if raw.ndim == 3 and ontology.has_palette:
            unknown = unknown_values(raw, ontology)
            what = f"mask colours that are not in ontology {ontology.name}: {describe_colors(unknown)}"
            mend = LOSSY_MEND if looks_lossy(unknown, path) else mend
        raise OntologyError(what, where=str(path), mend=mend) from None
    return ids_HW


def count_ids(ids_HW: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pixels of each id, shape (256,); numpy alone would take eight bytes a pixel for it."""
    return np.sum([np.bincount(ids_HW[rows].ravel(), minlength=256) for rows in _strips(ids_HW)], axis=0)


def unknown_values(raw: NDArray[np.generic], ontology: Ontology) -> dict[int, int]:
    """As ``Ontology.unknown_values``, for masks of any size.

    Raises:
        OntologyError: The mask is coded in a way that the ontology is not.
    """
    unknown: dict[int, int] = {}
    for rows in _strips(raw):
        for value, pixels in ontology.unknown_values(raw[rows]).items():
            unknown[value] = unknown.get(value, 0) + pixels
    return unknown


def describe_colors(unknown: dict[int, int], limit: int = 8) -> str:
    """Packed colours with their pixels, the commonest first: ``(252, 255, 0) (1200 pixels)``."""
    shown = sorted(unknown, key=lambda value: -unknown[value])[:limit]
    named = ", ".join(f"{unpack(value)} ({unknown[value]} pixels)" for value in shown)
    return named + (f" and {len(unknown) - limit} more colours" if len(unknown) > limit else "")


def looks_lossy(unknown: dict[int, int], path: Path) -> bool:
    """Whether unknown colours come from lossy compression or smooth resizing: there are very many, or it is a JPEG."""
    return path.suffix.lower() in (".jpg", ".jpeg") or len(unknown) > 64


def snap_advice(unknown: Iterable[int], ontology: Ontology) -> str:
    """The option of ``prepare`` that mends these packed colours, as words to add; empty where they are far from any."""
    colors_UC = np.array([unpack(value) for value in unknown], np.int16).reshape(-1, 3)
    if not ontology.has_palette or len(colors_UC) == 0:
        return ""
    away = int(_distances(colors_UC, ontology)[0].min(1).max())
    return f", or let `offroad-seg prepare --snap-colors {away}` take the nearest" if away <= _NEAR else ""


def _distances(
    colors_UC: NDArray[np.int16], ontology: Ontology
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Largest difference in any channel to each of the ontology's colours, (U, P), and these colours (P, 3)."""
    known_PC = np.array(
        [color for c in ontology.classes for color in c.palette] + list(ontology.ignore_palette), np.int16
    )
    away_UP: NDArray[np.int16] = np.abs(colors_UC[:, None] - known_PC[None]).max(2)
    return away_UP, known_PC


def snap_mask(raw: NDArray[np.generic], ontology: Ontology, distance: int) -> NDArray[np.generic]:
    """Colours that are not in the ontology → its nearest one, where that is near enough.

    Args:
        raw: A mask as ``read_mask`` gives it; one of values is given back as it is.
        ontology: What the colours mean.
        distance: Largest difference in any channel, 0–255; 0 changes nothing.

    Returns:
        A mask of the same form. Colours farther away, and those between two that are equally near, are as they were.
    """
    if distance <= 0 or raw.ndim != 3 or raw.dtype != np.uint8 or not ontology.has_palette:
        return raw
    result_HWC: NDArray[np.generic] = raw.copy()
    for rows in _strips(raw):
        unknown_U = np.array(sorted(ontology.unknown_values(raw[rows])), np.uint32)
        if unknown_U.size == 0:
            continue
        colors_UC = np.array([unpack(int(value)) for value in unknown_U], np.int16)
        away_UP, known_PC = _distances(colors_UC, ontology)
        nearest_U1 = away_UP.min(1, keepdims=True)
        snaps_U = (nearest_U1[:, 0] <= distance) & ((away_UP == nearest_U1).sum(1) == 1)
        replaced_UC = np.where(snaps_U[:, None], known_PC[away_UP.argmin(1)], colors_UC).astype(np.uint8)
        packed_HW = pack(raw[rows])
        place_HW = np.searchsorted(unknown_U, packed_HW).clip(max=len(unknown_U) - 1)
        found_HW = unknown_U[place_HW] == packed_HW
        result_HWC[rows][found_HW] = replaced_UC[place_HW[found_HW]]
    return result_HWC


def _strips(raw: NDArray[np.generic]) -> Iterator[slice]:
    rows = max(1, _STRIP_PIXELS // max(1, raw.shape[1]))
    # At least one strip, so that an empty mask is looked at too.
    for first in range(0, max(1, raw.shape[0]), rows):
        yield slice(first, first + rows)
