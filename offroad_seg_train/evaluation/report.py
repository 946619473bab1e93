# SPDX-License-Identifier: Apache-2.0
"""``report.html`` of an evaluation: one file that works from a disk, with everything inside it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from offroad_seg import __version__
from offroad_seg.replay.charts import histogram
from offroad_seg.replay.report_tables import cell, confusion_rows, number, percent
from offroad_seg_train.export.calibrate import describe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg_train.evaluation.frames import FrameScore
    from offroad_seg_train.evaluation.gallery import Worst

    Metrics = dict[str, Any]

_COLUMNS = ("IoU", "Dice", "Precision", "Recall", "Boundary IoU", "True, % of pixels", "Predicted, %")
_KEYS = ("dice", "precision", "recall", "boundary_iou")
_WIDTH, _PLOT, _BELOW = 460, 300, 70


def write_report(
    path: Path,
    metrics: Metrics,
    counts_NM: NDArray[np.int64],
    ontology: Ontology,
    rows: Sequence[FrameScore],
    worst: Worst,
) -> None:
    """Render the report of a finished evaluation.

    Args:
        path: The file.
        metrics: What ``metrics.json`` holds.
        counts_NM: The confusion matrix: rows = truth, columns = prediction, the last one "no class".
        ontology: The classes.
        rows: All frames.
        worst: The pictures.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    css, page_js = (_read("offroad_seg.replay", name) for name in ("report.css", "page.js"))
    own_css, own_js, template = (
        _read("offroad_seg_train.evaluation", name)
        for name in ("evaluation.css", "evaluation.js", "evaluation.html.j2")
    )
    classes = [{"name": c.name, "color": list(c.color)} for c in ontology.classes]
    frames = [
        {"name": f.row.name, "miou": f.row.miou, "accuracy": f.row.pixel_accuracy, "uris": f.uris}
        for f in worst.frames()
    ]
    scored = [row.miou for row in rows if row.miou is not None]
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    html = environment.from_string(template).render(
        css=Markup(css + own_css),  # noqa: S704 – our own files
        js=Markup(page_js + own_js),  # noqa: S704
        data=Markup(_data({"frames": frames, "classes": classes})),  # noqa: S704 – escaped there
        metrics=metrics,
        version=__version__,
        figures=figures(metrics),
        notes=notes(metrics),
        classes=classes,
        frames=frames,
        class_columns=_COLUMNS,
        class_rows=class_rows(metrics, counts_NM, ontology),
        matrix=confusion_rows(counts_NM, ontology.names),
        reliability=Markup(reliability_svg(metrics["reliability"])) if metrics["ece"] is not None else None,  # noqa: S704
        frame_histogram=Markup(histogram(scored, "", _marks(scored))) if scored else None,  # noqa: S704
        identity=identity(metrics),
    )
    path.write_text(html, encoding="utf-8")


def figures(metrics: Metrics) -> list[dict[str, str]]:
    """The summary: what a person wants to know first."""
    present, total = metrics["n_classes_present"], len(metrics["per_class"])
    latency = metrics["latency_ms"]["total"]
    rows: list[tuple[str, tuple[str, str], str]] = [
        ("mIoU", (number(metrics["miou_present"]), ""), f"over the {present} of {total} classes that occur"),
        ("Pixel accuracy", percent(metrics["pixel_accuracy"]), f"of {metrics['images']} images"),
        ("Mean Dice", (number(metrics["mean_dice"]), ""), "over the classes that occur or were predicted"),
        ("Boundary IoU", (number(metrics["boundary_iou"]), ""), "at the edges of the classes"),
        ("Calibration error", percent(metrics["ece"]), "ECE: confidence against being right"),
        ("Time, p50", (f"{latency['p50']:.1f}", "ms"), f"for one image, p99 {latency['p99']:.1f} ms"),
    ]
    return [{"name": n, "value": v[0], "unit": v[1], "note": note} for n, v, note in rows]


def notes(metrics: Metrics) -> list[str]:
    """What a reader must know before believing the figures."""
    found = []
    absent = [name for name, row in metrics["per_class"].items() if row["pixels"] == 0]
    if absent:
        listed = ", ".join(absent)
        found.append(
            f"Not one labelled pixel of {listed}: nothing is known of {'it' if len(absent) == 1 else 'them'}."
        )
    claimed = [name for name in absent if metrics["per_class"][name]["iou"] is not None]
    if claimed:
        miou = number(metrics["miou"])
        found.append(
            f"Predicted, but never true: {', '.join(claimed)}. With these as 0 the mIoU is {miou}, which is `miou` in "
            "metrics.json."
        )
    how = metrics["labelling"]
    if how["tile"] is not None:
        rows, columns = how["tile"]
        found.append(
            f"Labelled in windows of {columns}×{rows} pixels that overlap by {how['overlap']:.0%}, blended."
        )
    if how["scales"] != [1.0] or how["mirror"] or how["vertical"]:
        turned = [w for w, on in (("mirrored", how["mirror"]), ("upside down", how["vertical"])) if on]
        scales = ", ".join(f"{s:g}" for s in how["scales"])
        also = f", also {' and '.join(turned)}" if turned else ""
        found.append(f"Averaged over views at scale {scales}{also}: a vehicle sees each image once.")
    if calibration := metrics.get("calibration"):
        found.append(f"Fitted on these images: {describe(calibration)}.")
    return found


