# SPDX-License-Identifier: Apache-2.0
"""``audit.json``: everything that the audit found, for programs. ``docs/audit.md`` has every key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from offroad_seg import __version__
from offroad_seg_train.audit import oddities, similar
from offroad_seg_train.audit.finding import Finding, Severity
from offroad_seg_train.audit.statistics import (
    class_statistics,
    image_statistics,
    part_statistics,
    value_statistics,
)

if TYPE_CHECKING:
    from offroad_seg.types import JsonDict
    from offroad_seg_train.audit.audit import Audit

SCHEMA = 1
"""Raised when a key goes or changes its meaning; new keys do not raise it."""
_VALUES, _ODDEST = 500, 50


def to_dict(audit: Audit) -> JsonDict:
    """The audit as plain data."""
    tally, sources = audit.tally, audit.sources
    frames = sources.frames
    values = value_statistics(tally)
    return {
        "schema": SCHEMA,
        "tool": f"offroad_seg {__version__}",
        "data": [
            {
                "folder": str(root),
                "pairs": len(found.pairs),
                "images_without_mask": len(found.without_mask),
                "masks_without_image": len(found.without_image),
                "unlabelled_on_purpose": found.unlabelled,
            }
            for root, found in sources.scans.items()
        ],
        "layout": audit.layout,
        "ontology": audit.ontology.name,
        "verdict": {severity.word: audit.number(severity) for severity in Severity},
        "findings": [_finding(f) for f in audit.findings],
        "parts": part_statistics(sources, audit.records, tally),
        "pixels": tally.pixels,
        "unlabelled_share": round(tally.unlabelled / tally.pixels, 6) if tally.pixels else None,
        "outside_share": round(tally.outside / tally.pixels, 6) if tally.pixels else None,
        "classes": class_statistics(tally, sources.parts),
        "values": values[:_VALUES],
        "values_left_out": max(0, len(values) - _VALUES) + tally.unknown_more,
        "labels_per_image": {str(n): count for n, count in sorted(tally.labels_per_image.items())},
        "images": image_statistics(audit.records),
        "duplicates": {
            "exact_groups": [[frames[i].name for i in group] for group in audit.duplicates.exact],
            "alike_pairs": len(audit.duplicates.alike),
        },
        "oddest": [
            {"names": [frames[i].name for i in o.members], "score": round(o.score, 3), "because": o.reasons}
            for o in audit.oddities[:_ODDEST]
        ],
        "thresholds": {
            "copy": {"bits": similar.COPY_BITS, "detail": similar.COPY_DETAIL},
            "alike": {"bits": similar.ALIKE_BITS, "detail": similar.ALIKE_DETAIL},
            "odd": oddities.ODD,
            "odd_repeated": oddities.ODD_REPEATED,
        },
        "seconds": {step: round(seconds, 3) for step, seconds in audit.seconds.items()},
    }


def to_text(audit: Audit) -> str:
    """The file's text."""
    return json.dumps(to_dict(audit), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _finding(finding: Finding) -> JsonDict:
    return {
        "kind": finding.kind,
        "severity": finding.severity.word,
        "title": finding.title,
        "text": finding.text,
        "mend": finding.mend,
        "files": [
            {"path": str(note.path), **({"detail": note.detail} if note.detail else {})}
            for note in finding.files
        ],
        "figures": finding.figures,
    }
