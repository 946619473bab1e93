# SPDX-License-Identifier: Apache-2.0
"""Which frames an epoch shows, in which order, and how often: by chance or by how rare their classes are.

Everything follows from (seed, epoch): the same numbers give the same order on every machine, for every number of
worker processes, and on every rank of a distributed run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import torch.distributed
from torch.utils.data import Sampler

from offroad_seg.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    F64 = NDArray[np.float64]
    I64 = NDArray[np.int64]
    U8 = NDArray[np.uint8]

_ROUNDS = 100
# Stands for no frame: the loader gives a picture without labels, so that all ranks have as many batches.
NO_FRAME = -1


@dataclass(frozen=True)
class SamplingConfig:
    """Which frames, and which parts of them, are seen how often. The defaults show every frame once an epoch.

    Attributes:
        exponent: Frames are drawn by their share of each class × (1 / that class's share of all frames)^exponent. 0
            draws all alike; 0.5 is usual; 1 shows each class about as often as the others, as far as ``cap`` allows.
        cap: No frame is drawn more than this many times as often as the mean frame, nor less than 1/cap as often.
        rare_crop: Probability that a zoomed view is centred on a pixel of a class that is drawn by
            (1 / its share)^exponent among those of the frame, 0–1. It needs ``augment.scale_max`` above 1.
        epoch_images: Images an epoch; 0 = as many as there are frames.
    """

    exponent: float = 0.0
    cap: float = 4.0
    rare_crop: float = 0.0
    epoch_images: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (("exponent", 0, 2), ("cap", 1, 1000), ("rare_crop", 0, 1)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} is {value}", where=f"sampling.{name}", mend=f"{low}–{high}")
        if self.epoch_images < 0:
            raise InputError(
                f"epoch_images is {self.epoch_images}", where="sampling.epoch_images", mend="0 or more"
            )

    @property
    def needs_counts(self) -> bool:
        """Whether the pixels of each class in each frame must be known."""
        return self.exponent > 0 or self.rare_crop > 0


class FrameKey(NamedTuple):
    """What the loader is asked for.

    Attributes:
        epoch: The epoch, from 0.
        index: The frame, or ``NO_FRAME``.
        repeat: How many times the epoch has shown this frame before.
    """

    epoch: int
    index: int
    repeat: int = 0


class EpochSampler(Sampler[FrameKey]):
    """Keys of one epoch: shuffled by (seed, epoch), or in order; this rank's part of them.

    Rank ``r`` of ``w`` takes every ``w``-th key from the ``r``-th on, so that the ``k``-th batches of all ranks
    together are the ``k``-th batch of one process with a batch as large as all of theirs. All ranks get as many keys:
    when shuffled, up to w - 1 keys at the end are left out; in order, ``NO_FRAME`` fills up, so that validation counts
    each frame exactly once.

    Args:
        n: Number of frames.
        seed: The run's seed; None keeps the order.
        epoch: The epoch to begin with.
        weights_N: Probability of each frame, float64 (n,), sum 1; None shows each once. Frame ``i`` comes
            floor or ceil of ``length × weights_N[i]`` times.
        length: Keys an epoch over all ranks; 0 = n. Without a seed it must be 0.
        rank: This process among ``world_size``; None asks ``torch.distributed`` when it is needed.
        world_size: Processes that share the epoch; None as ``rank``.
    """

    def __init__(
        self,
        n: int,
        seed: int | None,
        epoch: int = 0,
        *,
        weights_N: F64 | None = None,
        length: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        self.n = n
        self.seed = seed
        self.epoch = epoch
        self.weights_N = weights_N
        self.length = length or n
        self._rank = rank
        self._world_size = world_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass; Lightning calls it."""
        self.epoch = epoch

    @property
    def rank(self) -> int:
        """This process, from 0."""
        return _distributed(0, "get_rank") if self._rank is None else self._rank

    @property
    def world_size(self) -> int:
        """Processes that share the epoch."""
        return _distributed(1, "get_world_size") if self._world_size is None else self._world_size

    def __len__(self) -> int:
        """Keys of this rank."""
        total = self.length if self.seed is not None else self.n
        return total // self.world_size if self.seed is not None else -(-total // self.world_size)

    def __iter__(self) -> Iterator[FrameKey]:
        """This rank's part of one epoch."""
        order = self._order()
        total = len(self) * self.world_size
        filled = np.concatenate([order, np.full(max(0, total - len(order)), NO_FRAME)])[:total]
        repeats = _repeats(filled)
        mine = slice(self.rank, None, self.world_size)
        epoch = self.epoch
        return (
            FrameKey(epoch, int(index), int(repeat))
            for index, repeat in zip(filled[mine], repeats[mine], strict=True)
        )

    def _order(self) -> I64:
        order = np.arange(self.n)
        if self.seed is None:
            return order
        rng = np.random.default_rng((self.seed, self.epoch))
        rng.shuffle(order)
        if self.weights_N is None and self.length == self.n:
            return order
        weights = np.full(self.n, 1 / self.n) if self.weights_N is None else self.weights_N[order]
        # Systematic resampling: one random offset, equal steps; counts differ from their mean by less than one.
        steps = (rng.random() + np.arange(self.length)) / self.length
        drawn = order[np.searchsorted(np.cumsum(weights)[:-1], steps, side="right")]
        rng.shuffle(drawn)
        return drawn


class RareFocus:
    """Chooses a pixel of a class that is drawn by its rarity, to centre a view on.

    Args:
        class_pixels_C: Pixels of each class in all frames.
        exponent: See ``SamplingConfig``.
        probability: How often a pixel is chosen.
    """

    def __init__(self, class_pixels_C: I64, exponent: float, probability: float) -> None:
        self.probability = probability
        self._weights_C = class_rarity(class_pixels_C, exponent)

    def draw(self, labels_HW: U8, rng: np.random.Generator) -> tuple[float, float] | None:
        """A point (x, y) in pixels of the labels; None where none is to be chosen or nothing is labelled."""
        if rng.random() >= self.probability:
            return None
        # OpenCV's histogram takes a tenth of the time of numpy's count; its float32 is enough to see what is there.
        counts = cv2.calcHist([labels_HW], [0], None, [256], [0, 256])[: len(self._weights_C), 0]
        weights = np.where(counts > 0, self._weights_C, 0.0)
        if weights.sum() == 0:
            return None
        chosen = rng.choice(len(weights), p=weights / weights.sum())
        pixels = np.flatnonzero(labels_HW == chosen)
        row, column = divmod(int(pixels[rng.integers(len(pixels))]), labels_HW.shape[1])
        return column + 0.5, row + 0.5


def class_rarity(class_pixels_C: I64, exponent: float) -> F64:
    """(1 / share)^exponent of each class, float64 (C,); 0 for a class that has no pixel."""
    shares = class_pixels_C / max(1, int(class_pixels_C.sum()))
    rarity: F64 = np.zeros(len(shares))
    np.power(shares, -exponent, out=rarity, where=shares > 0)
    return rarity


def frame_weights(counts_NC: I64, config: SamplingConfig) -> F64:
    """Probability of each frame, float64 (N,), sum 1.

    A frame's weight is the mean over its labelled pixels of their classes' ``class_rarity``, held between 1/cap and
    cap times the mean frame's.

    Args:
        counts_NC: Pixels of each class in each frame.
        config: ``exponent`` and ``cap``.
    """
    labelled_N = counts_NC.sum(axis=1)
    shares_NC = counts_NC / np.maximum(labelled_N, 1)[:, None]
    weights_N = shares_NC @ class_rarity(counts_NC.sum(axis=0), config.exponent)
    mean = weights_N.mean()
    if mean == 0:  # nothing is labelled anywhere
        return np.full(len(counts_NC), 1 / len(counts_NC))
    # Clipping moves the mean, so the bounds are met in the limit; a few rounds come within a thousandth.
    for _ in range(_ROUNDS):
        weights_N = np.clip(weights_N / weights_N.mean(), 1 / config.cap, config.cap)
    return weights_N / weights_N.sum()


def _repeats(order: I64) -> I64:
    """How often each entry has come before it."""
    by_value = np.argsort(order, kind="stable")
    sorted_values = order[by_value]
    first = np.searchsorted(sorted_values, sorted_values, side="left")
    repeats = np.empty_like(order)
    repeats[by_value] = np.arange(len(order)) - first
    return repeats


def _distributed(default: int, function: str) -> int:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return default
    return int(getattr(torch.distributed, function)())
