# SPDX-License-Identifier: Apache-2.0
"""What one mask holds: its values, where they lie, and what the image looks like under them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.errors import DataError, OntologyError
from offroad_seg.ontology_palette import pack, unpack
from offroad_seg_train.audit.finding import MaskValue
from offroad_seg_train.audit.image_probe import digest, edge_strength
from offroad_seg_train.data.reading import EIGHT_BIT, needs_16_bit, open_picture, read_mask, unknown_values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology

ROWS, COLUMNS = 24, 32
"""Cells of a heat map."""
EDGE_ROWS = ROWS // 12
"""Rows of a heat map that are the upper, or lower, edge of the image: a twelfth of it."""
_MOST_VALUES = 64
_LOSSY = {"JPEG", "WEBP"}
_NARROW = (np.uint8, np.uint16)
_STRIP_PIXELS = 2 << 20
_KERNEL = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class MaskRecord:
    """What ``probe_mask`` saw. V is the number of different values, at most 64, the commonest.

    Attributes:
        height: Rows.
        width: Columns.
        digest: Of the decoded mask.
        lossy: The file's format may change values.
        coding: What is wrong with how the values are coded (8-bit, colours); empty where nothing is.
        values: The values.
        pixels_V: Pixels of each.
        height_V: Mean height of each in the image, 0 at the top, 1 at the bottom.
        heat_VRC: Share of the pixels of each cell that each value takes, float32 (V, ROWS, COLUMNS).
        edge_V: Share of the upper edge of the mask that each value takes.
        texture_V: Mean strength of edges under each value, grey values a pixel; NaN where it is not known.
        light_V: Mean grey value under each; NaN where it is not known.
        unknown: Those of the values that the ontology does not know → pixels.
        unknown_more: Values that it does not know beside these, of a mask with very many, and their pixels.
        ids_256: Pixels of each class id, 255 for no class, int64 (256,).
    """

    height: int
    width: int
    digest: bytes
    lossy: bool
    coding: str
    values: tuple[MaskValue, ...]
    pixels_V: NDArray[np.int64]
    height_V: NDArray[np.float64]
    heat_VRC: NDArray[np.float32]
    edge_V: NDArray[np.float64]
    texture_V: NDArray[np.float64]
    light_V: NDArray[np.float64]
    unknown: dict[int, int]
    unknown_more: tuple[int, int]
    ids_256: NDArray[np.int64]


def probe_mask(path: Path, ontology: Ontology, small_HWC: NDArray[np.uint8] | None) -> MaskRecord:
    """Read a mask and measure it.

    Args:
        path: The file.
        ontology: What its values mean.
        small_HWC: Its image, reduced; None where that cannot be read.

    Raises:
        DataError: It cannot be decoded.
    """
    mask = read_as_it_is(path, ontology)
    is_color = mask.ndim == 3
    if mask.dtype.kind not in "ui" or (is_color and (mask.shape[2] != 3 or mask.dtype != np.uint8)):
        raise DataError(f"a mask of {mask.dtype} {mask.shape}; whole numbers are expected", where=str(path))
    index_HW, codes_V, pixels_V = _indexed(codes_of(mask))
    values = tuple(MaskValue(int(code), is_color) for code in codes_V)
    coding, unknown, ids_256 = _meaning(values, pixels_V, mask, ontology)
    more = {code: n for code, n in unknown.items() if code not in codes_V}
    height_V, heat_VRC = _where(index_HW, len(values))
    texture_V, light_V = _appearance(index_HW, len(values), small_HWC)
    return MaskRecord(
        height=mask.shape[0],
        width=mask.shape[1],
        digest=digest(mask),
        lossy=_format(path) in _LOSSY,
        coding=coding,
        values=values,
        pixels_V=pixels_V,
        height_V=height_V,
        heat_VRC=heat_VRC,
        edge_V=heat_VRC[:, :EDGE_ROWS].mean(axis=(1, 2), dtype=np.float64),
        texture_V=texture_V,
        light_V=light_V,
        unknown={code: n for code, n in unknown.items() if code not in more},
        unknown_more=(len(more), sum(more.values())),
        ids_256=ids_256,
    )


def read_as_it_is(path: Path, ontology: Ontology) -> NDArray[np.generic]:
    """A mask as ``read_mask`` gives it, or as colours where the ontology expects values but it is a picture.

    Raises:
        DataError: It cannot be decoded.
    """
    try:
        return read_mask(path, colors=ontology.has_palette)
    except DataError:
        if ontology.has_palette:
            raise
        return read_mask(path, colors=True)


def codes_of(mask: NDArray[np.generic]) -> NDArray[np.generic]:
    """The number of each pixel: the raw value, or the packed colour; (H, W)."""
    if mask.ndim == 2:
        return mask
    codes_HW = np.empty(mask.shape[:2], np.uint32)
    for rows in _strips(mask):
        codes_HW[rows] = pack(mask[rows])
    return codes_HW


def value_ids(values: tuple[MaskValue, ...], ontology: Ontology) -> list[int | None]:
    """The class id of each value, 255 where it carries no class, None where the ontology does not know it."""
    ids: list[int | None] = []
    for value in values:
        one = (
            np.array([[unpack(value.code)]], np.uint8)
            if value.is_color
            else np.array([[value.code]], np.int64)
        )
        try:
            ids.append(int(ontology.encode(one)[0, 0]))
        except OntologyError:
            ids.append(None)
    return ids


def _indexed(codes_HW: NDArray[np.generic]) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Each pixel's place in the list of the commonest values, that list, and the pixels of each.

    What is not among the commonest gets the place behind the last.
    """
    codes, pixels = _counts(codes_HW)
    order = np.sort(np.argsort(-pixels, kind="stable")[:_MOST_VALUES])
    place = np.full(len(codes), len(order), np.uint8)
    place[order] = np.arange(len(order), dtype=np.uint8)
    index_HW = np.empty(codes_HW.shape, np.uint8)
    narrow = codes_HW.dtype in _NARROW
    lut = np.zeros(int(codes[-1]) + 1, np.uint8) if narrow else place
    if narrow:
        lut[codes] = place
    for rows in _strips(codes_HW):
        index_HW[rows] = lut[codes_HW[rows] if narrow else np.searchsorted(codes, codes_HW[rows])]
    return index_HW, codes[order], pixels[order]


