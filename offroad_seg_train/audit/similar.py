# SPDX-License-Identifier: Apache-2.0
"""Which images show nearly the same: perceptual hashes first, then the pixels of small pictures.

Two hashes are compared as a product of matrices of ±1 in blocks, which takes a second for 10,000 images on one core;
a loop over pairs would take minutes. Hashes alone would call one desert the next (sky above, sand below), so that
what they bring is looked at again: two pictures are alike where their details are, whatever their brightness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg_train.audit.image_probe import HASH_BITS, THUMB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    F32 = NDArray[np.float32]

ALIKE_BITS, ALIKE_DETAIL = 48, 0.80
"""Nearly the same view: neighbouring frames of a slow drive, a place seen again from the same spot."""
COPY_BITS, COPY_DETAIL = 32, 0.97
"""Practically the same picture: encoded again, resized, a little brighter."""
NEAREST = 8
_BLOCK = 2048
_DETAIL_SIGMA = 8.0


@dataclass(frozen=True)
class Likeness:
    """Two images that show nearly the same.

    Attributes:
        first: Index of one, the smaller.
        second: Index of the other.
        bits: Bits of the perceptual hash that differ, of 256.
        detail: Correlation of their details, −1 to 1.
    """

    first: int
    second: int
    bits: int
    detail: float

    @property
    def is_copy(self) -> bool:
        """Whether it is practically the same picture."""
        return self.bits <= COPY_BITS and self.detail >= COPY_DETAIL


def find_alike(
    hashes_NB: NDArray[np.bool_], thumbs_NHW: NDArray[np.uint8], parts: Sequence[str]
) -> list[Likeness]:
    """Pairs of images that show nearly the same.

    Each image brings its ``NEAREST`` likest of each part, so that a camera that stood still for an hour does not bring
    millions of pairs.

    Args:
        hashes_NB: Perceptual hashes, (N, 256).
        thumbs_NHW: Small grey pictures, (N, 64, 64).
        parts: The part of each image.

    Returns:
        Pairs in order, each once.
    """
    found: set[tuple[int, int, int]] = set()
    names = np.asarray(parts)
    for part in dict.fromkeys(parts):
        found |= _near_hashes(hashes_NB, np.flatnonzero(names == part))
    pairs = sorted(found)
    detail = _detail_correlation(thumbs_NHW, pairs)
    return [
        Likeness(i, j, bits, float(d))
        for (i, j, bits), d in zip(pairs, detail, strict=True)
        if d >= ALIKE_DETAIL
    ]


def _near_hashes(hashes_NB: NDArray[np.bool_], others: NDArray[np.intp]) -> set[tuple[int, int, int]]:
    """For every image its nearest among ``others`` whose hashes differ by no more than ``ALIKE_BITS``."""
    signs_NB = np.where(hashes_NB, np.float32(1), np.float32(-1))
    found: set[tuple[int, int, int]] = set()
    for start in range(0, len(signs_NB), _BLOCK):
        rows = signs_NB[start : start + _BLOCK]
        columns, distances = _nearest_of_blocks(rows, signs_NB, others, start)
        for k, kept in enumerate(columns):
            i = start + k
            near = distances[k] <= ALIKE_BITS
            pairs = zip(kept[near].tolist(), distances[k][near].tolist(), strict=True)
            found.update((min(i, j), max(i, j), int(d)) for j, d in pairs)
    return found


def _nearest_of_blocks(
    rows: F32, signs_NB: F32, others: NDArray[np.intp], start: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Indices and distances of each row's nearest among ``others``, at most ``NEAREST``, itself left out."""
    columns = np.zeros((len(rows), 0), np.intp)
    distances = np.zeros((len(rows), 0), np.float32)
    for begin in range(0, len(others), _BLOCK):
        block = others[begin : begin + _BLOCK]
        # a · b = equal − different bits.
        apart = (HASH_BITS - rows @ signs_NB[block].T) / 2
        own = np.searchsorted(block, np.arange(start, start + len(rows)))
        for k in np.flatnonzero(own < len(block)):
            if block[own[k]] == start + k:
                apart[k, own[k]] = np.inf
        columns = np.concatenate([columns, np.broadcast_to(block, apart.shape)], axis=1)
        distances = np.concatenate([distances, apart], axis=1)
        if distances.shape[1] > NEAREST:
            best = np.argpartition(distances, NEAREST, axis=1)[:, :NEAREST]
            columns = np.take_along_axis(columns, best, axis=1)
            distances = np.take_along_axis(distances, best, axis=1)
    return columns, distances


def _detail_correlation(
    thumbs_NHW: NDArray[np.uint8], pairs: Sequence[tuple[int, int, int]]
) -> NDArray[np.float32]:
    """Correlation of what is left of two pictures without their coarse brightness."""
    wanted = sorted({index for pair in pairs for index in pair[:2]})
    details = {index: _detail(thumbs_NHW[index]) for index in wanted}
    return np.array([details[i].astype(np.float32) @ details[j] for i, j, _ in pairs], np.float32)


def _detail(thumb_HW: NDArray[np.uint8]) -> NDArray[np.float16]:
    """What a picture shows beside coarse light and shade, as a vector of length 1, (THUMB²,)."""
    picture = thumb_HW.astype(np.float32)
    fine = picture - cv2.GaussianBlur(picture, (0, 0), _DETAIL_SIGMA)
    fine -= fine.mean()
    vector = fine.reshape(THUMB * THUMB) / max(float(np.linalg.norm(fine)), 1e-6)
    return np.asarray(vector, np.float16)


def groups(pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Indices that are joined by pairs, directly or through others; each group and the list in order."""
    leader: dict[int, int] = {}

    def find(index: int) -> int:
        while leader.setdefault(index, index) != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    for i, j in pairs:
        a, b = find(i), find(j)
        leader[max(a, b)] = min(a, b)
    members: dict[int, list[int]] = {}
    for index in sorted(leader):
        members.setdefault(find(index), []).append(index)
    return sorted(members.values())
