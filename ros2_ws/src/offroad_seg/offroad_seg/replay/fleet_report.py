# SPDX-License-Identifier: Apache-2.0
"""``report.html`` of many bags: the figures over all, and a row for each bag that leads to its own report."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from offroad_seg.replay import report_tables as tables
from offroad_seg.replay.fleet_worst import worst_places
from offroad_seg.resources import write_text

if TYPE_CHECKING:
    from pathlib import Path


def write_report(path: Path, metrics: dict[str, Any]) -> None:
    """Render the page.

    Args:
        path: Where; the bags' reports lie in ``bags/<name>/report.html`` beside it.
        metrics: As ``fleet_merge.merge`` made them.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = files("offroad_seg.replay") / "templates"
    css, own_css, js, template = (
        (folder / name).read_text(encoding="utf-8")
        for name in ("report.css", "compare.css", "page.js", "fleet.html.j2")
    )
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    html = environment.from_string(template).render(
        css=Markup(css + own_css),  # noqa: S704 – our own files
        js=Markup(js),  # noqa: S704
        metrics=metrics,
        bundle=metrics["bundle"],
        engine_line=tables.engine_line(metrics),
        figures=tables.figures(metrics),
        notes=tables.notes(metrics),
        failed=metrics["failed"],
        rows=[_row(name, found) for name, found in metrics["bags"].items()],
        worst=[_worst(found) for found in metrics["worst_frames"]],
        places=worst_places(metrics),
        identity=tables.identity(metrics),
    )
    write_text(path, html)


def _worst(found: dict[str, Any]) -> dict[str, Any]:
    text = f"{100 * found['value']:.1f} %" if found["unit"] == "%" else f"{found['value']:.3f}"
    return {**found, "text": text}


def _row(name: str, found: dict[str, Any]) -> dict[str, Any]:
    rate = found["frames"] / found["seconds"] if found["seconds"] else None
    return {
        "name": name,
        "bag": found["bag"],
        "cells": [
            tables.cell(
                found["miou_present"], tables.number(found["miou_present"]), meter=found["miou_present"]
            ),
            tables.cell(found["frames"], f"{found['frames']:,}"),
            tables.cell(found["frames_dropped"], f"{found['frames_dropped']:,}"),
            tables.cell(found["seconds"], tables.number(found["seconds"], 1)),
            tables.cell(rate, tables.number(rate, 1)),
        ],
    }
