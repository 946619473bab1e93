# SPDX-License-Identifier: Apache-2.0
"""The report's figures as words and rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offroad_seg_train.audit.finding import Severity, count, percent
from offroad_seg_train.audit.pictures import heat_picture
from offroad_seg_train.audit.statistics import class_statistics, value_statistics

if TYPE_CHECKING:
    from offroad_seg.types import JsonDict
    from offroad_seg_train.audit.audit import Audit
    from offroad_seg_train.audit.finding import Finding

_VALUES = 60
_LEAKS = ("leak_exact", "leak_copy", "leak_alike")


def verdict(audit: Audit) -> tuple[str, str]:
    """The answer in one line, and the severity that colours it."""
    errors, warnings, notes = (audit.number(s) for s in reversed(Severity))
    if errors:
        also = f" and {count(warnings, 'warning')}" if warnings else ""
        return f"Do not train on this yet: {count(errors, 'error')}{also}", "error"
    if warnings:
        return f"It can be trained on, but look at {count(warnings, 'warning')} first", "warning"
    if notes:
        return f"Sound: nothing is wrong, {count(notes, 'note')} to read", "good"
    return "Sound: nothing was found", "good"


def figures(audit: Audit) -> list[dict[str, str]]:
    """The summary: what a person wants to know first."""
    tally, sources = audit.tally, audit.sources
    frames = sources.frames
    by_part = ", ".join(f"{sum(f.part == p for f in frames):,} {p}" for p in sources.parts)
    occurring = sum(bool(where.pixels) for where in tally.classes)
    found = [
        ("Labelled images", f"{len(frames):,}", by_part if len(sources.parts) > 1 else f"layout {audit.layout}"),
        ("Classes that occur", f"{occurring} of {len(tally.classes)}", f"ontology {audit.ontology.name}"),
        ("Pixels without a class", _share(tally.unlabelled, tally.pixels), "ignored on purpose"),
        ("Pixels outside the ontology", _share(tally.outside, tally.pixels), _values(audit)),
        ("Copies", f"{_copies(audit):,}", "images that are there more than once"),
    ]  # fmt: skip
    if len(sources.parts) > 1:
        leaks = sum(len(f.examples) for f in audit.findings if f.kind in _LEAKS)
        found.append(("Leaks", f"{leaks:,}", "pictures on both sides of the split"))
    if audit.oddities:
        found.append(("Oddest image", f"{audit.oddities[0].score:.2f}", "times as far off as 95 % of all"))
    return [{"name": n, "value": v, "note": note} for n, v, note in found]


def _share(part: int, whole: int) -> str:
    return percent(part / whole) if whole else "–"


def _values(audit: Audit) -> str:
    unknown = len(audit.tally.unknown) + audit.tally.unknown_more
    masks = {i for frames in audit.tally.unknown.values() for i in frames}
    return f"{count(unknown, 'value')} in {count(len(masks), 'mask')}"


def _copies(audit: Audit) -> int:
    kinds = ("duplicate_exact", "duplicate_copy", "leak_exact", "leak_copy")
    return len({note.path for f in audit.findings if f.kind in kinds for note in f.files})


def class_cards(audit: Audit) -> list[JsonDict]:
    """What the report shows of each class, the commonest first."""
    tally = audit.tally
    cards = []
    for entry, c in zip(class_statistics(tally, audit.sources.parts), audit.ontology.classes, strict=True):
        where = tally.classes[c.id]
        cards.append(
            entry
            | {
                "color": f"rgb{c.color}",
                "heat": heat_picture(where.heat_RC) if where.pixels else "",
                "share_text": percent(tally.share(where)),
                "image_text": percent(where.images / tally.masks) if tally.masks else "–",
                "height_text": "–" if where.height is None else f"{where.height:.2f}",
                "peak": percent(float(where.heat_RC.max()) / tally.masks) if tally.masks else "–",
                "values_text": ", ".join(entry["values"]) or "–",
                "part_texts": [
                    (entry["parts"][p]["share"], percent(entry["parts"][p]["share"]))
                    for p in audit.sources.parts
                ],
            }
        )
    return sorted(cards, key=lambda card: -card["pixels"])


def value_rows(audit: Audit) -> tuple[list[JsonDict], int]:
    """One row for each of the commonest values, and how many are left out."""
    entries = value_statistics(audit.tally)
    rows = [
        entry
        | {
            "share_text": percent(entry["share"]),
            "image_text": percent(entry["image_share"]),
            "edge_text": percent(entry["upper_edge_share"]),
        }
        for entry in entries[:_VALUES]
    ]
    return rows, max(0, len(entries) - _VALUES) + audit.tally.unknown_more


def leak_matrix(audit: Audit) -> list[JsonDict]:
    """For each two parts: pictures that both have, to the last pixel, nearly, and views that are alike."""
    frames, parts = audit.sources.frames, audit.sources.parts
    rows = []
    for a, first in enumerate(parts):
        for second in parts[a + 1 :]:
            both = {first, second}
            exact = sum(both <= {frames[i].part for i in group} for group in audit.duplicates.exact)
            pairs = [
                p for p in audit.duplicates.alike if {frames[p.first].part, frames[p.second].part} == both
            ]
            copies = sum(p.is_copy for p in pairs)
            rows.append(
                {
                    "parts": f"{first} and {second}",
                    "exact": exact,
                    "copies": copies,
                    "alike": len(pairs) - copies,
                }
            )
    return rows


def identity(audit: Audit) -> list[tuple[str, str]]:
    """What was audited, for whoever asks later."""
    seconds = sum(audit.seconds.values())
    steps = ", ".join(f"{step} {value:.1f} s" for step, value in audit.seconds.items())
    number = len(audit.sources.frames)
    rate = f", {1000 * seconds / number:.0f} s for 1,000 images" if number else ""
    return [
        ("Data", ", ".join(str(root) for root in audit.sources.scans)),
        ("Layout", audit.layout),
        ("Ontology", f"{audit.ontology.name}: {audit.ontology.description}".rstrip(": ")),
        ("Took", f"{seconds:.1f} s with {count(audit.options.threads, 'worker')}{rate} ({steps})"),
    ]


def listed(finding: Finding, most: int) -> tuple[list[tuple[str, str]], int]:
    """Path and detail of the first files of a finding, and how many are left out."""
    shown = [(str(note.path), note.detail) for note in finding.files[:most]]
    return shown, len(finding.files) - len(shown)
