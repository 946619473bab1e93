# SPDX-License-Identifier: Apache-2.0
"""How sure a difference is: paired bootstrap over blocks of frames.

Neighbouring frames show nearly the same, so a thousand of them are far fewer than a thousand observations, and
resampling single frames would promise intervals that are much too narrow. Blocks of consecutive frames are drawn
instead (moving-block bootstrap, Künsch 1989), in circles within each bag, so that every frame is as likely as any
other (Politis and Romano 1992). The same draw serves all results: a difference is of the same frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri, stdtrit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from offroad_seg.replay.compare_results import Key
    from offroad_seg.replay.compare_sums import Layout

    F64 = NDArray[np.float64]

RESAMPLES, SEED, BLOCK_S = 1000, 0, 5.0
LEVEL = 0.95
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A figure's difference and where it lies with ``LEVEL`` confidence; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def sign(self) -> int:
        """1 or −1 where the whole interval lies on one side of 0, else 0."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


@dataclass(frozen=True)
class Blocks:
    """The frames of one bag.

    Attributes:
        start: Number of its first frame among all.
        frames: How many it has.
        length: Frames in a block.
    """

    start: int
    frames: int
    length: int


def blocks_of(keys: Sequence[Key], seconds: float = BLOCK_S) -> list[Blocks]:
    """The bags of aligned frames, with the length of their blocks.

    A block lasts ``seconds`` of the recording, but has at least n^(1/3) of the bag's n frames, the order that the
    theory asks for, and at most a quarter of them.
    """
    found, start = [], 0
    for _, group in groupby(keys, key=lambda key: key.bag):
        stamps = np.array([key.stamp_ns for key in group], np.float64)
        n = len(stamps)
        span_s = float(np.ptp(stamps)) / 1e9
        wanted = seconds * (n - 1) / span_s if span_s > 0 else 1.0
        length = max(round(wanted), int(np.ceil(n ** (1 / 3))))
        found.append(Blocks(start, n, max(1, min(length, n // 4))))
        start += n
    return found


def independent(blocks: Sequence[Blocks]) -> int:
    """How many blocks lie side by side: how much there is to draw from."""
    return sum(b.frames // b.length for b in blocks)


def draws(blocks: Sequence[Blocks], resamples: int, seed: int) -> Iterator[F64]:
    """How often each frame is in each resample, chunks of shape (some, frames)."""
    generator = np.random.default_rng(seed)
    total = sum(b.frames for b in blocks)
    chunk = max(1, min(resamples, _CHUNK // max(1, total)))
    for first in range(0, resamples, chunk):
        n = min(chunk, resamples - first)
        counts = np.zeros((n, total))
        for b in blocks:
            starts = generator.integers(0, b.frames, (n, -(-b.frames // b.length)))
            drawn = (starts[:, :, None] + np.arange(b.length)) % b.frames
            drawn = drawn.reshape(n, -1)[:, : b.frames]
            flat = (drawn + np.arange(n)[:, None] * b.frames).ravel()
            counts[:, b.start : b.start + b.frames] = np.bincount(flat, minlength=n * b.frames).reshape(n, -1)
        yield counts


def differences(
    layout: Layout,
    rows: Sequence[F64],
    blocks: Sequence[Blocks],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> list[dict[str, Interval]]:
    """For each result but the first: key → its difference to the first.

    Args:
        layout: What the columns are.
        rows: For each result the aligned frames' rows, (frames, columns).
        blocks: As ``blocks_of``.
        resamples: How many.
        seed: The same seed gives the same intervals.
    """
    values = [layout.figures(table.sum(axis=0, keepdims=True)) for table in rows]
    drawn: list[list[dict[str, F64]]] = [[] for _ in rows]
    for counts in draws(blocks, resamples, seed):
        for found, table in zip(drawn, rows, strict=True):
            found.append(layout.figures(counts @ table))
    joined = [{key: np.concatenate([chunk[key] for chunk in found]) for key in values[0]} for found in drawn]
    widen = widening(independent(blocks))
    return [
        {
            key: _interval(
                float(values[i][key][0] - values[0][key][0]), joined[i][key] - joined[0][key], widen
            )
            for key in values[0]
        }
        for i in range(1, len(rows))
    ]


def widening(blocks: int) -> float:
    """How much wider an interval must be for so many blocks than for very many.

    Of k blocks a resample varies too little by (k − 1) / k, and its quantiles are those of a normal distribution
    where Student's t with k − 1 degrees of freedom would be right (Hesterberg 2015, "narrowness bias").
    """
    k = max(2, blocks)
    upper = 0.5 + LEVEL / 2
    return float(stdtrit(k - 1, upper) / ndtri(upper) * np.sqrt(k / (k - 1)))


def _interval(value: float, resampled: F64, widen: float) -> Interval:
    there = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or there.size == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    tail = 50 * (1 - LEVEL)
    low, high = (value + widen * (float(q) - value) for q in np.percentile(there, [tail, 100 - tail]))
    return Interval(value, min(value, low), max(value, high))
