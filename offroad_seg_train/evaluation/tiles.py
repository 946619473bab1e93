# SPDX-License-Identifier: Apache-2.0
"""Overlapping windows over an image, and blending what was said of each without a seam.

Along each axis the windows have raised-cosine weights that sum to 1 at every pixel, so a window counts most in its
middle, where the network saw all around, and hardly at its edge. In two dimensions the weights are products, and sum
to 1 as well.

Windows start at multiples of ``ALIGN`` pixels, so that a network of that stride samples the image at the same places in
each: unaligned, a network that was right on every pixel of the whole image changed 4 % of its labels, aligned 0.1 %.

Memory stays bounded: windows come row by row, and all that is kept of a row is what the next one overlaps, in half
precision (C × overlap × width × 2 bytes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]

ALIGN = 32
MIN_TILE, MAX_TILE = ALIGN, 8192
MAX_OVERLAP = 0.75


@dataclass(frozen=True)
class Axis:
    """The windows along one axis.

    Attributes:
        length: Pixels of the image.
        starts: First pixel of each window, ascending; the first is 0.
        sizes: Pixels of each window; the last one ends with the image.
        weights: For each window, the weight of its pixels, float32 (size,); they sum to 1 at every pixel.
    """

    length: int
    starts: tuple[int, ...]
    sizes: tuple[int, ...]
    weights: tuple[F32, ...]

    @property
    def ends(self) -> tuple[int, ...]:
        """Where the next window starts, or the image ends: up to there a window's pixels are finished with it."""
        return (*self.starts[1:], self.length)


@dataclass(frozen=True)
class Window:
    """A part of an image: rows ``top`` to ``bottom``, columns ``left`` to ``right``, the last ones excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left


@dataclass(frozen=True)
class Band:
    """Finished rows of an image.

    Attributes:
        top: The first of them.
        labels_HW: uint8 class ids.
        confidence_HW: uint8, 0–255 for probability 0–1 of the label.
    """

    top: int
    labels_HW: U8
    confidence_HW: U8


@dataclass(frozen=True)
class TilePlan:
    """The windows over an image.

    Attributes:
        rows: Along the height.
        columns: Along the width.
    """

    rows: Axis
    columns: Axis

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self.rows.starts) * len(self.columns.starts)


def plan_axis(length: int, tile: int, overlap: float, *, grow: bool = False) -> Axis:
    """Windows of ``tile`` pixels that overlap by at least that part of a window.

    Args:
        length: Pixels of the image; where it is smaller than a tile, there is one window of its size.
        tile: Pixels of a window.
        overlap: Part of it, 0 to ``MAX_OVERLAP``.
        grow: Whether the last window, too, starts at a multiple of ``ALIGN``, and so is up to ``ALIGN`` − 1 larger;
            else it is shifted to end with the image.

    Raises:
        InputError: A number is out of bounds.
    """
    if not MIN_TILE <= tile <= MAX_TILE:
        raise InputError(f"a tile of {tile} pixels", where="--tile", mend=f"{MIN_TILE} to {MAX_TILE}")
    if not 0 <= overlap <= MAX_OVERLAP:
        raise InputError(
            f"an overlap of {overlap}", where="--overlap", mend=f"0 to {MAX_OVERLAP}; 0.25 is usual"
        )
    step = max(ALIGN, int(tile * (1 - overlap)) // ALIGN * ALIGN)
    last = max(0, length - tile)
    if grow:
        last = last // ALIGN * ALIGN
    starts = (*range(0, last, step), last)
    sizes = (*(tile for _ in starts[:-1]), length - last)
    raw = [np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2 for size in sizes]
    total = np.zeros(length)
    for start, curve in zip(starts, raw, strict=True):
        total[start : start + len(curve)] += curve
    weights = tuple(
        (curve / total[start : start + len(curve)]).astype(np.float32)
        for start, curve in zip(starts, raw, strict=True)
    )
    return Axis(length, starts, sizes, weights)


def plan_tiles(
    height: int, width: int, tile: tuple[int, int], overlap: float, *, grow: bool = False
) -> TilePlan:
    """Windows of ``tile`` (rows, columns) over an image; see ``plan_axis``.

    Raises:
        InputError: A number is out of bounds.
    """
    return TilePlan(
        plan_axis(height, tile[0], overlap, grow=grow), plan_axis(width, tile[1], overlap, grow=grow)
    )


def blend(plan: TilePlan, n_classes: int, scores: Callable[[Window], F32]) -> Iterator[F32]:
    """Work through the windows and give finished blocks of blended scores.

    Args:
        plan: The windows.
        n_classes: C.
        scores: Window → float32 (C, rows, columns) of its pixels.

    Yields:
        float32 (C, h, w), from left to right and then downwards; all blocks of one row of windows have the same
        height, and together they tile the image. Each holds until the next is asked for.
    """
    rows, columns = plan.rows, plan.columns
    kept = max(s + size - e for s, size, e in zip(rows.starts, rows.sizes, rows.ends, strict=True))
    below = np.zeros((n_classes, kept, columns.length), np.float16)
    waiting = 0  # rows of `below` that the row of windows before has left
    for top, height, bottom, weight_H in zip(rows.starts, rows.sizes, rows.ends, rows.weights, strict=True):
        sums = np.zeros((n_classes, height, max(columns.sizes)), np.float32)
        finished = bottom - top
        for left, width, right, weight_W in zip(
            columns.starts, columns.sizes, columns.ends, columns.weights, strict=True
        ):
            window = Window(top, top + height, left, left + width)
            sums[:, :, :width] += scores(window) * (weight_H[:, None] * weight_W[None, :])
            done = sums[:, :, : right - left]
            done[:, :waiting] += below[:, :waiting, left:right]
            below[:, : height - finished, left:right] = done[:, finished:]
            yield done[:, :finished]
            over = left + width - right
            sums[:, :, :over] = sums[:, :, right - left : right - left + over].copy()
            sums[:, :, over:] = 0
        waiting = height - finished


def blend_bands(plan: TilePlan, n_classes: int, scores: Callable[[Window], F32]) -> Iterator[Band]:
    """As ``blend``, but labels and confidence, a band of whole rows at a time."""
    blocks = blend(plan, n_classes, scores)
    for top, bottom in zip(plan.rows.starts, plan.rows.ends, strict=True):
        labels_HW = np.empty((bottom - top, plan.columns.length), np.uint8)
        confidence_HW = np.empty_like(labels_HW)
        for left, right in zip(plan.columns.starts, plan.columns.ends, strict=True):
            labels_HW[:, left:right], confidence_HW[:, left:right] = decide(next(blocks))
        yield Band(top, labels_HW, confidence_HW)


def decide(scores_CHW: F32) -> tuple[U8, U8]:
    """The label with the highest probability, and that probability × 255, both uint8 (H, W)."""
    labels_HW = scores_CHW.argmax(axis=0).astype(np.uint8)
    best_HW = scores_CHW.max(axis=0)
    return labels_HW, (best_HW * 255.0).round().clip(0.0, 255.0).astype(np.uint8)
