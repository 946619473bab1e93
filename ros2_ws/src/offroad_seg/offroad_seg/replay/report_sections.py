# SPDX-License-Identifier: Apache-2.0
"""Sections that not every report has: costmap against truth, driven path, stability, other bundle, cameras."""

from __future__ import annotations

from typing import Any

from offroad_seg.replay.report_tables import costmap_rows, number, percent

Metrics = dict[str, Any]
Section = dict[str, Any]


def sections(metrics: Metrics) -> list[Section]:
    """Each with ``title``, ``intro``, ``rows`` of name, value and meaning, and a table of ``head`` and ``body``."""
    made = (
        _section("Costmap against the true grid", rows=costmap_rows(metrics)),
        _driven(metrics),
        _stability(metrics),
        _agreement(metrics),
        _cameras(metrics),
    )
    return [s for s in made if s["rows"] or s["body"]]


def map_marks(metrics: Metrics) -> list[dict[str, Any]]:
    """Cells to mark on the map: those that were wrong along the drive, and those that changed their mind."""
    driven, stability = metrics.get("driven_path") or {}, metrics.get("costmap_stability") or {}
    wrong = [
        {
            "x": c["x"],
            "y": c["y"],
            "kind": "driven",
            "text": f"driven over, but called lethal in {_times(c['frames'])}",
        }
        for c in driven.get("worst", [])
    ]
    flips = [
        {"x": c["x"], "y": c["y"], "kind": "flips", "text": f"turned free or lethal {c['flips']} times"}
        for c in stability.get("worst", [])
        if c["flips"] > 1
    ]
    return wrong + flips


def _section(
    title: str,
    *,
    intro: str = "",
    rows: list[tuple[str, str, str]] | None = None,
    head: list[str] | None = None,
    body: list[list[str]] | None = None,
) -> Section:
    return {"title": title, "intro": intro, "rows": rows or [], "head": head or [], "body": body or []}


def _driven(metrics: Metrics) -> Section:
    found = metrics.get("driven_path")
    title = "The ground that was driven over"
    if not found or not found["looks"]:
        return _section(title)
    return _section(
        title,
        intro=f"{found['metres']:.0f} m of driving: every cell under the vehicle was free. "
        "What the costmap said before, by how far away the vehicle was.",
        head=["Distance", "Unknown", "Lethal, of known", "Looks"],
        body=[
            [
                f"{row['from_m']:g} – {row['to_m']:g} m",
                _share(row["unknown_rate"]),
                _share(row["false_lethal_rate"]),
                f"{row['looks']:,}",
            ]
            for row in (*found["by_distance"], found | {"from_m": 2, "to_m": 10})
        ],
    )


def _stability(metrics: Metrics) -> Section:
    found = metrics.get("costmap_stability")
    if not found or not found["decided_cells"]:
        return _section("")
    return _section(
        "Costmap over time",
        rows=[
            (
                "Flips",
                f"{found['flips']:,}",
                "cells that turned from free to lethal or back, over all frames",
            ),
            ("To lethal", f"{found['to_lethal']:,}", "seen late, or a false alarm"),
            ("To free", f"{found['to_free']:,}", "an obstacle given up: look at these"),
            ("Share", _share(found["flip_share"], 3), "of the free and lethal cells of a frame"),
        ],
    )


def _agreement(metrics: Metrics) -> Section:
    found = metrics.get("agreement")
    if not found:
        return _section("")
    worst = ", ".join(
        f"{w.get('bag', '')} {w['index']} ({_share(w['pixels'])})".strip() for w in found["worst_frames"]
    )
    return _section(
        "Against the other bundle",
        rows=[
            ("Same label", _share(found["pixels"]), f"of all pixels, over {found['frames']} frames"),
            ("mIoU", number(found["miou"]), "with the other bundle in the place of the truth"),
            ("Least in", worst, "frames, and the share of their pixels that agree"),
        ],
    )


def _cameras(metrics: Metrics) -> Section:
    cameras = metrics.get("cameras")
    if not cameras:
        return _section("")
    body = []
    for name, own in cameras.items():
        total = own["latency_ms"].get("total", {})
        body.append(
            [
                name,
                str(own["frames"]),
                str(own["frames_dropped"]),
                number(own.get("miou_present")),
                _share(own["mean_confidence"]),
                _share(own.get("flicker_compensated")),
                number(total.get("p50"), 1),
                number(total.get("p99"), 1),
            ]
        )
    head = ["Camera", "Frames", "Dropped", "mIoU", "Confidence", "Flicker", "p50, ms", "p99, ms"]
    return _section("Each camera", head=head, body=body)


def _share(value: float | None, digits: int = 1) -> str:
    return " ".join(percent(value, digits)).strip()


def _times(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"
