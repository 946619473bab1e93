# SPDX-License-Identifier: Apache-2.0
"""Results folders of ``replay``, read and laid beside each other frame by frame.

Frames belong together by bag, camera and stamp. What cannot be compared is refused: other bags, other classes, other
true labels, other cameras.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from offroad_seg.errors import InputError
from offroad_seg.replay.compare_sums import Layout
from offroad_seg.replay.records import FRAMES_NAME, read_records

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    F64 = NDArray[np.float64]

METRICS_NAME, BAGS_NAME = "metrics.json", "bags"


class Key(NamedTuple):
    """What makes a frame the same in two results.

    Attributes:
        bag: Name of the bag; in a result of several that of its folder.
        camera: Name of the camera.
        stamp_ns: The image's stamp.
        nth: Which of the frames with that stamp; a bag may hold the same time twice.
    """

    bag: str
    camera: str
    stamp_ns: int
    nth: int


@dataclass(frozen=True)
class Result:
    """One result of ``replay``, of one bag or of several.

    Attributes:
        path: Its folder.
        label: Short name that differs from those of the others.
        metrics: ``metrics.json``.
        parts: Bag → folder with its ``frames.jsonl``.
        layout: What the columns of ``rows`` are.
        frames: Key of each frame with labels → its row in ``rows``.
        rows: Additive counts, shape (frames, columns).
        indices: ``FrameRecord.index`` of each row.
    """

    path: Path
    label: str
    metrics: dict[str, Any]
    parts: dict[str, Path]
    layout: Layout
    frames: dict[Key, int]
    rows: F64
    indices: NDArray[np.int64]


@dataclass(frozen=True)
class Aligned:
    """Results with the frames that all of them have, in the order of the first.

    Attributes:
        results: The first is the one that the others are compared with.
        keys: The common frames.
        rows: For each result the rows of those frames.
        left_out: For each result its frames that another lacks.
    """

    results: tuple[Result, ...]
    keys: tuple[Key, ...]
    rows: tuple[F64, ...]
    left_out: tuple[int, ...]


def load_result(path: Path, label: str) -> Result:
    """Read a results folder.

    Raises:
        InputError: It is none, or was written by a version that kept no record of each frame.
    """
    metrics = _metrics(path)
    folders = sorted(p for p in (path / BAGS_NAME).glob("*") if (p / METRICS_NAME).is_file())
    parts = {p.name: p for p in folders} or {metrics["bag"]["name"]: path}
    layout = Layout.of(list(metrics["predicted_share"]))
    frames: dict[Key, int] = {}
    rows: list[F64] = []
    indices: list[int] = []
    for bag, folder in parts.items():
        seen: Counter[tuple[str, int]] = Counter()
        for record in read_records(folder / FRAMES_NAME):
            if record.dropped is not None:
                continue
            at = (record.camera, record.stamp_ns)
            seen[at] += 1
            frames[Key(bag, *at, seen[at] - 1)] = len(rows)
            try:
                rows.append(layout.row(record))
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"the record of a frame does not fit: {error}",
                    where=f"{folder / FRAMES_NAME}, frame {record.index}",
                    mend="replay the bag again",
                ) from None
            indices.append(record.index)
    table = np.stack(rows) if rows else np.zeros((0, layout.width))
    return Result(path, label, metrics, parts, layout, frames, table, np.array(indices, np.int64))


def align(results: Sequence[Result]) -> Aligned:
    """Lay results beside each other.

    Raises:
        InputError: They are of different bags, classes or true labels, or have no frame in common.
    """
    first = results[0]
    for other in results[1:]:
        _check(first, other)
    common = set(first.frames).intersection(*(r.frames for r in results[1:]))
    keys = tuple(key for key in first.frames if key in common)
    if not keys:
        raise _refuse(
            "no frame is in both results", first, other, "their stamps have nothing in common", "other stamps"
        )
    rows = tuple(r.rows[[r.frames[key] for key in keys]] for r in results)
    for other, table in zip(results[1:], rows[1:], strict=True):
        _check_truth(first, rows[0], other, table, keys)
    return Aligned(tuple(results), keys, rows, tuple(len(r.frames) - len(keys) for r in results))


def labels_of(paths: Sequence[Path]) -> list[str]:
    """A short name for each folder; as much of its path as tells it from the others."""
    resolved = [p.resolve() for p in paths]
    for depth in range(1, 6):
        names = ["/".join(p.parts[-depth:]) for p in resolved]
        if len(set(names)) == len(names):
            return names
    return [f"{chr(ord('A') + i)}: {p.name}" for i, p in enumerate(resolved)]


def _metrics(path: Path) -> dict[str, Any]:
    file = path / METRICS_NAME
    mend = "give a results folder of `offroad-seg replay`"
    try:
        metrics = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(
            "this is no results folder: it has no metrics.json", where=str(path), mend=mend
        ) from None
    except ValueError as error:
        raise InputError(f"not valid JSON: {error}", where=str(file), mend="replay the bag again") from None
    if not isinstance(metrics, dict) or not {"bag", "bundle", "predicted_share"} <= metrics.keys():
        raise InputError("these are no figures of a replay", where=str(file), mend=mend)
    return metrics


def _check(first: Result, other: Result) -> None:
    a, b = first.metrics, other.metrics
    if set(first.parts) != set(other.parts):
        raise _refuse("the results are of different bags", first, other, _bags(first), _bags(other))
    if first.layout.names != other.layout.names:
        raise _refuse(
            "the results have different classes",
            first,
            other,
            f"{a['bundle']['ontology']}: {', '.join(first.layout.names)}",
            f"{b['bundle']['ontology']}: {', '.join(other.layout.names)}",
        )
    images = [str(m["bag"]["topics"].get("image")) for m in (a, b)]
    if images[0] != images[1]:
        raise _refuse("the results are of different cameras", first, other, *images)
    if bool(a.get("images")) != bool(b.get("images")):
        words = [f"truth {_truth(m)}" if m.get("images") else "no true labels" for m in (a, b)]
        raise _refuse("only one of the results was scored against true labels", first, other, *words)


def _check_truth(first: Result, rows: F64, other: Result, others: F64, keys: Sequence[Key]) -> None:
    n, columns = len(first.layout.names), first.layout.slices["confusion"]
    true, also = (t[:, columns].reshape(-1, n, n + 1).sum(axis=2) for t in (rows, others))
    differs = np.flatnonzero((true != also).any(axis=1))
    if differs.size:
        where = f"{differs.size} of {len(keys)} frames, the first at stamp {keys[differs[0]].stamp_ns}"
        raise _refuse(
            f"the results were scored against different true labels ({where})",
            first,
            other,
            f"truth {_truth(first.metrics)}",
            f"truth {_truth(other.metrics)}",
        )


def _truth(metrics: dict[str, Any]) -> str:
    return str(metrics["bag"]["topics"].get("truth"))


def _bags(result: Result) -> str:
    return ", ".join(sorted(result.parts))


def _refuse(what: str, first: Result, other: Result, one: str, two: str) -> InputError:
    return InputError(
        what,
        where=f"{first.path}: {one}\n         {other.path}: {two}",
        mend="replay both bundles on the same bag with the same options",
    )
