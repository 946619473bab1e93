# SPDX-License-Identifier: Apache-2.0
"""``report.html``: one file that works from a disk, with everything inside it."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from offroad_seg.replay import report_tables as tables
from offroad_seg.replay.charts import histogram, track
from offroad_seg.replay.gridview import LETHAL_RGB, STOPS
from offroad_seg.replay.report_data import as_json, page_data
from offroad_seg.replay.report_measures import gaps_ms, measures
from offroad_seg.replay.report_sections import map_marks, sections
from offroad_seg.replay.report_verdict import verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from offroad_seg.replay.evaluation import Evaluation
    from offroad_seg.replay.gallery import Gallery
    from offroad_seg.replay.rows import FrameRow

_CSS = ("report.css", "replay.css")
_JS = ("page.js", "report.js", "report_map.js")
_TEMPLATE = "report.html.j2"


def write_report(path: Path, metrics: dict[str, Any], evaluation: Evaluation, gallery: Gallery) -> None:
    """Render the report of a finished replay."""
    from jinja2 import DictLoader, Environment, StrictUndefined
    from markupsafe import Markup

    folder = files("offroad_seg.replay") / "templates"
    texts = {entry.name: entry.read_text(encoding="utf-8") for entry in folder.iterdir() if entry.is_file()}
    environment = Environment(
        loader=DictLoader(texts),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows, pictures = evaluation.rows, gallery.pictures()
    data = page_data(rows, evaluation.drop_rows, gallery, pictures, evaluation.ontology)
    if data["map"] is not None:
        data["map"]["marks"] = map_marks(metrics)
    total = metrics["latency_ms"].get("total", {})
    marks = {q: total[q] for q in ("p50", "p95", "p99") if q in total}
    html = environment.get_template(_TEMPLATE).render(
        css=Markup("".join(texts[name] for name in _CSS)),  # noqa: S704 – our own files
        js=Markup("".join(texts[name] for name in _JS)),  # noqa: S704
        data=Markup(as_json(data)),  # noqa: S704 – escaped there
        metrics=metrics,
        bag=metrics["bag"],
        bundle=metrics["bundle"],
        engine_line=tables.engine_line(metrics),
        drive_s=f"{rows[-1].time_s - rows[0].time_s:.1f}",
        verdict=verdict(metrics),
        figures=tables.figures(metrics),
        notes=tables.notes(metrics),
        present={name for p in pictures for name in p.uris},
        no_costmap=next(iter(metrics["no_costmap"]), "none came"),
        classes=data["classes"],
        ramp=_ramp(),
        lethal=f"rgb{LETHAL_RGB}",
        tracks=[t | {"svg": Markup(t["svg"])} for t in _tracks(rows, metrics["camera_period_ms"])],  # noqa: S704 – our own SVG
        shown=len(pictures),
        drop_marks=data["drops"],
        worst=data["worst"],
        has_map=data["map"] is not None,
        marks={mark["kind"] for mark in data["map"]["marks"]} if data["map"] else set(),
        grids=[grid["name"] for grid in data["map"]["grids"]] if data["map"] else [],
        series=[{"key": s["key"], "name": s["name"]} for s in data["series"]],
        class_columns=tables.class_columns(metrics),
        class_rows=tables.class_rows(metrics, evaluation.ontology),
        matrix=tables.matrix(evaluation),
        latency_title=tables.latency_title(metrics),
        histogram=Markup(histogram([r.latency_ms for r in rows], "ms", marks)),  # noqa: S704
        sections=sections(metrics),
        drop_rows=tables.drop_rows(evaluation.drop_rows),
        drops_left_out=max(0, len(evaluation.drop_rows) - tables.MAX_DROPS),
        identity=tables.identity(metrics),
    )
    path.write_text(html, encoding="utf-8")


def _tracks(rows: Sequence[FrameRow], period_ms: float | None) -> list[dict[str, Any]]:
    graphs = [
        (m.key, m.name, m.unit, [m.read(row) for row in rows], m.whole, m.color) for m in measures(period_ms)
    ]
    graphs.append(("gap", "Frame interval", "ms", gaps_ms(rows), False, "var(--soft)"))
    if any(row.flicker_compensated is not None for row in rows):
        # The same with the camera's motion in it says less.
        graphs = [graph for graph in graphs if graph[0] != "changed"]
    result = []
    for key, name, unit, values, whole, color in graphs:
        there = [v for v in values if v is not None]
        if not there:
            continue
        low, high = (0.0, 1.0) if whole else (0.0, max(there) or 1.0)
        said = f"{high:.0f} ms" if unit == "ms" else f"{100 * high:.3g} %" if unit else f"{high:g}"
        said = f"up to {said}" if any(there) else "always 0"
        result.append({"key": key, "name": name, "range": said, "svg": track(values, low, high, color)})
    return result


def _ramp() -> str:
    stops = ", ".join(f"rgb{rgb} {100 * cost / STOPS[-1][0]:.0f}%" for cost, rgb in STOPS)
    return f"linear-gradient(90deg, {stops})"
