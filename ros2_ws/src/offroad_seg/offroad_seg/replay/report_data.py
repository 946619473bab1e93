# SPDX-License-Identifier: Apache-2.0
"""What the report's page works with: the drive's figures, places and pictures as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from offroad_seg.replay.drive_mosaic import place
from offroad_seg.replay.report_measures import (
    camera_period_ms,
    measures,
    stride_for,
    thinned,
    worst_measure,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offroad_seg.ontology import Ontology
    from offroad_seg.replay.gallery import Gallery, Pictures
    from offroad_seg.replay.report_measures import Measure
    from offroad_seg.replay.rows import DropRow, FrameRow

_DIGITS = 4
_MARKS = 400


def page_data(
    rows: Sequence[FrameRow],
    drops: Sequence[DropRow],
    gallery: Gallery,
    pictures: Sequence[Pictures],
    ontology: Ontology,
) -> dict[str, Any]:
    """Everything for the page's script.

    Args:
        rows: All frames with labels.
        drops: All images without.
        gallery: What the replay kept for the map.
        pictures: The frames that are shown.
        ontology: The classes.
    """
    order = {row.index: number for number, row in enumerate(rows)}
    stride = stride_for(len(rows))
    known = measures(camera_period_ms(rows))
    present = [m for m in known if any(m.read(row) is not None for row in rows)]
    several = len({row.camera for row in rows}) > 1
    at = {p.row.index: number for number, p in enumerate(pictures)}
    return {
        "frames": [_frame(p, order[p.row.index], present, several=several) for p in pictures],
        "classes": [{"name": c.name, "color": list(c.color)} for c in ontology.classes],
        "count": len(rows),
        "stride": stride,
        "index": [row.index for row in rows[::stride]],
        "time": [round(row.time_s, 3) for row in rows[::stride]],
        "series": [_series(m, rows, stride) for m in present],
        "trouble": _trouble(rows, stride, present),
        "drops": drop_marks(rows, drops),
        "worst": [_worst(at[i], pictures[at[i]].row) for i in gallery.worst() if i in at],
        "map": _map(rows, gallery, stride),
    }


def as_json(data: dict[str, Any]) -> str:
    """For a script element, which only these characters could end or open a comment in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def drop_marks(rows: Sequence[FrameRow], drops: Sequence[DropRow]) -> list[float]:
    """Where on the timeline images are missing, 0 to 1; at most so many different places."""
    if not rows:
        return []
    from bisect import bisect

    indices = [row.index for row in rows]
    last = max(1, len(rows) - 1)
    places = {
        round(min(max(bisect(indices, drop.index) - 0.5, 0), last) / last * _MARKS) / _MARKS for drop in drops
    }
    return sorted(places)


def _frame(p: Pictures, row_number: int, known: Sequence[Measure], *, several: bool) -> dict[str, Any]:
    row = p.row
    return {
        "index": row.index,
        "row": row_number,
        "time": round(row.time_s, 3),
        "camera": row.camera if several else "",
        "values": {m.key: _rounded(m.read(row)) for m in known},
        "reason": row.costmap_reason,
        "pose": None if row.pose is None else [round(v, 3) for v in row.pose],
        "uris": p.uris,
    }


def _series(measure: Measure, rows: Sequence[FrameRow], stride: int) -> dict[str, Any]:
    values = thinned([measure.read(row) for row in rows], stride, low=measure.less_is_worse)
    return {
        "key": measure.key,
        "name": measure.name,
        "unit": measure.unit,
        "lessIsWorse": measure.less_is_worse,
        "values": [_rounded(v) for v in values],
    }


def _trouble(rows: Sequence[FrameRow], stride: int, known: Sequence[Measure]) -> dict[str, Any]:
    """How bad each point of the timeline is, 0 to 1, and the number of the series that says so."""
    number = {m.key: i for i, m in enumerate(known)}
    found = [worst_measure(row, known) for row in rows]
    values, causes = [], []
    for start in range(0, len(rows), stride):
        group = [(t, m) for t, m in found[start : start + stride] if t is not None and m is not None]
        worst = max(group, key=lambda pair: pair[0]) if group else None
        values.append(None if worst is None else round(min(max(worst[0], 0.0), 1.0), 3))
        causes.append(None if worst is None else number[worst[1].key])
    return {"values": values, "causes": causes}


def _worst(frame: int, row: FrameRow) -> dict[str, Any]:
    trouble, measure = worst_measure(row)
    assert measure is not None
    return {
        "frame": frame,
        "index": row.index,
        "name": measure.name,
        "value": _rounded(measure.read(row)),
        "unit": measure.unit,
        "trouble": round(min(max(trouble or 0.0, 0.0), 1.0), 3),
    }


def _map(rows: Sequence[FrameRow], gallery: Gallery, stride: int) -> dict[str, Any] | None:
    poses = [row.pose for row in rows[::stride]]
    if not any(poses):
        return None
    grids = []
    if (mosaic := gallery.mosaic.picture()) is not None:
        grids.append({"name": "what the costmap said", **mosaic})
    truth = gallery.true_costmap
    if truth is not None and gallery.footprint is not None:
        g = truth.grid
        if (true_grid := place(truth.cost_HW, g.origin_x, g.origin_y, g.resolution)) is not None:
            grids.append({"name": "the true grid", **true_grid})
    return {
        "x": [None if p is None else round(p[0], 2) for p in poses],
        "y": [None if p is None else round(p[1], 2) for p in poses],
        "footprint": gallery.footprint,
        "grids": grids,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
