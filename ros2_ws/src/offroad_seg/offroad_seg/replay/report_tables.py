# SPDX-License-Identifier: Apache-2.0
"""The report's figures as words and rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg.replay.evaluation import DropRow, Evaluation

    Metrics = dict[str, Any]


def number(value: float | None, digits: int = 3) -> str:
    """A figure, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def percent(value: float | None, digits: int = 1) -> tuple[str, str]:
    """A share as per cent and its unit."""
    return ("–", "") if value is None else (f"{100 * value:.{digits}f}", "%")


def figures(metrics: Metrics) -> list[dict[str, str]]:
    """The summary: what a person wants to know first."""
    rows: list[tuple[str, tuple[str, str], str]] = []
    if metrics["images"]:
        present = metrics["n_classes_present"]
        rows += [
            ("mIoU", (number(metrics["miou_present"]), ""), f"over the {present} classes that occur"),
            (
                "Pixel accuracy",
                percent(metrics["pixel_accuracy"]),
                f"of {metrics['images']} frames with truth",
            ),
            ("Calibration error", percent(metrics["ece"]), "ECE: confidence against being right"),
        ]
    else:
        rows.append(("Mean confidence", percent(metrics["mean_confidence"]), "the bag holds no true labels"))
    if (costmap := metrics.get("costmap")) and costmap["frames"]:
        rows += [
            ("Free is free", percent(costmap["free_precision"]), "of cells called drivable, truly so"),
            ("Lethal found", percent(costmap["lethal_recall"]), "of true obstacles that were seen"),
        ]
    if "costmap_known_share" in metrics:
        rows.append(("Costmap known", percent(metrics["costmap_known_share"]), "mean share of all its cells"))
    if metrics.get("flicker_compensated") is not None:
        truth = metrics.get("flicker_compensated_truth")
        own = "labels that change, motion taken out" + (
            f"; true ones {100 * truth:.1f} %" if truth is not None else ""
        )
        rows.append(("Flicker", percent(metrics["flicker_compensated"]), own))
    elif metrics["flicker"] is not None:
        rows.append(("Labels that change", percent(metrics["flicker"]), "frame to frame, motion included"))
    driven = metrics.get("driven_path") or {}
    if driven.get("false_lethal_rate") is not None:
        rows.append(
            ("Driven over, called lethal", percent(driven["false_lethal_rate"]), "as the vehicle approached")
        )
    total = metrics["latency_ms"].get("total")
    if total:
        what = "image out to labels back" if metrics["mode"] == "via_ros" else "letterbox to costmap"
        rows.append(("Latency p50", (f"{total['p50']:.1f}", "ms"), f"p99 {total['p99']:.1f} ms, {what}"))
    dropped = metrics["frames_dropped"]
    note = "none dropped" if not dropped else f"{dropped} dropped"
    rows.append(("Frames", (str(metrics["frames"]), ""), note))
    return [{"name": n, "value": v[0], "unit": v[1], "note": note} for n, v, note in rows]


def notes(metrics: Metrics) -> list[str]:
    """What a reader must know before believing the figures."""
    found = [f"Lost: {loss}" for loss in metrics["bag"]["losses"]]
    found += [f"Guessed: {note}" for note in metrics["bag"]["notes"]]
    for cause, drop in metrics["dropped"].items():
        found.append(f"{_frames(drop['frames'])} dropped ({cause}): {drop['first_reason']}")
    found += [f"{_frames(n)} without a costmap: {reason}" for reason, n in metrics["no_costmap"].items()]
    if metrics.get("costmap", {}).get("skipped"):
        found.append(f"The costmap was not scored: {metrics['costmap']['skipped']}")
    return found + list(metrics.get("remarks", []))


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


def engine_line(metrics: Metrics) -> str:
    """Back end and device in a few words."""
    engine = metrics["engine"]
    return " ".join(str(engine[k]) for k in ("backend", "version", "device") if engine.get(k))


def latency_title(metrics: Metrics) -> str:
    """What a frame's latency is in this mode."""
    if metrics["mode"] == "via_ros":
        return "From publishing the image to its labels coming back, per frame"
    return "The pipeline's time for each frame, without reading the bag"


def class_columns(metrics: Metrics) -> list[tuple[str, bool]]:
    """Heading, and whether it sorts as text."""
    names = ["Predicted, % of pixels"]
    if metrics["images"]:
        names = ["IoU", "Dice", "Precision", "Recall", "True, % of pixels", "Predicted, %"]
    names += [name for name, _ in _class_extras(metrics)]
    return [("Class", True), *((name, False) for name in names)]


def class_rows(metrics: Metrics, ontology: Ontology) -> list[list[dict[str, Any]]]:
    """One row a class; ``value`` is what the column sorts by."""
    rows = []
    per_class = metrics.get("per_class", {})
    total = sum(c["pixels"] for c in per_class.values()) or 1
    for c in ontology.classes:
        row = [cell(c.name, c.name, color=list(c.color))]
        if metrics["images"]:
            m = per_class[c.name]
            row.append(cell(m["iou"], number(m["iou"]), meter=m["iou"]))
            row += [cell(m[k], number(m[k])) for k in ("dice", "precision", "recall")]
            row.append(cell(m["pixels"] / total, f"{100 * m['pixels'] / total:.2f}"))
        share = metrics["predicted_share"][c.name] or 0.0
        row.append(cell(share, f"{100 * share:.2f}"))
        for _, values in _class_extras(metrics):
            value = values.get(c.name)
            row.append(cell(value, number(value)))
        rows.append(row)
    return rows