def class_rows(
    metrics: Metrics, counts_NM: NDArray[np.int64], ontology: Ontology
) -> list[list[dict[str, Any]]]:
    """One row a class; ``value`` is what the column sorts by."""
    total = int(counts_NM.sum()) or 1
    rows = []
    for c in ontology.classes:
        m = metrics["per_class"][c.name]
        predicted = int(counts_NM[:, c.id].sum()) / total
        rows.append(
            [
                cell(c.name, c.name, color=list(c.color)),
                cell(m["iou"], number(m["iou"]), meter=m["iou"]),
                *(cell(m[key], number(m[key])) for key in _KEYS),
                cell(m["pixels"] / total, f"{100 * m['pixels'] / total:.2f}"),
                cell(predicted, f"{100 * predicted:.2f}"),
            ]
        )
    return rows


def reliability_svg(bins: list[dict[str, Any]]) -> str:
    """How often pixels of each confidence are right, over how many there are of it; inline SVG."""
    total = sum(b["pixels"] for b in bins) or 1
    most = max(b["pixels"] for b in bins) or 1
    left, top = 34, 8
    side = _WIDTH - left - 16
    base, floor = top + _PLOT, top + _PLOT + 12 + _BELOW

    def x_of(value: float) -> float:
        return left + value * side

    def y_of(value: float) -> float:
        return base - value * _PLOT

    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y, x = y_of(share), x_of(share)
        parts.append(f'<line x1="{left}" x2="{left + side}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{100 * share:.0f}</text>')
        parts.append(f'<text x="{x:.1f}" y="{floor + 14}" text-anchor="middle">{100 * share:.0f}</text>')
    for b in (b for b in bins if b["pixels"]):
        x, width = x_of(b["from"]) + 1, (b["to"] - b["from"]) * side - 2
        right, sure = y_of(b["accuracy"]), y_of(b["confidence"])
        said = (
            f"confidence {100 * b['confidence']:.1f} %: {100 * b['accuracy']:.1f} % are right, "
            f"{100 * b['pixels'] / total:.1f} % of pixels"
        )
        high, low = min(right, sure), max(right, sure)
        tall = _BELOW * b["pixels"] / most
        across = f'x="{x:.1f}" width="{width:.1f}"'
        parts += [
            f"<g><title>{said}</title>",
            f'<rect {across} y="{right:.1f}" height="{base - right:.1f}" rx="2"/>',
            f'<rect class="gap" {across} y="{high:.1f}" height="{low - high:.1f}"/>',
            f'<rect class="many" {across} y="{floor - tall:.1f}" height="{tall:.1f}" rx="2"/></g>',
        ]
    parts.append(f'<line class="mark" x1="{x_of(0)}" x2="{x_of(1)}" y1="{y_of(0)}" y2="{y_of(1)}"/>')
    parts.append(f'<line x1="{left}" x2="{left + side}" y1="{floor}" y2="{floor}"/>')
    return (
        f'<svg class="chart reliability" viewBox="0 0 {_WIDTH} {floor + 18}" role="img" '
        f'aria-label="reliability diagram: part that is right over confidence">{"".join(parts)}</svg>'
    )


def identity(metrics: Metrics) -> list[tuple[str, str]]:
    """What was run on what, for whoever asks later."""
    model, data = metrics["model"], metrics["data"]
    height, width = model["input"]
    engine = ", ".join(f"{k} {v}" for k, v in model["engine"].items() if v)
    rows = [
        ("Model", f"{model['name']}, ontology {model['ontology']}, input {width}×{height}"),
        ("File", model["path"]),
        ("Checkpoint", f"{(model['checkpoint_sha256'] or 'unknown')[:12]}…"),
        ("Engine", engine),
        ("Temperature", f"{model['temperature']:g}"),
        ("Data", f"{data['root']}, layout {data['layout']}, part {data['part']}, {data['images']} images"),
        (
            "Batch mean",
            f"{number(metrics['miou_batch_mean'])} (miou_batch_mean, batches of {metrics['batch_size']})",
        ),
        ("Took", f"{metrics['seconds']:.1f} s with reading and counting"),
    ]
    return [(name, str(value)) for name, value in rows]


def _marks(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"median": ordered[len(ordered) // 2]}


def _data(data: dict[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=False)
    # Inside a script element only these could end it or open a comment.
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _read(package: str, name: str) -> str:
    return (files(package) / "templates" / name).read_text(encoding="utf-8")
