# SPDX-License-Identifier: Apache-2.0
"""The results of many bags as one: ``metrics.json`` over all frames, and ``frames.parquet`` for pandas and DuckDB."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import InputError
from offroad_seg.replay.fleet_worst import worst_frames
from offroad_seg.replay.records import FRAMES_NAME, read_records
from offroad_seg.replay.summary import Summary, without_truth
from offroad_seg.resources import replacing_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from offroad_seg.ontology import Ontology
    from offroad_seg.replay.fleet import Job
    from offroad_seg.replay.records import FrameRecord

PARQUET_NAME = "frames.parquet"
_ROWS = 2000


def read_metrics(job: Job) -> dict[str, Any]:
    """``metrics.json`` of a bag that is done."""
    found: dict[str, Any] = json.loads((job.out / "metrics.json").read_text(encoding="utf-8"))
    return found


def merge(
    jobs: Sequence[Job], failed: dict[str, str], ontology: Ontology, *, seconds: float
) -> dict[str, Any]:
    """The figures over all frames of the bags that are done, in order of the bags' names.

    Every figure is summed from the frames' records, so that it is the same whoever replayed which bag, and when.

    Args:
        jobs: Those that are done.
        failed: Name of each other bag → why.
        ontology: The bundle's.
        seconds: How long it took, all in all.
    """
    every = {job.name: read_metrics(job) for job in jobs}
    cameras = list(dict.fromkeys(r.camera for _, r in _records(jobs)))
    summary = Summary(ontology, cameras)
    for job, record in _records(jobs):
        summary.take(record, job.name)
    first = next(iter(every.values()))
    frames = sum(m["frames"] for m in every.values())
    return {
        **summary.metrics(),
        "seconds": seconds,
        "frames_per_second": frames / seconds if seconds else None,
        "mode": first["mode"],
        "bags": {
            name: {
                "bag": m["bag"]["name"],
                **{
                    key: m.get(key) for key in ("frames", "frames_dropped", "miou", "miou_present", "seconds")
                },
            }
            for name, m in every.items()
        },
        "worst_frames": worst_frames(summary.rows),
        "failed": failed,
        "bag": {
            "name": f"{len(every)} bags",
            "topics": first["bag"]["topics"],
            "messages": sum(m["bag"]["messages"] for m in every.values()),
            "losses": [f"{name}: {text}" for name, m in every.items() for text in m["bag"]["losses"]],
            "notes": [f"{name}: {text}" for name, m in every.items() for text in m["bag"]["notes"]],
        },
        **{key: first[key] for key in ("bundle", "engine", "settings", "environment")},
    }


def write_parquet(path: Path, jobs: Sequence[Job], ontology: Ontology) -> None:
    """A row for each image of each bag; memory stays at a few thousand rows.

    Raises:
        InputError: pyarrow is not installed.
    """
    pa, pq = _arrow()
    schema = _schema(pa, ontology)
    with replacing_file(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        for job, record in _records(jobs):
            rows.append(_row(job.name, record))
            if len(rows) >= _ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows = []
        writer.write_table(pa.Table.from_pylist(rows, schema))


def check_arrow() -> None:
    """Look whether Parquet can be written.

    Raises:
        InputError: pyarrow is not installed.
    """
    _arrow()


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise InputError(
            "results of several bags are written as Parquet, and there is no pyarrow",
            mend="pip install 'offroad-seg[fleet]'",
        ) from None
    return pa, pq


def _records(jobs: Sequence[Job]) -> Iterator[tuple[Job, FrameRecord]]:
    for job in jobs:
        for record in read_records(job.out / FRAMES_NAME):
            yield job, record


def _schema(pa: Any, ontology: Ontology) -> Any:
    number, counts = pa.float64(), pa.list_(pa.int64())
    fields = [
        ("bag", pa.string()),
        ("index", pa.int64()),
        ("camera", pa.string()),
        ("stamp_ns", pa.int64()),
        ("dropped", pa.string()),
        ("reason", pa.string()),
        ("mean_confidence", number),
        ("ood_share", number),
        ("miou", number),
        ("changed_pixels", pa.int64()),
        ("compared_pixels", pa.int64()),
        ("latency_ms", pa.map_(pa.string(), number)),
        ("latency_total_ms", number),
        ("flicker_compensated", number),
        ("agreement", number),
        ("driven_lethal", number),
        ("flips", number),
        ("costmap_known_share", number),
        ("costmap_reason", pa.string()),
        ("x", number),
        ("y", number),
        ("heading", number),
        ("pixels", counts),
        ("confusion", counts),
    ]
    classes = json.dumps(ontology.names, ensure_ascii=False)
    return pa.schema(fields, metadata={"classes": classes, "ontology": ontology.name})


def _row(name: str, record: FrameRecord) -> dict[str, Any]:
    flicker: list[int | None] = [*record.flicker] if record.flicker else [None, None]
    pose: list[float | None] = [*record.pose] if record.pose else [None, None, None]
    return {
        "bag": name,
        "index": record.index,
        "camera": record.camera,
        "stamp_ns": record.stamp_ns,
        "dropped": record.dropped,
        "reason": record.reason or None,
        "mean_confidence": record.mean_confidence,
        "ood_share": record.ood_share,
        "miou": record.miou,
        "changed_pixels": flicker[0],
        "compared_pixels": flicker[1],
        "latency_ms": list(record.latency_ms.items()),
        "latency_total_ms": record.latency_ms.get("total"),
        **(without_truth(record) if record.dropped is None else {}),
        "costmap_known_share": None if record.costmap is None else record.costmap.get("known_share"),
        "costmap_reason": record.costmap_reason or None,
        "x": pose[0],
        "y": pose[1],
        "heading": pose[2],
        "pixels": record.pixels,
        "confusion": None if record.truth is None else record.truth["confusion"],
    }
