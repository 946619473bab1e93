# SPDX-License-Identifier: Apache-2.0
"""Files that cannot be read, do not pair, do not fit each other, or are of another kind than the rest."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from offroad_seg_train.audit.finding import (
    Drop,
    Example,
    FileNote,
    Finding,
    Panel,
    Severity,
    count,
    percent,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offroad_seg_train.audit.image_probe import ImageRecord
    from offroad_seg_train.audit.probe import Record
    from offroad_seg_train.audit.sources import Frame, Sources

_FEW = 0.05
_FLAT = 0.08


def file_findings(sources: Sources, records: Sequence[Record]) -> list[Finding]:
    """All findings about files as such."""
    frames = sources.frames
    found = [
        _unreadable("image", frames, records),
        _unreadable("mask", frames, records),
        _sizes(frames, records),
        *_unpaired(sources),
        _cut_short(frames, records),
        _lossy(frames, records),
        *_odd_kinds(frames, records),
        _unread(sources),
    ]
    return [f for f in found if f is not None]


def _unreadable(what: str, frames: Sequence[Frame], records: Sequence[Record]) -> Finding | None:
    problems = [(i, r.image_problem if what == "image" else r.mask_problem) for i, r in enumerate(records)]
    bad = [(i, problem) for i, problem in problems if problem]
    if not bad:
        return None
    files = tuple(
        FileNote(frames[i].pair.image if what == "image" else frames[i].pair.mask, p) for i, p in bad
    )
    return Finding(
        f"{what}_unreadable",
        Severity.ERROR,
        f"{count(len(bad), what)} cannot be read",
        "Truncated, damaged, or not a picture. OpenCV alone would fill what is missing with grey and say nothing.",
        "copy or make the files again, or leave them out (the fix list names them)",
        files,
        # A damaged image may have a mask that can be shown, and the other way round.
        tuple(Example((Panel(i, f"{frames[i].name}: {p}"),)) for i, p in bad),
        tuple(Drop(frames[i].paths, f"the {what} cannot be read: {p}") for i, p in bad),
    )


def _sizes(frames: Sequence[Frame], records: Sequence[Record]) -> Finding | None:
    bad = [
        (i, f"image {r.image.width}×{r.image.height}, mask {r.mask.width}×{r.mask.height}")
        for i, r in enumerate(records)
        if r.image and r.mask and (r.image.height, r.image.width) != (r.mask.height, r.mask.width)
    ]
    if not bad:
        return None
    return Finding(
        "size_mismatch",
        Severity.ERROR,
        f"{count(len(bad), 'mask')} of another size than the image",
        "Nobody knows which pixel belongs to which. Where EXIF turns a photograph, its mask must be turned too.",
        "make the masks again at the image's size, to the nearest pixel; or leave the frames out",
        tuple(FileNote(frames[i].pair.mask, detail) for i, detail in bad),
        tuple(Example((Panel(i, f"{frames[i].name}: {detail}"),)) for i, detail in bad),
        tuple(Drop(frames[i].paths, f"sizes differ: {detail}") for i, detail in bad),
    )


def _unpaired(sources: Sources) -> list[Finding | None]:
    lone_images = [p for found in sources.scans.values() for p in found.without_mask]
    lone_masks = [p for found in sources.scans.values() for p in found.without_image]
    doubled = [(root, name) for root, found in sources.scans.items() for name in found.doubled]
    return [
        Finding(
            kind,
            Severity.ERROR,
            f"{count(len(paths), one)} without {other}",
            "`train` refuses the data set as it is.",
            "add what is missing, or remove the rest (the fix list names it)",
            tuple(FileNote(p) for p in paths),
            drops=tuple(Drop((p,), f"{one} without {other}") for p in paths),
        )
        if paths
        else None
        for kind, paths, one, other in (
            ("image_without_mask", lone_images, "image", "a mask"),
            ("mask_without_image", lone_masks, "mask", "an image"),
        )
    ] + [
        Finding(
            "name_doubled",
            Severity.ERROR,
            f"{count(len(doubled), 'name')} that several files share",
            "Which image belongs to which mask is a matter of luck.",
            "rename or remove one of each",
            tuple(FileNote(root / name) for root, name in doubled),
        )
        if doubled
        else None
    ]


def _cut_short(frames: Sequence[Frame], records: Sequence[Record]) -> Finding | None:
    bad = [
        (i, r.image.flat_rows)
        for i, r in enumerate(records)
        if r.image and not r.image.blank and r.image.flat_rows >= _FLAT
    ]
    readable = sum(r.image is not None for r in records)
    # Where many images have it, it is a border, or the vehicle's own bonnet in the dark.
    if not bad or len(bad) > max(2, _FEW * readable):
        return None
    return Finding(
        "image_cut_short",
        Severity.WARNING,
        f"{count(len(bad), 'image')} whose lower rows are all one colour",
        "As where a recording or a download ended early and the decoder filled up the rest.",
        "look at them; make them again or leave them out",
        tuple(FileNote(frames[i].pair.image, f"{percent(share)} of the rows") for i, share in bad),
        tuple(Example((Panel(i, f"{frames[i].name}: {percent(share)} of the rows"),)) for i, share in bad),
        tuple(Drop(frames[i].paths, "the lower rows are all one colour", sure=False) for i, _ in bad),
    )


def _lossy(frames: Sequence[Frame], records: Sequence[Record]) -> Finding | None:
    bad = [i for i, r in enumerate(records) if r.mask and r.mask.lossy]
    if not bad:
        return None
    return Finding(
        "mask_lossy",
        Severity.WARNING,
        f"{count(len(bad), 'mask')} in a format that changes values",
        "JPEG and lossy WebP smear labels along every border.",
        "save masks as PNG, from the labelling tool and not from these files",
        tuple(FileNote(frames[i].pair.mask) for i in bad),
        tuple(Example((Panel(i, frames[i].name),)) for i in bad),
    )


def _odd_kinds(frames: Sequence[Frame], records: Sequence[Record]) -> list[Finding | None]:
    return [
        _minority(
            "image_size_differs", frames, records, lambda r: f"{r.width}×{r.height}",
            "of another size than the rest",
            "The letterbox makes all one size, but a small picture among large ones looks blurred to the network.",
        ),
        _minority(
            "image_grey_differs", frames, records, lambda r: "grey" if r.grey else "colour",
            "without colour among colour images, or the other way round",
            "Another camera, or infrared? The vehicle's camera shows one or the other.",
        ),
        _minority(
            "image_format_differs", frames, records, lambda r: f"{r.format} {r.mode}",
            "of another file format or pixel type than the rest",
            "Harmless to read; often a sign that the files come from somewhere else.",
        ),
        _minority(
            "image_turned", frames, records, lambda r: "turned by EXIF" if r.turned else "upright",
            "that EXIF turns by 90°, or that it does not turn among those that it does",
            "They are read as labelling tools show them; a tool that ignores EXIF sees them lying on their side.",
        ),
    ]  # fmt: skip


def _minority(
    kind: str,
    frames: Sequence[Frame],
    records: Sequence[Record],
    what: Callable[[ImageRecord], str],
    title: str,
    text: str,
) -> Finding | None:
    """Images that differ from nearly all the others; nothing where the set is mixed through and through."""
    # A blank image is said to be blank, and that is enough.
    kinds = {i: what(r.image) for i, r in enumerate(records) if r.image and not r.image.blank}
    numbers = Counter(kinds.values())
    rare = {name for name, number in numbers.items() if number <= _FEW * len(kinds)}
    bad = [i for i, name in kinds.items() if name in rare]
    if not bad or len(bad) > 2 * _FEW * len(kinds):
        return None
    return Finding(
        kind,
        Severity.NOTE,
        f"{count(len(bad), 'image')} {title}",
        text,
        "look whether they belong here",
        tuple(FileNote(frames[i].pair.image, kinds[i]) for i in bad),
        tuple(Example((Panel(i, f"{frames[i].name}: {kinds[i]}"),)) for i in bad),
        figures={"kinds": dict(numbers.most_common())},
    )


def _unread(sources: Sources) -> Finding | None:
    paths = [p for unread in sources.unread.values() for p in unread]
    if not paths:
        return None
    folders = Counter(p.parent for p in paths)
    named = ", ".join(f"{number} in {folder}" for folder, number in folders.most_common(4))
    return Finding(
        "picture_not_read",
        Severity.NOTE,
        f"{count(len(paths), 'picture')} in the data folder that the layout does not read",
        f"They are neither trained on nor audited: {named}{' …' if len(folders) > 4 else ''}.",
        "move them to where the layout looks, if they were meant to be used",
        tuple(FileNote(p) for p in paths),
    )
