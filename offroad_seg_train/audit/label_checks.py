# SPDX-License-Identifier: Apache-2.0
"""Masks whose values mean nothing, that hold no label at all, or that contradict each other."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.errors import OffroadSegError
from offroad_seg_train.audit.finding import (
    Drop,
    Example,
    FileNote,
    Finding,
    Panel,
    Severity,
    count,
    percent,
    some,
)
from offroad_seg_train.data.reading import EIGHT_BIT, EIGHT_BIT_MEND, LOSSY_MEND, encode_mask, read_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg_train.audit.duplicates import Duplicates
    from offroad_seg_train.audit.probe import Record
    from offroad_seg_train.audit.sources import Frame
    from offroad_seg_train.audit.tally import Tally

_VALUES_NAMED = 12
_SYSTEMATIC = 0.2
_LOSSY_VALUES = 64
_DISAGREE_EXACT, _DISAGREE_COPY = 0.001, 0.2
_COMPARED = 500
_FEW_VALUES = 3


def label_findings(
    frames: Sequence[Frame], records: Sequence[Record], tally: Tally, fits: Sequence[str]
) -> list[Finding]:
    """Findings about what single masks hold.

    Args:
        frames: The files.
        records: What they showed.
        tally: Sums over all masks.
        fits: Names of other ontologies that know every value.
    """
    found = [*_codings(frames, records), _outside(frames, tally, fits), _empty(frames, records)]
    return [f for f in found if f is not None]


def _codings(frames: Sequence[Frame], records: Sequence[Record]) -> list[Finding]:
    """Masks that are coded in another way than the ontology: 8 bits for 16, colours for values."""
    by_problem: dict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        if record.mask and record.mask.coding:
            by_problem[record.mask.coding].append(index)
    masks = sum(r.mask is not None for r in records)
    return [
        Finding(
            "mask_eight_bit" if problem == EIGHT_BIT else "mask_coding",
            Severity.ERROR,
            f"{count(len(bad), 'mask')}: {problem}",
            "A tool has cut the values to one byte: 10000 became 16, and no one can tell what was meant."
            if problem == EIGHT_BIT
            else "None of its pixels can be given a class.",
            EIGHT_BIT_MEND
            if problem == EIGHT_BIT
            else "choose the ontology that fits the masks, or convert the masks",
            tuple(FileNote(frames[i].pair.mask) for i in bad),
            tuple(Example((Panel(i, frames[i].name),)) for i in bad),
            # Where most masks have it, it is the ontology or the tool that is to be changed.
            tuple(Drop(frames[i].paths, problem) for i in bad) if len(bad) <= _SYSTEMATIC * masks else (),
        )
        for problem, bad in by_problem.items()
    ]


def _outside(frames: Sequence[Frame], tally: Tally, fits: Sequence[str]) -> Finding | None:
    if not tally.unknown:
        return None
    ranked = sorted(tally.unknown, key=lambda v: -tally.unknown_pixels[v])
    bad = sorted({index for indices in tally.unknown.values() for index in indices})
    is_color = ranked[0].is_color
    named = "; ".join(
        f"{v.label} ({count(tally.unknown_pixels[v], 'pixel')} in {count(len(tally.unknown[v]), 'file')})"
        for v in ranked[:_VALUES_NAMED]
    )
    number = len(ranked)
    what = ("colour" if number == 1 else "colours") if is_color else ("value" if number == 1 else "values")
    more = f" and {number - _VALUES_NAMED:,} more" if number > _VALUES_NAMED else ""
    lossy = number > _LOSSY_VALUES
    at_least = "more than " if tally.unknown_more else ""
    held = {i: [v.label for v in ranked if i in set(tally.unknown[v])] for i in bad[:1000]}
    return Finding(
        "value_outside",
        Severity.ERROR,
        f"{at_least}{number:,} {what} outside ontology {tally.ontology.name}, in {count(len(bad), 'mask')}",
        f"{named}{more}: {percent(tally.outside / tally.pixels)} of all pixels. `train` refuses such masks.",
        LOSSY_MEND
        if lossy
        else (f"ontologies that know every value: {', '.join(fits)}; or " if fits else "")
        + f"add what is missing to a class or to `{'ignore_palette' if is_color else 'ignore'}`",
        tuple(FileNote(frames[i].pair.mask, f"holds {some(held[i], 6)}" if i in held else "") for i in bad),
        tuple(
            Example((Panel(i, f"{frames[i].name}: {some(held.get(i, []), 4)} in magenta"),)) for i in bad[:40]
        ),
        tuple(
            Drop(frames[i].paths, f"the mask holds {what} outside the ontology: {some(held.get(i, []), 6)}")
            for i in bad
        )
        if len(bad) <= _SYSTEMATIC * tally.masks
        else (),
        {
            "values": [
                {
                    "value": v.label,
                    "pixels": tally.unknown_pixels[v],
                    "files": [frames[i].name for i in tally.unknown[v]],
                }
                for v in ranked
            ],
            "more_values": tally.unknown_more,
        },
    )


def _empty(frames: Sequence[Frame], records: Sequence[Record]) -> Finding | None:
    bad = [
        i
        for i, r in enumerate(records)
        if r.mask and not r.mask.coding and not r.mask.unknown and r.mask.ids_256[:255].sum() == 0
    ]
    if not bad:
        return None
    return Finding(
        "mask_without_label",
        Severity.WARNING,
        f"{count(len(bad), 'mask')} without a single labelled pixel",
        "Every pixel is ignored: nothing is learned and nothing measured on them.",
        "label them, or leave them out (the fix list names them)",
        tuple(FileNote(frames[i].pair.mask) for i in bad),
        tuple(Example((Panel(i, frames[i].name),)) for i in bad),
        tuple(Drop(frames[i].paths, "no pixel of the mask carries a class") for i in bad),
    )


def conflict_findings(
    frames: Sequence[Frame], records: Sequence[Record], duplicates: Duplicates, ontology: Ontology
) -> tuple[list[Finding], set[int]]:
    """Equal pictures with different labels, and equal labels on different pictures.

    Returns:
        The findings, and the frames whose labels contradict those of the same picture.
    """
    exact = [
        (group[0], other)
        for group in duplicates.exact
        for other in group[1:]
        if _masks_differ(records[group[0]], records[other])
    ]
    copies = [
        (pair.first, pair.second)
        for pair in duplicates.alike
        if pair.is_copy and _masks_differ(records[pair.first], records[pair.second])
    ]
    contradictory = _compare(exact, frames, ontology, _DISAGREE_EXACT)
    doubtful = _compare(copies, frames, ontology, _DISAGREE_COPY)
    found = [
        _conflict(
            "label_conflict", Severity.ERROR, "the same picture labelled in different ways", contradictory, frames
        ),
        _conflict(
            "label_conflict_copy", Severity.WARNING, "practically the same picture labelled in different ways",
            doubtful, frames,
        ),
        _reused(frames, records, duplicates),
    ]  # fmt: skip
    return [f for f in found if f is not None], {i for a, b, _ in contradictory for i in (a, b)}


def _masks_differ(first: Record, second: Record) -> bool:
    return bool(first.mask and second.mask and first.mask.digest != second.mask.digest)


def _compare(
    pairs: Sequence[tuple[int, int]], frames: Sequence[Frame], ontology: Ontology, least: float
) -> list[tuple[int, int, float]]:
    """Pairs whose labels differ in more than a share of the pixels, the worst first."""
    found = []
    for first, second in pairs[:_COMPARED]:
        try:
            share = disagreement(_ids(frames[first], ontology), _ids(frames[second], ontology))
        except OffroadSegError:
            continue  # said elsewhere
        if share > least:
            found.append((first, second, share))
    return sorted(found, key=lambda item: -item[2])


def disagreement(first_HW: NDArray[np.uint8], second_HW: NDArray[np.uint8]) -> float:
    """Share of pixels that two label images give different classes; one is resized to the other where they differ."""
    if first_HW.shape != second_HW.shape:
        size = first_HW.shape[1], first_HW.shape[0]
        second_HW = np.asarray(cv2.resize(second_HW, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    return float(np.mean(first_HW != second_HW))


def _ids(frame: Frame, ontology: Ontology) -> NDArray[np.uint8]:
    return encode_mask(read_mask(frame.pair.mask, colors=ontology.has_palette), ontology, frame.pair.mask)


def _conflict(
    kind: str,
    severity: Severity,
    what: str,
    found: list[tuple[int, int, float]],
    frames: Sequence[Frame],
) -> Finding | None:
    if not found:
        return None
    return Finding(
        kind,
        severity,
        f"{count(len(found), 'pair')} of {what}",
        f"In the worst of them {percent(found[0][2])} of the pixels differ. One of the two is wrong, and the network "
        "is asked to learn both.",
        "compare the masks and keep the right one",
        tuple(
            FileNote(frames[b].pair.mask, f"{percent(share)} of the pixels differ from {frames[a].name}")
            for a, b, share in found
        ),
        tuple(
            Example(
                (Panel(a, frames[a].name), Panel(b, frames[b].name)), f"{percent(share)} of the pixels differ"
            )
            for a, b, share in found
        ),
        figures={"pairs": [[frames[a].name, frames[b].name, round(share, 5)] for a, b, share in found]},
    )


def _reused(frames: Sequence[Frame], records: Sequence[Record], duplicates: Duplicates) -> Finding | None:
    """One mask on several different pictures: copied to the wrong name."""
    by_mask: dict[bytes, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        # A mask of one or two values (all sand, all ignored) may well be right for many pictures.
        if record.image and record.mask and len(record.mask.values) >= _FEW_VALUES:
            by_mask[record.mask.digest].append(index)
    alike = {(pair.first, pair.second) for pair in duplicates.alike}
    pairs = []
    for members in by_mask.values():
        first = members[0]
        for other in members[1:]:
            same = records[first].image.digest == records[other].image.digest  # type: ignore[union-attr]
            if not same and (first, other) not in alike:
                pairs.append((first, other))
    if not pairs:
        return None
    return Finding(
        "mask_reused",
        Severity.WARNING,
        f"{count(len(pairs), 'mask')} shared with another picture",
        "The masks are equal to the last pixel, the pictures are not: a mask was copied to the wrong name.",
        "look which picture the mask fits, and label the other",
        tuple(FileNote(frames[b].pair.mask, f"same as that of {frames[a].name}") for a, b in pairs),
        tuple(Example((Panel(a, frames[a].name), Panel(b, frames[b].name))) for a, b in pairs),
        tuple(Drop(frames[b].paths, f"the mask is that of {frames[a].name}", sure=False) for a, b in pairs),
    )
