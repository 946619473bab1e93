# SPDX-License-Identifier: Apache-2.0
"""Splitting frames into training, validation and test without neighbours on both sides.

Neighbouring frames of a drive are nearly the same picture. A random split puts one into training and the next into
validation, and the figures flatter. ``blocks`` takes runs of consecutive frames instead, ``groups`` whole drives or
scenes, ``official`` what the data set itself says; ``auto`` is official where the set says it, else blocks.
"""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.errors import DataError, InputError
from offroad_seg_train.data.layouts.base import PARTS, by_folder_and_prefix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offroad_seg_train.data.layouts.base import Pair

BLOCK = 12
MODES = ("auto", "official", "blocks", "groups", "random")
_TRIALS = 200
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Indices into the list of frames, each in ascending order.

    Attributes:
        train: To train on.
        val: To validate on.
        test: Kept away from both.
    """

    train: list[int]
    val: list[int]
    test: list[int] = field(default_factory=list)


def split_pairs(
    pairs: Sequence[Pair],
    val_fraction: float,
    mode: str = "auto",
    seed: int = 0,
    *,
    test_fraction: float = 0.0,
    group_by: str | None = None,
    block: int = BLOCK,
) -> Split:
    """Split labelled images; the same arguments give the same split on every machine.

    Args:
        pairs: The frames.
        val_fraction: Part to validate on, 0–1. An official split without validation takes it out of its training part,
            in blocks.
        mode: One of ``MODES``. ``random`` takes single frames: it leaks.
        seed: Chooses where the runs lie, or which groups are held out.
        test_fraction: Part to keep for a test, 0–1; an official split has its own.
        group_by: For ``groups``: a regular expression; what it finds in a frame's name (its first bracket, where it has
            one) is the frame's group. None takes the data set's own groups.
        block: Longest run of held-out frames.

    Raises:
        InputError: An argument is out of bounds.
        DataError: A fraction between 0 and 1 leaves a side empty, the data set has no official split, or there are too
            few groups.
    """
    _check(val_fraction, test_fraction, mode, block)
    if group_by is not None and mode != "groups":
        raise InputError(
            "it names groups, but the split is not by groups", where="group_by", mend="split=groups"
        )
    mode = resolve_mode(pairs, mode)
    if mode == "official":
        return _official(pairs, val_fraction, seed, block)
    names = [pair.name for pair in pairs]
    groups = group_names(pairs, group_by) if mode == "groups" else []
    test = _choose(names, groups, test_fraction, mode, seed, block)
    rest = sorted(set(range(len(names))) - set(test))
    # The part is counted from all frames, so it is more of what is left.
    part = min(1.0, val_fraction * len(names) / len(rest)) if rest else 0.0
    rest_groups = [groups[i] for i in rest] if groups else []
    chosen = _choose([names[i] for i in rest], rest_groups, part, mode, seed, block)
    val = [rest[i] for i in chosen]
    train = sorted(set(rest) - set(val))
    if 0 < val_fraction + test_fraction < 1 and not train:
        raise DataError(
            f"{len(names)} frames leave none to train on", mend="add frames, or change the fractions"
        )
    return Split(train, sorted(val), sorted(test))


def split(
    names: Sequence[str], val_fraction: float, mode: str = "blocks", seed: int = 0, block: int = BLOCK
) -> Split:
    """Split frames by name alone, in ``blocks`` or at ``random``.

    Args:
        names: Unique names of the frames. A sequence is a folder and what comes before the first digit (``cc0000016``
            → ``cc``); its frames are put in order of their numbers.
        val_fraction: Part to validate on, 0–1; the number of frames is rounded, each sequence gives its share.
        mode: ``blocks`` (runs of up to ``block`` consecutive frames) or ``random`` (single frames: it leaks).
        seed: Chooses where the runs lie.
        block: Longest run of validation frames.

    Raises:
        InputError: An argument is out of bounds.
        DataError: A fraction between 0 and 1 leaves a side empty.
    """
    if mode not in ("blocks", "random"):
        raise InputError(f"names alone cannot be split by '{mode}'", mend="one of: blocks, random")
    _check(val_fraction, 0.0, mode, block)
    val = set(_choose(names, [], val_fraction, mode, seed, block))
    return Split([i for i in range(len(names)) if i not in val], sorted(val))


def group_names(pairs: Sequence[Pair], group_by: str | None) -> list[str]:
    """The group of each frame: the data set's own, or what a regular expression finds in the name.

    Raises:
        InputError: The expression is wrong, or finds nothing in some name.
        DataError: All frames are in one group.
    """
    if group_by is None:
        groups = [pair.group for pair in pairs]
    else:
        try:
            pattern = re.compile(group_by)
        except re.error as error:
            raise InputError(f"'{group_by}' is no regular expression: {error}", where="group_by") from None
        matches = [pattern.search(pair.name) for pair in pairs]
        without = [pair.name for pair, match in zip(pairs, matches, strict=True) if match is None]
        if without:
            raise InputError(
                f"'{group_by}' finds no group in {len(without)} names: {', '.join(without[:5])}",
                where="group_by",
            )
        groups = [m.group(1 if pattern.groups else 0) or "" for m in matches if m is not None]
    if pairs and len(set(groups)) < 2:
        raise DataError(
            f"all {len(pairs)} frames are in one group ('{groups[0]}')",
            mend="split by blocks, or say with group_by=REGEX what in a name tells drives apart",
        )
    return groups


def _check(val_fraction: float, test_fraction: float, mode: str, block: int) -> None:
    for name, fraction in (("val_fraction", val_fraction), ("test_fraction", test_fraction)):
        if not 0 <= fraction <= 1:
            raise InputError(f"{name} is {fraction}, not 0–1")
    if val_fraction + test_fraction > 1:
        raise InputError(f"validation and test take {val_fraction} + {test_fraction}, more than all")
    if mode not in MODES:
        raise InputError(f"there is no split mode '{mode}'", mend=f"one of: {', '.join(MODES)}")
    if block < 1:
        raise InputError(f"block is {block}, not a number of frames")


def resolve_mode(pairs: Sequence[Pair], mode: str) -> str:
    """What ``auto`` means for these frames; any other mode as it is."""
    if mode != "auto":
        return mode
    return "official" if _is_official(pairs) else "blocks"


def _is_official(pairs: Sequence[Pair]) -> bool:
    parts = {pair.part for pair in pairs}
    return "train" in parts and bool(parts & {"val", "test"})


def _official(pairs: Sequence[Pair], val_fraction: float, seed: int, block: int) -> Split:
    if not _is_official(pairs):
        raise DataError("the data set does not say how to split it", mend="split by blocks or groups")
    by_part = {part: [i for i, pair in enumerate(pairs) if pair.part == part] for part in PARTS}
    if without := len(pairs) - sum(map(len, by_part.values())):
        _LOG.warning("%d frames are in no part of the official split and are left out", without)
    train, val = by_part["train"], by_part["val"]
    if not val and val_fraction:
        inner = split([pairs[i].name for i in train], val_fraction, "blocks", seed, block)
        train, val = [train[i] for i in inner.train], [train[i] for i in inner.val]
    return Split(train, val, by_part["test"])


def _choose(
    names: Sequence[str], groups: Sequence[str], fraction: float, mode: str, seed: int, block: int
) -> list[int]:
    """Positions of the frames that are held out."""
    wanted = round(len(names) * fraction)
    if 0 < fraction < 1 and not 0 < wanted < len(names):
        raise DataError(
            f"{len(names)} frames cannot be split with a held-out part of {fraction:g}",
            mend="add frames, or change the fraction",
        )
    random = np.random.default_rng(seed)
    if mode == "random":
        return [int(i) for i in random.permutation(len(names))[:wanted]]
    if mode == "groups":
        return _whole_groups(groups, wanted, random)
    sequences = _sequences(names)
    shares = _shares([len(s) for s in sequences], wanted)
    return [
        sequence[i]
        for sequence, share in zip(sequences, shares, strict=True)
        for i in _runs(len(sequence), share, block, random)
    ]


def _whole_groups(groups: Sequence[str], wanted: int, random: np.random.Generator) -> list[int]:
    """Positions of the frames of some groups, together as near to ``wanted`` frames as a few draws come."""
    names, counts = np.unique(np.array(groups), return_counts=True)
    if wanted in (0, len(groups)):
        return list(range(wanted))
    best: tuple[int, set[str]] = (len(groups), set())
    for _ in range(_TRIALS):
        total = 0
        chosen: set[str] = set()
        for i in random.permutation(len(names)):
            # At least one group is held out, and at least one is not.
            nearer = abs(total + counts[i] - wanted) < abs(total - wanted)
            if (nearer or not chosen) and len(chosen) < len(names) - 1:
                total += int(counts[i])
                chosen.add(str(names[i]))
        best = min(best, (abs(total - wanted), chosen), key=lambda found: found[0])
    if not best[1]:
        raise DataError(
            f"{len(names)} groups are too few to hold one out and to keep one",
            mend="split by blocks, or ask for less",
        )
    return [i for i, group in enumerate(groups) if group in best[1]]


def _sequences(names: Sequence[str]) -> list[list[int]]:
    """Indices of each sequence's frames, in order of their numbers."""
    groups: dict[str, list[int]] = {}
    for index in sorted(range(len(names)), key=lambda i: _natural(names[i])):
        groups.setdefault(by_folder_and_prefix(names[index]), []).append(index)
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
