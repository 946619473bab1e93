# SPDX-License-Identifier: Apache-2.0
"""``report.html``: one file that works from a disk, with everything inside it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from offroad_seg.replay import report_tables as tables
from offroad_seg.replay.charts import histogram, track
from offroad_seg.replay.gridview import LETHAL_RGB, STOPS

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.replay.evaluation import Evaluation, FrameRow
    from offroad_seg.replay.gallery import Gallery, Pictures


def write_report(path: Path, metrics: dict[str, Any], evaluation: Evaluation, gallery: Gallery) -> None:
    """Render the report of a finished replay."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = files("offroad_seg.replay") / "templates"
    css, page_js, js, template = (
        (folder / name).read_text(encoding="utf-8")
        for name in ("report.css", "page.js", "report.js", "report.html.j2")
    )
    pictures = gallery.pictures()
    order = {row.index: number for number, row in enumerate(evaluation.rows)}
    classes = [{"name": c.name, "color": list(c.color)} for c in evaluation.ontology.classes]
    present = {name for p in pictures for name in p.uris}
    latencies = [row.latency_ms for row in evaluation.rows]
    total = metrics["latency_ms"].get("total", {})
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    html = environment.from_string(template).render(
        css=Markup(css),  # noqa: S704 – our own files
        js=Markup(page_js + js),  # noqa: S704
        data=Markup(_data(evaluation.rows, pictures, order, classes)),  # noqa: S704 – escaped there
        metrics=metrics,
        bag=metrics["bag"],
        bundle=metrics["bundle"],
        engine_line=tables.engine_line(metrics),
        drive_s=f"{evaluation.rows[-1].time_s:.1f}",
        figures=tables.figures(metrics),
        notes=tables.notes(metrics),
        has={name: name in present for name in ("truth", "costmap", "true_costmap")},
        no_costmap=next(iter(metrics["no_costmap"]), "none came"),
        classes=classes,
        ramp=_ramp(),
        lethal=f"rgb{LETHAL_RGB}",
        tracks=[t | {"svg": Markup(t["svg"])} for t in _tracks(evaluation.rows)],  # noqa: S704 – our own SVG
        shown=len(pictures),
        worst=_worst(gallery, pictures),
        class_columns=tables.class_columns(metrics),
        class_rows=tables.class_rows(metrics, evaluation.ontology),
        matrix=tables.matrix(evaluation),
        latency_title=tables.latency_title(metrics),
        histogram=Markup(histogram(latencies, "ms", {q: total[q] for q in ("p50", "p95", "p99")})),  # noqa: S704
        costmap_rows=tables.costmap_rows(metrics),
        identity=tables.identity(metrics),
    )
    path.write_text(html, encoding="utf-8")


def _data(
    rows: list[FrameRow], pictures: list[Pictures], order: dict[int, int], classes: list[dict[str, Any]]
) -> str:
    frames = [
        {
            "index": p.row.index,
            "row": order[p.row.index],
            "time": round(p.row.time_s, 3),
            "miou": p.row.miou,
            "latency": round(p.row.latency_ms, 2),
            "reason": p.row.costmap_reason,
            "uris": p.uris,
        }
        for p in pictures
    ]
    text = json.dumps(
        {"frames": frames, "classes": classes, "rows": [r.index for r in rows]}, ensure_ascii=False
    )
    # Inside a script element only these could end it or open a comment.
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _tracks(rows: list[FrameRow]) -> list[dict[str, str]]:
    wanted: list[tuple[str, list[float | None], bool, str]] = [
        ("mIoU", [r.miou for r in rows], True, "var(--good)"),
        ("Confidence", [r.confidence for r in rows], True, "var(--accent)"),
        ("Labels changed", [r.changed for r in rows], False, "var(--soft)"),
        ("Costmap known", [r.known_share for r in rows], False, "var(--good)"),
        ("Latency", [r.latency_ms for r in rows], False, "var(--accent)"),
    ]
    result = []
    for name, values, whole, color in wanted:
        there = [v for v in values if v is not None]
        if not there:
            continue
        low, high = (0.0, 1.0) if whole else (0.0, max(there) or 1.0)
        unit = f"0 – {high:.0f} ms" if name == "Latency" else f"{100 * low:.0f} – {100 * high:.0f} %"
        result.append({"name": name, "range": unit, "svg": track(values, low, high, color)})
    return result


def _worst(gallery: Gallery, pictures: list[Pictures]) -> list[dict[str, Any]]:
    by_index = {p.row.index: p for p in pictures}
    found = [by_index[i] for i in gallery.worst() if i in by_index]
    return [{"index": p.row.index, "miou": p.row.miou, "uri": p.uris["image"]} for p in found]


def _ramp() -> str:
    stops = ", ".join(f"rgb{rgb} {100 * cost / STOPS[-1][0]:.0f}%" for cost, rgb in STOPS)
    return f"linear-gradient(90deg, {stops})"
