# SPDX-License-Identifier: Apache-2.0
"""What ``prepare`` will write, and what it leaves out and why; nothing is written here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.bundle import sha256_of
from offroad_seg.errors import DataError
from offroad_seg_train.data.checks import Finding, check_pairs, describe, mend
from offroad_seg_train.data.layouts import data_ontology, find_layout, scan, unpaired
from offroad_seg_train.data.layouts.base import PARTS, part_of
from offroad_seg_train.data.reading import describe_colors
from offroad_seg_train.data.splits import resolve_mode, split_pairs
from offroad_seg_train.data.threads import in_threads
from offroad_seg_train.data.tiling import Tile, tile_grid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg_train.data.layouts import Pair, Scan
    from offroad_seg_train.data.prepare.options import PrepareOptions

# Where the same image lies in several parts, the test keeps it: its figures stay what they were.
_KEEPS_DUPLICATE = ("test", "val", "train", "")


@dataclass(frozen=True)
class PlannedFrame:
    """One labelled image that will be written.

    Attributes:
        pair: Where it lies.
        part: ``train``, ``val`` or ``test``.
        name: Its name in the results.
        size: (height, width).
        tiles: What it is cut into; empty where it stays whole.
        ids_256: int64 pixels of each label value, shape (256,).
        image_sha256: Of the image file.
        mask_sha256: Of the mask file.
    """

    pair: Pair
    part: str
    name: str
    size: tuple[int, int]
    tiles: list[Tile]
    ids_256: NDArray[np.int64]
    image_sha256: str
    mask_sha256: str


@dataclass(frozen=True)
class Dropped:
    """Something that is left out.

    Attributes:
        name: The frame.
        files: Its files, relative to the data folder.
        reason: Why, in a few words.
    """

    name: str
    files: list[str]
    reason: str


@dataclass
class Plan:
    """What will be written.

    Attributes:
        root: The data folder.
        layout: Its layout.
        ontology: What its masks mean.
        split: How it is split; never ``auto``.
        frames: What is kept, in order of part and name.
        dropped: What is left out.
        unlabelled: Images that the data set publishes without labels.
    """

    root: Path
    layout: str
    ontology: Ontology
    split: str
    frames: list[PlannedFrame]
    dropped: list[Dropped] = field(default_factory=list)
    unlabelled: int = 0

    def of(self, part: str) -> list[PlannedFrame]:
        """The frames of one part."""
        return [frame for frame in self.frames if frame.part == part]

    def pixels(self, part: str) -> NDArray[np.int64]:
        """int64 pixels of each class in one part, shape (N,)."""
        counts = sum((frame.ids_256 for frame in self.of(part)), np.zeros(256, np.int64))
        return counts[: self.ontology.n_classes]


def make_plan(root: Path, options: PrepareOptions, *, show: bool = True) -> Plan:
    """Look at a data folder and decide what becomes of each file.

    Raises:
        DataError: The folder holds no data set that is known, or too much of it is wrong.
        InputError: The options do not fit it.
    """
    layout = find_layout(options.layout, root)
    ontology = data_ontology(layout, root, options.ontology)
    found = scan(layout.name, root)
    dropped = _without_partner(found, root)
    pairs = [pair for pair in found.pairs if pair.name not in found.doubled]
    findings = check_pairs(pairs, ontology, snap=options.snap, show_progress=show)
    dropped += [
        Dropped(pair.name, _files(pair, root), _reason(finding))
        for pair, finding in zip(pairs, findings, strict=True)
        if not finding.is_clean
    ]
    _refuse_too_many(found, pairs, findings, ontology, len(dropped), root, options)
    clean = {
        pair.name: (pair, finding) for pair, finding in zip(pairs, findings, strict=True) if finding.is_clean
    }
    sums = _hash([pair for pair, _ in clean.values()], show=show)
    twice = _duplicates([pair for pair, _ in clean.values()], sums)
    dropped += [Dropped(n, _files(clean[n][0], root), f"same image as {first}") for n, first in twice.items()]
    kept = [pair for name, (pair, _) in clean.items() if name not in twice]
    if not kept:
        raise DataError(
            "no labelled image is left", where=str(root), mend="see what the layout expects in docs/data.md"
        )
    frames = _frames(kept, clean, sums, options)
    chosen = {frame.pair.name for frame in frames}
    dropped += [
        Dropped(p.name, _files(p, root), "in no part of the official split")
        for p in kept
        if p.name not in chosen
    ]
    mode = resolve_mode(kept, options.split)
    return Plan(root, layout.name, ontology, mode, frames, dropped, found.unlabelled)


def _frames(
    pairs: Sequence[Pair],
    clean: dict[str, tuple[Pair, Finding]],
    sums: dict[Path, str],
    options: PrepareOptions,
) -> list[PlannedFrame]:
    parts = split_pairs(
        pairs,
        options.val,
        options.split,
        options.seed,
        test_fraction=options.test,
        group_by=options.group_by,
        block=options.block,
    )
    by_part = {part: [pairs[i] for i in getattr(parts, part)] for part in PARTS}
    names = _names(by_part)
    frames = []
    for part, own in by_part.items():
        for pair in own:
            finding = clean[pair.name][1]
            assert finding.size is not None
            assert finding.ids_256 is not None
            tiles = tile_grid(finding.size, options.tile, options.overlap) if options.tile else []
            frames.append(
                PlannedFrame(
                    pair,
                    part,
                    names[part, pair.name],
                    finding.size,
                    tiles if len(tiles) > 1 else [],
                    finding.ids_256,
                    sums[pair.image],
                    sums[pair.mask],
                )
            )
    return frames


def _names(by_part: dict[str, list[Pair]]) -> dict[tuple[str, str], str]:
    """Names in the results: without the folder of the part, which stands above them, where they stay different."""
    names: dict[tuple[str, str], str] = {}
    for part, pairs in by_part.items():
        short = [_without_part(pair.name) for pair in pairs]
        unique = len(set(short)) == len(short)
        names.update({(part, p.name): s if unique else p.name for p, s in zip(pairs, short, strict=True)})
    return names


def _without_part(name: str) -> str:
    path = PurePosixPath(name)
    folders = [folder for folder in path.parts[:-1] if not part_of([folder])]
    return PurePosixPath(*folders, path.name).as_posix()


def _without_partner(found: Scan, root: Path) -> list[Dropped]:
    return [
        *(Dropped(p.stem, [_relative(p, root)], "image without a mask") for p in found.without_mask),
        *(Dropped(p.stem, [_relative(p, root)], "mask without an image") for p in found.without_image),
        *(Dropped(name, [], "several files share its name") for name in found.doubled),
    ]


def _refuse_too_many(
    found: Scan,
    pairs: Sequence[Pair],
    findings: Sequence[Finding],
    ontology: Ontology,
    bad: int,
    root: Path,
    options: PrepareOptions,
) -> None:
    total = bad + sum(finding.is_clean for finding in findings)
    if bad == 0 or bad <= options.max_dropped * total:
        return
    left_out = f"; or leave them out with --max-dropped {bad / total + 0.005:.2f}" if bad < total else ""
    problems = "".join(f"\n  - {p}" for p in [*unpaired(found), *describe(pairs, findings, ontology)])
    raise DataError(
        f"something is wrong with {bad} of {total} frames; more than {options.max_dropped:.0%} are not left out "
        f"without being asked to:{problems}",
        where=str(root),
        mend=mend(findings, ontology) + left_out,
    )


def _reason(finding: Finding) -> str:
    reasons = [f"{kind}: {detail}" for kind, detail in finding.problems]
    if finding.unknown and finding.are_colors:
        reasons.append(f"unknown colours: {describe_colors(finding.unknown)}")
    elif finding.unknown:
        named = ", ".join(
            f"{value} ({pixels} pixels)" for value, pixels in sorted(finding.unknown.items())[:8]
        )
        reasons.append(f"unknown values: {named}")
    return "; ".join(reasons)


def _hash(pairs: Sequence[Pair], *, show: bool) -> dict[Path, str]:
    paths = [path for pair in pairs for path in (pair.image, pair.mask)]
    sums = in_threads(sha256_of, paths, what="hashing files", unit="file", show=show)
    return dict(zip(paths, sums, strict=True))


def _duplicates(pairs: Sequence[Pair], sums: dict[Path, str]) -> dict[str, str]:
    """Frames whose image is, byte for byte, that of another one, which is kept."""
    counts = Counter(sums[pair.image] for pair in pairs)
    kept: dict[str, str] = {}
    twice = {}
    for pair in sorted(pairs, key=lambda p: (_KEEPS_DUPLICATE.index(p.part), p.name)):
        key = sums[pair.image]
        if counts[key] > 1:
            if key in kept:
                twice[pair.name] = kept[key]
            kept.setdefault(key, pair.name)
    return twice


def _files(pair: Pair, root: Path) -> list[str]:
    return [_relative(pair.image, root), _relative(pair.mask, root)]


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
