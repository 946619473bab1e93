# SPDX-License-Identifier: Apache-2.0
"""``prepare.json``: what came from where, and what was left out and why; and the same in a few lines."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from offroad_seg import __version__
from offroad_seg.bundle import sha256_of
from offroad_seg_train.data.layouts.base import PARTS
from offroad_seg_train.data.prepare.writing import tile_name

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg_train.data.prepare.options import PrepareOptions
    from offroad_seg_train.data.prepare.plan import Plan, PlannedFrame

RECORD_FILE = "prepare.json"
SCHEMA = 1
_LISTED = 5


@dataclass(frozen=True)
class Record:
    """The record before the results were written; sources may be gone afterwards."""

    plan: Plan
    options: PrepareOptions
    sources: list[dict[str, Any]]

    def finish(self, written: list[list[str]]) -> dict[str, Any]:
        """What ``prepare.json`` holds.

        Args:
            written: See ``write_frames``.
        """
        plan = self.plan
        ontology = plan.ontology.to_dict()
        text = json.dumps(ontology, sort_keys=True)
        return {
            "schema": SCHEMA,
            "offroad_seg": __version__,
            "sources": self.sources,
            "layout": plan.layout,
            "ontology": {"name": plan.ontology.name, "sha256": hashlib.sha256(text.encode()).hexdigest()},
            "split": plan.split,
            "options": self.options.to_dict(),
            "frames": {part: len(plan.of(part)) for part in PARTS},
            "files": {
                part: sum(len(names) for f, names in zip(plan.frames, written, strict=True) if f.part == part)
                for part in PARTS
            },
            "class_pixels": {
                part: dict(zip(plan.ontology.names, map(int, plan.pixels(part)), strict=True))
                for part in PARTS
            },
            "unlabelled_images": plan.unlabelled,
            "dropped": [asdict(dropped) for dropped in plan.dropped],
            "items": [self._item(f, names) for f, names in zip(plan.frames, written, strict=True)],
        }

    def _item(self, frame: PlannedFrame, names: list[str]) -> dict[str, Any]:
        root = self.plan.root
        item: dict[str, Any] = {
            "name": frame.name,
            "part": frame.part,
            "group": frame.pair.group,
            "size": list(frame.size),
            "image": {"file": _relative(frame.pair.image, root), "sha256": frame.image_sha256},
            "mask": {"file": _relative(frame.pair.mask, root), "sha256": frame.mask_sha256},
        }
        if frame.tiles:
            kept = set(names)
            item["tiles"] = [
                {"name": tile_name(frame.name, tile), **asdict(tile)}
                for tile in frame.tiles
                if tile_name(frame.name, tile) in kept
            ]
            item["tiles_without_labels"] = len(frame.tiles) - len(names)
        return item


def make_record(plan: Plan, options: PrepareOptions) -> Record:
    """Begin the record: hash the archives."""
    sources: list[dict[str, Any]] = []
    for source in options.sources:
        if source.is_dir():
            sources.append({"folder": str(source)})
        else:
            sources.append(
                {"archive": str(source), "bytes": source.stat().st_size, "sha256": sha256_of(source)}
            )
    return Record(plan, options, sources)


def summary(plan: Plan) -> list[str]:
    """What a plan amounts to, in lines of text."""
    ontology = plan.ontology
    lines = [
        f"layout {plan.layout}, ontology {ontology.name} ({ontology.n_classes} classes), split {plan.split}"
    ]
    for part in PARTS:
        frames = plan.of(part)
        tiles = sum(len(frame.tiles) or 1 for frame in frames)
        cut = f", {tiles} pictures after cutting" if tiles != len(frames) else ""
        count = len({frame.pair.group for frame in frames})
        groups = f" of {count} drives or scenes" if 1 < count < len(frames) else ""
        lines.append(f"  {part:<6}{len(frames):>6} frames{groups}{cut}" if frames else f"  {part:<6}  none")
    for part in PARTS:
        absent = [n for n, pixels in zip(plan.ontology.names, plan.pixels(part), strict=True) if pixels == 0]
        if plan.of(part) and absent:
            lines.append(f"  no pixel in {part}: {', '.join(absent)}")
    if plan.unlabelled:
        lines.append(f"  {plan.unlabelled} images come without labels")
    if plan.dropped:
        lines.append(f"  left out: {len(plan.dropped)}")
        kinds = Counter(_kind(dropped.reason) for dropped in plan.dropped)
        for kind, count in kinds.most_common():
            names = [d.name for d in plan.dropped if _kind(d.reason) == kind]
            more = f" and {count - _LISTED} more" if count > _LISTED else ""
            lines.append(f"    {count} × {kind}: {', '.join(names[:_LISTED])}{more}")
    return lines


def _kind(reason: str) -> str:
    return "same image as another" if reason.startswith("same image as") else reason.partition(":")[0]


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
