# SPDX-License-Identifier: Apache-2.0
"""The frames of an audit: which files, from which folder, in which part of the split, and what follows what."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offroad_seg.errors import InputError
from offroad_seg_train.data.layouts import find_layout, scan
from offroad_seg_train.data.layouts.base import part_of
from offroad_seg_train.data.layouts.survey import survey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from offroad_seg_train.data.layouts import Pair, Scan

WHOLE = "all"
"""Name of the one part of a data set that says nothing of parts."""
NEIGHBOURS = 12
"""Frames of a sequence that are no farther apart may look alike without anyone having copied them."""
_RANKS = {"train": 0, WHOLE: 0, "val": 1, "test": 2}


@dataclass(frozen=True)
class Frame:
    """One labelled image.

    Attributes:
        pair: Its files.
        root: The data folder that it lies in, as the user gave it.
        part: ``train``, ``val`` and so on, or ``WHOLE``.
        place: What it was recorded with, and its place in that sequence: frames of one sequence whose places are near
            show nearly the same.
    """

    pair: Pair
    root: Path
    part: str
    place: tuple[str, int]

    @property
    def name(self) -> str:
        """Its name for people; the part stands before it where there is more than one."""
        if self.part == WHOLE or part_of(self.pair.name.split("/")[:1]) == self.part:
            return self.pair.name
        return f"{self.part}/{self.pair.name}"

    @property
    def paths(self) -> tuple[Path, Path]:
        """Image and mask."""
        return self.pair.image, self.pair.mask

    def is_neighbour(self, other: Frame) -> bool:
        """Whether both come from one sequence, one soon after the other."""
        return self.place[0] == other.place[0] and abs(self.place[1] - other.place[1]) <= NEIGHBOURS


@dataclass(frozen=True)
class Sources:
    """Everything that was found in the data folders.

    Attributes:
        frames: Labelled images, folder by folder in order of name.
        parts: Names of the parts; of two, the earlier is the one that is trained on.
        scans: What each data folder holds, as its layout reads it.
        unread: For each data folder, pictures that its layout does not read.
    """

    frames: list[Frame]
    parts: list[str]
    scans: dict[Path, Scan]
    unread: dict[Path, list[Path]]


def find_sources(data: Path, val: Sequence[Path], layout: str) -> Sources:
    """List the frames of a data folder and of those that are held out.

    Args:
        data: What is trained on, or a whole data set that says its parts itself.
        val: Folders to validate or test on.
        layout: A name from ``LAYOUTS``, or ``auto``.

    Raises:
        DataError: A folder is missing or empty, or has no layout that is known.
        InputError: There is no such layout, or a folder is given twice.
    """
    roots = [data, *val]
    real = [root.resolve() for root in roots]
    for i, root in enumerate(real):
        for other in real[:i]:
            if root == other or root in other.parents or other in root.parents:
                raise InputError(
                    "two data folders are the same, or one lies in the other",
                    where=f"{roots[i]} and {other}",
                    mend="give folders that hold different frames; a folder that says its parts itself is given alone",
                )
    scans = {root: scan(find_layout(layout, root).name, root) for root in roots}
    labels = _labels(roots)
    frames = [
        Frame(pair, root, pair.part or labels[root], place)
        for root, found in scans.items()
        for pair, place in zip(found.pairs, _places(found.pairs, str(root)), strict=True)
    ]
    seen = dict.fromkeys(frame.part for frame in frames)
    parts = sorted(seen, key=lambda part: (_RANKS.get(part, 1), list(seen).index(part)))
    return Sources(frames, parts, scans, {root: _unread(root, found) for root, found in scans.items()})


def _labels(roots: Sequence[Path]) -> dict[Path, str]:
    """What to call each folder's frames where they do not say it themselves: by the folder's own name."""
    if len(roots) == 1:
        return {roots[0]: WHOLE}
    labels = {roots[0]: "train"}
    for root in roots[1:]:
        own = root.resolve().name
        name, number = own, 2
        while name in labels.values():
            name, number = f"{own}{number}", number + 1
        labels[root] = name
    return labels


def _places(pairs: Sequence[Pair], root: str) -> list[tuple[str, int]]:
    """The sequence of each frame and its place there, by the numbers in its name."""
    sequences: dict[str, list[int]] = defaultdict(list)
    for index, pair in enumerate(pairs):
        sequences[pair.group].append(index)
    places: list[tuple[str, int]] = [("", 0)] * len(pairs)
    for group, members in sequences.items():
        for position, index in enumerate(sorted(members, key=lambda i: _natural(pairs[i].name))):
            places[index] = f"{root}:{group}", position
    return places


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key in which frame 9 comes before frame 10."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(p), p) if p.isdecimal() else (1, 0, p) for p in parts if p]


def _unread(root: Path, found: Scan) -> list[Path]:
    """Pictures in a data folder that its layout does not read."""
    read = {p.image for p in found.pairs} | {p.mask for p in found.pairs}
    read |= {*found.without_mask, *found.without_image}
    seen = survey(root)
    pictures = (seen.path(p) for folder in seen.folders for p in seen.pictures(folder))
    # Where a data set leaves images without labels on purpose, they are among these and no one needs to know.
    return [] if found.unlabelled else [p for p in pictures if p not in read]
