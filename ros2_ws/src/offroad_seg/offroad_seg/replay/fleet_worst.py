# SPDX-License-Identifier: Apache-2.0
"""Where to look first in an archive of drives: the worst frames and places of all bags, each with its bag's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offroad_seg.replay.report_measures import worst_measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offroad_seg.replay.rows import FrameRow

WORST = 10
APART_S = 1.0
"""Frames of one bag that are nearer than this show nearly the same: the worst of them is listed."""


def worst_frames(rows: Sequence[FrameRow]) -> list[dict[str, Any]]:
    """The most troubled frames, the worst first.

    Returns:
        ``bag``, ``index`` of the image in it, ``camera``, ``measure`` that is worst and its ``value`` and ``unit``.
    """
    found = [(t, row, m) for row in rows for t, m in [worst_measure(row)] if t is not None and t > 0 and m]
    found.sort(key=lambda one: (-one[0], one[1].bag, one[1].index))
    chosen: list[FrameRow] = []
    listed = []
    for _, row, measure in found:
        if any(c.bag == row.bag and abs(c.time_s - row.time_s) < APART_S for c in chosen):
            continue
        chosen.append(row)
        listed.append(
            {
                "bag": row.bag,
                "index": row.index,
                "camera": row.camera,
                "measure": measure.name,
                "value": measure.read(row),
                "unit": measure.unit,
            }
        )
        if len(listed) == WORST:
            break
    return listed


def worst_places(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Cells that were driven over although called lethal, and cells that changed their mind more than once.

    Returns:
        ``bag``, ``x`` and ``y`` in metres of that bag's odometry, and ``what`` in words.
    """
    driven, stability = metrics.get("driven_path") or {}, metrics.get("costmap_stability") or {}
    wrong = [
        {**_at(cell), "what": f"driven over, but called lethal in the approach {_times(cell['frames'])}"}
        for cell in driven.get("worst", [])
    ]
    flips = [
        {**_at(cell), "what": f"turned free or lethal {_times(cell['flips'])}"}
        for cell in stability.get("worst", [])
        if cell["flips"] > 1
    ]
    return wrong + flips


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def _at(cell: dict[str, Any]) -> dict[str, Any]:
    return {key: cell[key] for key in ("bag", "x", "y")}
