# SPDX-License-Identifier: Apache-2.0
"""Charts of the audit as inline SVG, beside those that the replay report has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_WIDTH, _HEIGHT = 560, 300
_LEFT, _FOOT = 58, 24
_BARS_HEIGHT = 170


def height_stack(
    rows_NR: NDArray[np.float64], names: Sequence[str], colors: Sequence[tuple[int, int, int]]
) -> str:
    """What lies at which height of the image: the classes' shares of each band of rows, stacked from left to right.

    Args:
        rows_NR: Share of each band that each class takes, from the top.
        names: Of the classes.
        colors: Of the classes, RGB.
    """
    wide, high = _WIDTH - _LEFT, _HEIGHT - _FOOT
    bands = rows_NR.shape[1]
    y_R = (np.arange(bands) + 0.5) / bands * high
    y_R[0], y_R[-1] = 0, high
    edges_NR = np.concatenate([np.zeros((1, bands)), np.cumsum(rows_NR, axis=0)])
    parts = [f'<rect x="{_LEFT}" y="0" width="{wide}" height="{high}" class="hole"/>']
    for n, (name, (r, g, b)) in enumerate(zip(names, colors, strict=True)):
        if not rows_NR[n].any():
            continue
        there = [f"{_LEFT + wide * edges_NR[n, k]:.1f},{y_R[k]:.1f}" for k in range(bands)]
        back = [f"{_LEFT + wide * edges_NR[n + 1, k]:.1f},{y_R[k]:.1f}" for k in reversed(range(bands))]
        parts.append(
            f'<polygon points="{" ".join([*there, *back])}" fill="rgb({r},{g},{b})">'
            f"<title>{_escape(name)}</title></polygon>"
        )
    for share, word in ((0.0, "top"), (0.5, "middle"), (1.0, "bottom")):
        y = share * high
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text x="{_LEFT - 8}" y="{min(max(y + 4, 11), high):.0f}" text-anchor="end">{word}</text>'
        )
    for share in (0, 25, 50, 75, 100):
        anchor = "start" if share == 0 else "end" if share == 100 else "middle"
        x = _LEFT + wide * share / 100
        parts.append(f'<text x="{x:.0f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{share} %</text>')
    described = "shares of the classes from the top of the image to its bottom"
    return _svg(_HEIGHT, described, parts, "stack")


def bars(counts: Mapping[str, int], what: str) -> str:
    """One bar for each entry, with its number on top."""
    top = max(counts.values(), default=1) or 1
    step = _WIDTH / max(1, len(counts))
    base, area = _BARS_HEIGHT - _FOOT + 4, _BARS_HEIGHT - _FOOT - 16
    parts = []
    for n, (name, number) in enumerate(counts.items()):
        height = area * number / top
        middle = (n + 0.5) * step
        width = min(64.0, 0.74 * step)
        parts.append(
            f'<rect x="{middle - width / 2:.1f}" y="{base - height:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}" rx="3">'
            f"<title>{_escape(name)}: {number:,}</title></rect>"
            f'<text x="{middle:.1f}" y="{base - height - 4:.1f}" text-anchor="middle">{number:,}</text>'
            f'<text x="{middle:.1f}" y="{_BARS_HEIGHT - 4}" text-anchor="middle">{_escape(name)}</text>'
        )
    parts.append(f'<line x1="0" x2="{_WIDTH}" y1="{base}" y2="{base}"/>')
    return _svg(_BARS_HEIGHT, what, parts, "bars")


def _svg(height: int, described: str, parts: Sequence[str], kind: str) -> str:
    return (
        f'<svg class="chart {kind}" viewBox="0 0 {_WIDTH} {height}" width="100%" role="img" '
        f'aria-label="{_escape(described)}">{"".join(parts)}</svg>'
    )


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
