# SPDX-License-Identifier: Apache-2.0
"""Small charts as inline SVG: no library in the page, colours from its style sheet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_TRACK_POINTS = 600
_TRACK_HEIGHT = 100.0
_BINS = 32
_WIDTH, _HEIGHT, _FOOT = 560, 170, 22


def track(values: Sequence[float | None], low: float, high: float, color: str) -> str:
    """A line over all frames that fills its box; gaps where there is no value.

    Args:
        values: One for each frame.
        low: Value at the bottom.
        high: Value at the top.
        color: CSS colour.
    """
    span = (high - low) or 1.0
    step = max(1, -(-len(values) // _TRACK_POINTS))
    width = max(1, len(values) - 1)
    runs: list[list[str]] = [[]]
    for start in range(0, len(values), step):
        group = [v for v in values[start : start + step] if v is not None]
        if not group:
            runs.append([])
            continue
        # Of several frames in one point the extremes are kept: a single bad frame must not vanish.
        value = min(group) if group[0] - min(group) >= max(group) - group[0] else max(group)
        y = _TRACK_HEIGHT * (1 - (min(max(value, low), high) - low) / span)
        runs[-1].append(f"{start / width * 1000:.1f},{6 + 0.88 * y:.1f}")
    parts = []
    for run in (r for r in runs if r):
        points = run if len(run) > 1 else [run[0], run[0].replace(",", ".5,", 1)]
        first, last = points[0].split(",")[0], points[-1].split(",")[0]
        parts.append(
            f'<polygon points="{first},100 {" ".join(points)} {last},100" fill="{color}" opacity=".13"/>'
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{color}" stroke-width="1.6" '
            'stroke-linejoin="round" vector-effect="non-scaling-stroke"/>'
        )
    return f'<svg viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true">{"".join(parts)}</svg>'


def histogram(values: Sequence[float], unit: str, marks: dict[str, float]) -> str:
    """Bars of a distribution, cut at a little over its 99.5th percentile, with named vertical marks."""
    data = np.asarray(values, np.float64)
    low, high = float(data.min()), float(np.percentile(data, 99.5))
    low, high = (low, high * 1.04) if high > low else (low - 0.5, low + 0.5)
    counts, _ = np.histogram(np.minimum(data, high), bins=_BINS, range=(low, high))
    top = max(1, int(counts.max()))
    bar = _WIDTH / _BINS

    def x_of(value: float) -> float:
        return (min(value, high) - low) / (high - low) * _WIDTH

    area = _HEIGHT - _FOOT - 16
    parts = [
        f'<rect x="{i * bar + 1:.1f}" y="{16 + area * (1 - n / top):.1f}" width="{bar - 2:.1f}" '
        f'height="{area * n / top:.1f}" rx="2"><title>{n} frames</title></rect>'
        for i, n in enumerate(counts)
        if n
    ]
    base = _HEIGHT - _FOOT
    parts.append(f'<line x1="0" x2="{_WIDTH}" y1="{base}" y2="{base}"/>')
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        value = low + share * (high - low)
        said = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
        parts.append(
            f'<text x="{share * _WIDTH:.0f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{said} {unit}</text>'
        )
    last = -1e9
    for name, value in sorted(marks.items(), key=lambda item: item[1]):
        x = x_of(value)
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="14" y2="{base}"/>')
        if x - last > 34:
            anchor = "end" if x > _WIDTH - 30 else "start" if x < 30 else "middle"
            parts.append(f'<text class="mark-label" x="{x:.1f}" y="10" text-anchor="{anchor}">{name}</text>')
            last = x
    described = ", ".join(f"{name} {value:.1f} {unit}" for name, value in marks.items())
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="100%" role="img" '
        f'aria-label="histogram: {described}">{"".join(parts)}</svg>'
    )
