# SPDX-License-Identifier: Apache-2.0
"""``audit.html``: one file that works from a disk, with everything inside it."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg import __version__
from offroad_seg_train.audit import report_tables as tables
from offroad_seg_train.audit.charts import bars, height_stack
from offroad_seg_train.audit.finding import Panel, Severity
from offroad_seg_train.audit.pictures import Drawer
from offroad_seg_train.audit.statistics import class_statistics, image_statistics

if TYPE_CHECKING:
    from offroad_seg_train.audit.audit import Audit
    from offroad_seg_train.audit.finding import Finding

_EXAMPLES = {Severity.ERROR: 6, Severity.WARNING: 6, Severity.NOTE: 3}
_FILES = 200
_ODDEST = 8
_LEAST_ODDEST_BUDGET = 600_000
_ODDEST_REPEATS = 2


def report_html(audit: Audit) -> str:
    """The page."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    own, shared = files("offroad_seg_train.audit") / "templates", files("offroad_seg.replay") / "templates"
    css = "\n".join(
        (folder / name).read_text(encoding="utf-8")
        for folder, name in ((shared, "report.css"), (own, "audit.css"))
    )
    js = "\n".join(
        (folder / name).read_text(encoding="utf-8")
        for folder, name in ((shared, "page.js"), (own, "audit.js"))
    )
    drawer = Drawer(audit.sources.frames, audit.ontology)
    # The oddest images are always shown, so some room is kept for them.
    drawer.budget -= _LEAST_ODDEST_BUDGET
    findings = [_finding(f, drawer) for f in audit.findings]
    drawer.budget += _LEAST_ODDEST_BUDGET
    title, tone = tables.verdict(audit)
    values, values_left_out = tables.value_rows(audit)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["code"] = _code
    template = environment.from_string((own / "audit.html.j2").read_text(encoding="utf-8"))
    return template.render(
        css=Markup(css),  # noqa: S704 – our own files
        js=Markup(js),  # noqa: S704
        name=_name(audit),
        ontology=audit.ontology.name,
        verdict=title,
        tone=tone,
        numbers=[(s.word, audit.number(s)) for s in reversed(Severity)],
        figures=tables.figures(audit),
        findings=findings,
        parts=audit.sources.parts,
        cards=tables.class_cards(audit) if audit.tally.masks else [],
        values=values,
        values_left_out=values_left_out,
        charts={name: (title, Markup(svg)) for name, (title, svg) in _charts(audit).items()},  # noqa: S704 – our own
        images=image_statistics(audit.records),
        leaks=tables.leak_matrix(audit),
        oddest=_oddest(audit, drawer),
        identity=tables.identity(audit),
        version=__version__,
    )


def _name(audit: Audit) -> str:
    return audit.options.data.resolve().name or str(audit.options.data)


def _code(text: str) -> Any:
    """What stands in backticks, as code; everything else escaped."""
    from markupsafe import Markup, escape

    pieces = re.split("`([^`]+)`", text)
    marked = (Markup("<code>{}</code>").format(p) if n % 2 else escape(p) for n, p in enumerate(pieces))
    return Markup("").join(marked)


def _finding(finding: Finding, drawer: Drawer) -> dict[str, Any]:
    examples = []
    for example in finding.examples[: _EXAMPLES[finding.severity]]:
        pictures = drawer.draw(example.panels)
        if pictures is None:
            break
        examples.append({"title": example.title, "pictures": pictures})
    shown, left_out = tables.listed(finding, _FILES)
    return {
        "kind": finding.kind,
        "severity": finding.severity.word,
        "title": finding.title,
        "text": finding.text,
        "mend": finding.mend,
        "examples": examples,
        "more_examples": len(finding.examples) - len(examples),
        "files": shown,
        "files_left_out": left_out,
    }


def _charts(audit: Audit) -> dict[str, tuple[str, str]]:
    """Name → heading and SVG; only those that have something to show."""
    from offroad_seg.replay.charts import histogram

    charts = {}
    tally = audit.tally
    if tally.masks:
        entries = class_statistics(tally, [])
        rows_NR = np.array([entry["rows"] for entry in entries])
        classes = audit.ontology.classes
        svg = height_stack(rows_NR, [c.name for c in classes], [c.color for c in classes])
        charts["stack"] = "What lies at which height of the image", svg
        numbers = {str(n): k for n, k in sorted(tally.labels_per_image.items())}
        charts["labels"] = "Classes in one image", bars(numbers, "images by the number of classes in them")
    images = [r.image for r in audit.records if r.image is not None]
    if images:
        for name, title, values in (
            ("brightness", "Brightness: mean grey value", [i.brightness for i in images]),
            ("contrast", "Contrast: standard deviation of grey values", [i.contrast for i in images]),
            ("sharpness", "Sharpness: variance of the Laplacian", [i.sharpness for i in images]),
        ):
            marks = {f"p{q}": float(np.percentile(values, q)) for q in (5, 50, 95)}
            charts[name] = title, histogram(values, "", marks)
    return charts


def _oddest(audit: Audit, drawer: Drawer) -> list[dict[str, Any]]:
    found = []
    for oddity in audit.oddities[:_ODDEST]:
        panels = [Panel(i, audit.sources.frames[i].name) for i in oddity.members[:_ODDEST_REPEATS]]
        pictures = drawer.draw(panels)
        if pictures is None:
            break
        repeats = len(oddity.members)
        found.append(
            {"score": oddity.score, "reasons": oddity.reasons, "pictures": pictures, "repeats": repeats}
        )
    return found
