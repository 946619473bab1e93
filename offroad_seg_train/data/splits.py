# SPDX-License-Identifier: Apache-2.0
"""Splitting frames into training and validation without neighbours on both sides.

Neighbouring frames of a drive are nearly the same picture. A random split puts one into training and the next into
validation, and the figures flatter. ``blocks`` takes runs of consecutive frames instead.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.errors import DataError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCK = 12
MODES = ("blocks", "random")


@dataclass(frozen=True)
class Split:
    """Indices into the list of names, each in ascending order.

    Attributes:
        train: To train on.
        val: To validate on.
    """

    train: list[int]
    val: list[int]


def split(
    names: Sequence[str], val_fraction: float, mode: str = "blocks", seed: int = 0, block: int = BLOCK
) -> Split:
    """Split frames by name; the same arguments give the same split on every machine.

    Args:
        names: Unique names of the frames. A sequence is what shares the part before the first digit (``cc0000016``
            → ``cc``); its frames are put in order of their numbers.
        val_fraction: Part to validate on, 0–1; the number of frames is rounded, each sequence gives its share.
        mode: ``blocks`` (runs of up to ``block`` consecutive frames) or ``random`` (single frames: it leaks).
        seed: Chooses where the runs lie.
        block: Longest run of validation frames.

    Raises:
        InputError: An argument is out of bounds.
        DataError: A fraction between 0 and 1 leaves a side empty.
    """
    if not 0 <= val_fraction <= 1:
        raise InputError(f"val_fraction is {val_fraction}, not 0–1")
    if mode not in MODES:
        raise InputError(f"there is no split mode '{mode}'", mend=f"one of: {', '.join(MODES)}")
    if block < 1:
        raise InputError(f"block is {block}, not a number of frames")
    wanted = round(len(names) * val_fraction)
    if 0 < val_fraction < 1 and not 0 < wanted < len(names):
        raise DataError(
            f"{len(names)} frames cannot be split with a validation part of {val_fraction}",
            mend="add frames, or change the fraction",
        )
    random = np.random.default_rng(seed)
    if mode == "random":
        val = random.permutation(len(names))[:wanted].tolist()
    else:
        sequences = _sequences(names)
        shares = _shares([len(s) for s in sequences], wanted)
        val = [
            sequence[i]
            for sequence, share in zip(sequences, shares, strict=True)
            for i in _runs(len(sequence), share, block, random)
        ]
    chosen = set(val)
    return Split([i for i in range(len(names)) if i not in chosen], sorted(chosen))


def _sequences(names: Sequence[str]) -> list[list[int]]:
    """Indices of each sequence's frames, in order of their numbers."""
    groups: dict[str, list[int]] = {}
    for index in sorted(range(len(names)), key=lambda i: _natural(names[i])):
        prefix = re.match(r"\D*", names[index])
        groups.setdefault(prefix.group() if prefix else "", []).append(index)
    return [groups[key] for key in sorted(groups)]


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key in which frame 9 comes before frame 10."""
    return [
        (0, int(part), part) if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]


def _shares(sizes: list[int], wanted: int) -> list[int]:
    """How many of ``wanted`` frames each sequence gives: in proportion, by largest remainder."""
    total = sum(sizes)
    exact = [wanted * size / total for size in sizes] if total else [0.0 for _ in sizes]
    shares = [math.floor(e) for e in exact]
    order = sorted(range(len(sizes)), key=lambda i: (shares[i] - exact[i], i))
    for i in order[: wanted - sum(shares)]:
        shares[i] += 1
    return shares


def _runs(length: int, share: int, block: int, random: np.random.Generator) -> list[int]:
    """Positions of ``share`` frames in a sequence: as few even runs as ``block`` allows, one in each stretch."""
    if share == 0:
        return []
    count = math.ceil(share / block)
    chosen: list[int] = []
    for k in range(count):
        start, end = length * k // count, length * (k + 1) // count
        size = min(share * (k + 1) // count - share * k // count, end - start)
        first = start + int(random.integers(0, end - start - size + 1))
        chosen += range(first, first + size)
    # Rounding can leave a stretch one frame shorter than its run: fill up with the first free frames.
    free = [i for i in range(length) if i not in set(chosen)]
    return chosen + free[: share - len(chosen)]