def _counts(codes_HW: NDArray[np.generic]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The values of a mask in ascending order, and the pixels of each."""
    if codes_HW.dtype in _NARROW:
        size = int(np.iinfo(codes_HW.dtype).max) + 1
        counts = sum(np.bincount(codes_HW[rows].ravel(), minlength=size) for rows in _strips(codes_HW))
        codes = np.flatnonzero(counts)
        return codes.astype(np.int64), np.asarray(counts)[codes].astype(np.int64)
    found: Counter[int] = Counter()
    for rows in _strips(codes_HW):
        # By runs: a mask has thirty times fewer of them than pixels.
        flat = codes_HW[rows].ravel()
        starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
        values, inverse = np.unique(flat[starts], return_inverse=True)
        lengths = np.bincount(inverse, weights=np.diff(np.append(starts, flat.size)))
        for value, length in zip(values.tolist(), lengths.tolist(), strict=True):
            found[value] += int(length)
    ranked = sorted(found)
    return np.array(ranked, np.int64), np.array([found[v] for v in ranked], np.int64)


def _strips(mask: NDArray[np.generic]) -> Iterator[slice]:
    """Rows to take at once: an orthophoto of 36 megapixels, counted in one go, would need gigabytes."""
    rows = max(1, _STRIP_PIXELS // mask.shape[1])
    for first in range(0, mask.shape[0], rows):
        yield slice(first, first + rows)


def _meaning(
    values: tuple[MaskValue, ...], pixels_V: NDArray[np.int64], mask: NDArray[np.generic], ontology: Ontology
) -> tuple[str, dict[int, int], NDArray[np.int64]]:
    """What is wrong with the coding, what the ontology does not know, and the pixels of each class id."""
    ids_256 = np.zeros(256, np.int64)
    if mask.ndim == 2 and mask.dtype == np.uint8 and needs_16_bit(ontology):
        return EIGHT_BIT, {}, ids_256
    try:
        # Few pixels say which values there are; only a mask with more values than are kept is looked at as a whole.
        sample = mask if len(values) == _MOST_VALUES else _one_of_each(values)
        unknown = unknown_values(sample, ontology)
    except OntologyError as error:
        return error.what, {}, ids_256
    counts = {value.code: int(n) for value, n in zip(values, pixels_V, strict=True)}
    for value, own in zip(values, value_ids(values, ontology), strict=True):
        if own is not None:
            ids_256[own] += counts[value.code]
    return "", {code: counts.get(code, n) for code, n in unknown.items()}, ids_256


def _one_of_each(values: tuple[MaskValue, ...]) -> NDArray[np.generic]:
    if values[0].is_color:
        return np.array([[unpack(v.code) for v in values]], np.uint8)
    return np.array([[v.code for v in values]], np.int64)


def _where(index_HW: NDArray[np.uint8], count: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Mean height of each value, and its heat map."""
    height, width = index_HW.shape
    column_of_W = np.arange(width) * COLUMNS // width
    row_of_H = np.arange(height) * ROWS // height
    rows_HV = np.zeros((height, count))
    heat_RCV = np.zeros((ROWS, COLUMNS, count))
    for rows in _strips(index_HW):
        strip_HW = index_HW[rows]
        tall = len(strip_HW)
        # Row, column of the heat map and value as one number, counted at once.
        key = (np.arange(tall)[:, None] * COLUMNS + column_of_W[None]) * (count + 1) + strip_HW
        cells = np.bincount(key.ravel(), minlength=tall * COLUMNS * (count + 1))
        by_row_HCV = cells.reshape(tall, COLUMNS, count + 1)[..., :count]
        rows_HV[rows] = by_row_HCV.sum(axis=1)
        np.add.at(
            heat_RCV, row_of_H[rows], by_row_HCV.astype(np.float64)
        )  # without the cast: four times slower
    middles_H = (np.arange(height) + 0.5) / height
    height_V = middles_H @ rows_HV / np.maximum(rows_HV.sum(axis=0), 1)
    total_RC = np.outer(np.bincount(row_of_H, minlength=ROWS), np.bincount(column_of_W, minlength=COLUMNS))
    heat_VRC = (heat_RCV / np.maximum(total_RC, 1)[..., None]).transpose(2, 0, 1)
    return height_V, heat_VRC.astype(np.float32)


def _appearance(
    index_HW: NDArray[np.uint8], count: int, small_HWC: NDArray[np.uint8] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean strength of edges and mean grey value under each value."""
    if small_HWC is None:
        return np.full(count, np.nan), np.full(count, np.nan)
    grey_HW = cv2.cvtColor(small_HWC, cv2.COLOR_RGB2GRAY)
    height, width = grey_HW.shape
    small_HW = cv2.resize(index_HW, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    # Along a border between two classes the edge belongs to neither.
    inside_HW = cv2.erode(small_HW, _KERNEL) == cv2.dilate(small_HW, _KERNEL)
    edges_HW = edge_strength(grey_HW)
    inner = small_HW[inside_HW]
    pixels = np.bincount(inner, minlength=count + 1)[:count]
    with np.errstate(invalid="ignore"):
        texture, light = (
            np.bincount(inner, weights=what[inside_HW], minlength=count + 1)[:count] / pixels
            for what in (edges_HW, grey_HW)
        )
    return texture, light


def _format(path: Path) -> str:
    with open_picture(path.read_bytes(), path) as picture:
        return picture.format or ""
