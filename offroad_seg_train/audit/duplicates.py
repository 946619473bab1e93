# SPDX-License-Identifier: Apache-2.0
"""Which pictures occur more than once, to the last pixel or nearly."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg_train.audit.similar import Likeness, find_alike

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offroad_seg_train.audit.probe import Record
    from offroad_seg_train.audit.sources import Frame


@dataclass(frozen=True)
class Duplicates:
    """Pictures that occur more than once. Indices are those of the frames; blank pictures are not among them.

    Attributes:
        exact: Groups of the same pixels, each of two or more.
        alike: Pairs that show nearly the same, exact ones left out; of a group of exact ones, the first of each part
            stands for the rest.
    """

    exact: list[list[int]]
    alike: list[Likeness]


def find_duplicates(frames: Sequence[Frame], records: Sequence[Record]) -> Duplicates:
    """Compare all images with all others."""
    by_digest: dict[bytes, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        if record.image is not None and not record.image.blank:
            by_digest[record.image.digest].append(index)
    first: dict[tuple[bytes, str], int] = {}
    for digest, members in by_digest.items():
        for index in reversed(members):
            first[digest, frames[index].part] = index
    chosen = sorted(first.values())
    if not chosen:
        return Duplicates([], [])
    images = [records[i].image for i in chosen]
    alike = find_alike(
        np.array([image.hash_bits for image in images if image]),
        np.array([image.thumb_HW for image in images if image]),
        [frames[i].part for i in chosen],
    )
    pairs = [Likeness(chosen[a.first], chosen[a.second], a.bits, a.detail) for a in alike]
    exact = [members for members in by_digest.values() if len(members) > 1]
    same = {index: number for number, members in enumerate(exact) for index in members}
    return Duplicates(sorted(exact), [p for p in pairs if same.get(p.first, -1) != same.get(p.second, -2)])