def _class_extras(metrics: Metrics) -> list[tuple[str, dict[str, float | None]]]:
    """Columns that need no truth, where the replay measured them."""
    found = [
        ("Flicker", metrics.get("flicker_compensated_per_class")),
        ("Other bundle, IoU", (metrics.get("agreement") or {}).get("per_class")),
    ]
    return [
        (name, values) for name, values in found if values and any(v is not None for v in values.values())
    ]


def cell(
    value: Any, text: str, *, color: list[int] | None = None, meter: float | None = None
) -> dict[str, Any]:
    """A cell of a table: what it sorts by, what it says, a colour chip, a bar of 0 to 1."""
    return {"value": "" if value is None else value, "text": text, "color": color, "meter": meter}


def matrix(evaluation: Evaluation) -> dict[str, Any] | None:
    """The confusion matrix of the classes that occur, rows normalised; None without truth."""
    if not evaluation.segmentation.images:
        return None
    return confusion_rows(evaluation.segmentation.matrix.counts, evaluation.ontology.names)


def confusion_rows(counts: NDArray[np.int64], names: list[str]) -> dict[str, Any]:
    """A confusion matrix of the classes that occur, rows normalised.

    Args:
        counts: Rows = truth, columns = prediction, the last one "no class"; (N, N + 1).
        names: The N class names.
    """
    n = len(names)
    occurs = [i for i in range(n) if counts[i].sum() or counts[:, i].sum()]
    columns = occurs + ([n] if counts[:, n].sum() else [])
    rows = []
    for i in occurs:
        true = int(counts[i].sum())
        if not true:
            continue
        cells = []
        for j in columns:
            share = float(counts[i, j]) / true
            text = "" if share == 0 else "·" if share < 0.0005 else f"{100 * share:.1f}"
            cells.append({"share": share, "text": text, "right": i == j, "pixels": f"{int(counts[i, j]):,}"})
        rows.append({"name": names[i], "cells": cells})
    return {"columns": [names[j] if j < n else "no class" for j in columns], "rows": rows}


def costmap_rows(metrics: Metrics) -> list[tuple[str, str, str]]:
    """The figures against the true grid, with their definitions."""
    c = metrics.get("costmap")
    if not c or not c["frames"]:
        return []
    reach, tolerance = f"{c['range_m']:g} m", f"{c['tolerance_m']:g} m"
    rows = [
        (
            "Known",
            c["known_share"],
            f"of {c['cells']:,} cells within {reach} of the vehicle, over {c['frames']} frames",
        ),
        (
            "Free precision",
            c["free_precision"],
            f"of cells that cost less than {c['free_below']}, those that truly do",
        ),
        (
            "Lethal recall",
            c["lethal_recall"],
            f"of known true obstacles, those with a lethal cell within {tolerance}",
        ),
        (
            "Lethal precision",
            c["lethal_precision"],
            f"of lethal cells, those with a true obstacle within {tolerance}",
        ),
        (
            "Lethal as free",
            c["lethal_as_free"],
            "of known true obstacle cells, those called drivable: the dangerous ones",
        ),
    ]
    table = [(name, " ".join(percent(value)), note) for name, value, note in rows]
    error = c["mean_abs_error"]
    return [
        *table,
        ("Mean error", "–" if error is None else f"{error:.1f}", "of the cost, 0 to 100, over known cells"),
    ]


def identity(metrics: Metrics) -> list[tuple[str, str]]:
    """What ran on what, for whoever asks later."""
    bag, bundle, engine, env = metrics["bag"], metrics["bundle"], metrics["engine"], metrics["environment"]
    topics = ", ".join(f"{role} {name}" for role, name in bag["topics"].items() if name)
    hashes = ", ".join(f"{name} {digest[:12]}…" for name, digest in bundle["files"].items())
    source = ", ".join(f"{k} {_short(v)}" for k, v in bundle["source"].items())
    settings = ", ".join(f"{k} {v}" for k, v in metrics["settings"].items() if v not in ("", None, {}))
    rows = [
        ("Bundle", f"{bundle['name']}, built for {bundle['backend']}, {bundle['precision']}"),
        ("Files", hashes),
        ("Made from", source),
        ("Engine", ", ".join(f"{k} {v}" for k, v in engine.items() if v)),
        ("Bag", f"{bag['name']}, {bag['messages']:,} messages"),
        ("Topics", topics),
        ("Settings", settings),
        ("Machine", f"{env['system']} {env['machine']}, Python {env['python']}"),
        ("Took", f"{metrics['seconds']:.1f} s, {metrics['frames_per_second']:.1f} frames/s with everything"),
    ]
    return [(name, value) for name, value in rows if value]


def _short(value: object) -> str:
    if isinstance(value, dict):
        # A whole recipe says too much here; the manifest has it.
        return str(value.get("name", f"({len(value)} settings)"))
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text


MAX_DROPS = 200
"""Lines of the list of what was dropped."""


def drop_rows(drops: Sequence[DropRow]) -> list[dict[str, Any]]:
    """What gave nothing, and when; at most ``MAX_DROPS``."""
    return [
        {
            "index": d.index,
            "time_s": d.time_s,
            "time": "–" if d.time_s is None else f"{d.time_s:.2f} s",
            "cause": d.cause.replace("_", " "),
            "reason": d.reason,
        }
        for d in drops[:MAX_DROPS]
    ]
