# SPDX-License-Identifier: Apache-2.0
"""What to say about pictures that occur more than once.

Inside a part they count double; in two parts of the split the model is tested on what it was trained on. Neighbouring
frames of a drive are alike by nature: that is only worth a note, as long as both are on one side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offroad_seg.errors import OffroadSegError
from offroad_seg_train.audit.finding import Drop, Example, FileNote, Finding, Panel, Severity, count
from offroad_seg_train.audit.similar import groups
from offroad_seg_train.data.splits import split_pairs

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from offroad_seg_train.audit.duplicates import Duplicates
    from offroad_seg_train.audit.similar import Likeness
    from offroad_seg_train.audit.sources import Frame, Sources

VAL_FRACTION = 0.2
"""What `train` holds out by itself. Written here again because its settings bring PyTorch, which takes seconds."""
_PANELS = 4
_CROSS = "the model is tested on what it was trained on, and the figures flatter it"
_DROP_TRAIN = "remove the copies on the training side (the fix list names them)"
_DROP_BUT_ONE = "keep one of each (the fix list names the others)"


@dataclass(frozen=True)
class _Context:
    """What is needed to say which copy stays.

    Attributes:
        frames: All of them.
        ranks: Part → its place; the part that is trained on comes first.
        spoiled: Frames that are to be dropped for another reason.
        in_conflict: Frames whose labels contradict those of the same picture.
    """

    frames: Sequence[Frame]
    ranks: dict[str, int]
    spoiled: Collection[int]
    in_conflict: Collection[int]

    def best_first(self, members: Sequence[int]) -> list[int]:
        """In the order in which they deserve to stay: sound ones, held-out ones, the first by name."""
        return sorted(members, key=lambda i: (i in self.spoiled, -self.ranks[self.frames[i].part], i))

    def crosses(self, members: Sequence[int]) -> bool:
        """Whether they lie in more than one part."""
        return len({self.frames[i].part for i in members}) > 1

    def names(self, members: Sequence[int]) -> list[str]:
        """Their names."""
        return [self.frames[i].name for i in members]


def duplicate_findings(
    found: Duplicates, sources: Sources, in_conflict: Collection[int], spoiled: Collection[int]
) -> list[Finding]:
    """Findings about pictures that occur more than once.

    Args:
        found: They.
        sources: All frames.
        in_conflict: Frames whose labels contradict those of the same picture: a person must choose.
        spoiled: Frames that are to be dropped for another reason, so that they are no copy to keep.
    """
    frames = sources.frames
    context = _Context(frames, {p: r for r, p in enumerate(sources.parts)}, spoiled, in_conflict)
    pairs = [(p, context.crosses((p.first, p.second))) for p in found.alike]
    copied = [
        (p.first, p.second)
        for p, crosses in pairs
        if not crosses and p.is_copy and not frames[p.first].is_neighbour(frames[p.second])
    ]
    rest = [p for p, crosses in pairs if not crosses and (p.first, p.second) not in set(copied)]
    findings = [
        _groups(
            "leak_exact", Severity.ERROR, [g for g in found.exact if context.crosses(g)], context,
            "{n} in more than one part of the split", f"The same pixels, file by file: {_CROSS}.", _DROP_TRAIN,
        ),
        _pairs(
            "leak_copy", Severity.ERROR, [p for p, crosses in pairs if crosses and p.is_copy], context,
            "{n} of practically the same picture in two parts of the split",
            f"Encoded again, resized or a little brighter, but the same picture: {_CROSS}.", _DROP_TRAIN, drop=True,
        ),
        _pairs(
            "leak_alike", Severity.WARNING, [p for p, crosses in pairs if crosses and not p.is_copy], context,
            "{n} of nearly the same view in two parts of the split",
            f"As neighbouring frames of a drive are, or a place that was seen twice: {_CROSS}.",
            "split by blocks or by drives, not frame by frame",
        ),
        _groups(
            "duplicate_exact", Severity.WARNING, [g for g in found.exact if not context.crosses(g)], context,
            "{n} more than once in one part",
            "The same pixels, file by file. They count double in training and in every figure.", _DROP_BUT_ONE,
        ),
        _groups(
            "duplicate_copy", Severity.WARNING, groups(copied), context,
            "{n} more than once in one part, encoded or resized in other ways",
            "They are no neighbours in a sequence: someone has copied them. They count double.", _DROP_BUT_ONE,
        ),
        _pairs(
            "alike", Severity.NOTE, rest, context,
            "{n} of nearly the same view within one part",
            "Natural in a drive: neighbouring frames, or a place that was seen twice. They add less than their number "
            f"says.{_own_split(rest, sources)}",
            "split by blocks, which is the default of `train`",
        ),
    ]  # fmt: skip
    return [f for f in findings if f is not None]


def _groups(
    kind: str, severity: Severity, found: list[list[int]], context: _Context, title: str, text: str, mend: str
) -> Finding | None:
    """A finding about groups of one picture each."""
    if not found:
        return None
    frames = context.frames
    examples, files, drops = [], [], []
    for group in found:
        keep, *others = context.best_first(group)
        panels = tuple(Panel(i, frames[i].name) for i in [keep, *others][:_PANELS])
        examples.append(Example(panels, f"{len(group)} times" if len(group) > _PANELS else ""))
        for i in others:
            files.append(FileNote(frames[i].pair.image, f"same as {frames[keep].name}"))
            drops.append(_drop(frames[i], frames[keep], decided=i not in context.in_conflict))
    total = sum(len(group) for group in found)
    return Finding(
        kind,
        severity,
        title.format(n=f"{count(len(found), 'picture')} ({total} files)"),
        text,
        mend,
        tuple(files),
        tuple(examples),
        tuple(drops),
        {"groups": [context.names(context.best_first(group)) for group in found]},
    )


def _drop(frame: Frame, keep: Frame, *, decided: bool) -> Drop:
    if frame.part != keep.part:
        # Whichever labels are right, a picture cannot stay on both sides.
        return Drop(frame.paths, f"leak: the same picture is in {keep.part} as {keep.name}")
    if decided:
        return Drop(frame.paths, f"the same picture as {keep.name}")
    return Drop(frame.paths, f"the same picture as {keep.name}, labelled otherwise: choose one", sure=False)


def _pairs(
    kind: str, severity: Severity, found: list[Likeness], context: _Context, title: str, text: str, mend: str,
    *, drop: bool = False,
) -> Finding | None:  # fmt: skip
    """A finding about pairs, the likest first."""
    if not found:
        return None
    frames = context.frames
    likest = sorted(found, key=lambda p: -p.detail)
    examples, files, drops = [], [], []
    for pair in likest:
        keep, other = context.best_first((pair.first, pair.second))
        panels = Panel(keep, frames[keep].name), Panel(other, frames[other].name)
        examples.append(Example(panels, f"details agree to {100 * pair.detail:.0f} %"))
        detail = f"like {frames[keep].name}: {pair.bits} of 256 bits apart, details agree to {100 * pair.detail:.0f} %"
        files.append(FileNote(frames[other].pair.image, detail))
        if drop:
            reason = f"leak: practically the same picture is in {frames[keep].part} as {frames[keep].name}"
            drops.append(Drop(frames[other].paths, reason))
    figures = [
        {"names": context.names((p.first, p.second)), "bits": p.bits, "detail": round(p.detail, 4)}
        for p in likest
    ]
    involved = {i for p in found for i in (p.first, p.second)}
    return Finding(
        kind,
        severity,
        title.format(n=f"{count(len(found), 'pair')} ({count(len(involved), 'image')})"),
        text,
        mend,
        tuple(files),
        tuple(examples),
        tuple(drops),
        {"pairs": figures},
    )


def _own_split(found: Sequence[Likeness], sources: Sources) -> str:
    """How many pairs the split that ``train`` would make puts on both sides, beside a split frame by frame."""
    if len(sources.parts) > 1 or not found:
        return ""
    pairs = [frame.pair for frame in sources.frames]
    torn = []
    for mode in ("blocks", "random"):
        try:
            held_out = set(split_pairs(pairs, VAL_FRACTION, mode).val)
        except OffroadSegError:
            return ""  # too few frames to split
        torn.append(sum((p.first in held_out) != (p.second in held_out) for p in found))
    return f" The split by blocks that `train` makes puts {torn[0]} of them on both sides; frame by frame, {torn[1]}."
