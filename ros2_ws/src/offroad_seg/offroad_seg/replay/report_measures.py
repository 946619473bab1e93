# SPDX-License-Identifier: Apache-2.0
"""What is measured of each frame, as the report's graphs, its map and its choice of worst frames use it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offroad_seg.replay.rows import FrameRow

    Read = Callable[[FrameRow], "float | None"]

MAX_POINTS = 4000
"""Points of a graph in the page; a longer drive shows the worst frame of every few."""


@dataclass(frozen=True)
class Measure:
    """One figure of a frame.

    Attributes:
        key: Short name in the page's data.
        name: What a person reads.
        unit: ``%`` for a share, ``ms``, or nothing for a number from 0 to 1.
        read: The figure of a frame, None where it has none.
        color: Of its graph, CSS.
        good: Where a frame begins to be troubled; None where the figure alone says nothing about a fault.
        bad: Where it is as bad as it gets; below ``good`` where little is bad.
        whole: The graph shows all of 0 to 1.
        picks: Whether it chooses the worst frames and colours the map.
    """

    key: str
    name: str
    unit: str
    read: Read
    color: str
    good: float | None = None
    bad: float | None = None
    whole: bool = False
    picks: bool = True

    def trouble(self, row: FrameRow) -> float | None:
        """0 at ``good``, 1 at ``bad``, and on beyond both; None where the frame has no such figure."""
        value = self.read(row)
        if value is None or self.good is None or self.bad is None:
            return None
        return (value - self.good) / (self.bad - self.good)

    @property
    def less_is_worse(self) -> bool:
        """Whether the lowest of several values is the one to show."""
        return self.good is not None and self.bad is not None and self.bad < self.good


def _field(name: str) -> Read:
    return lambda row: getattr(row, name)


def _unknown(row: FrameRow) -> float | None:
    return None if row.known_share is None else 1.0 - row.known_share


MEASURES = (
    Measure("miou", "mIoU", "", _field("miou"), "var(--good)", 0.6, 0.2, whole=True),
    Measure("confidence", "Confidence", "%", _field("confidence"), "var(--accent)", 0.85, 0.5, whole=True),
    Measure("ood", "Unlike the training", "%", _field("ood_share"), "var(--bad)", 0.05, 0.30),
    Measure("flicker", "Flicker", "%", _field("flicker_compensated"), "var(--bad)", 0.10, 0.40),
    Measure("agreement", "Agreement", "%", _field("agreement"), "var(--good)", 0.90, 0.50, whole=True),
    Measure("driven", "Driven, but lethal", "%", _field("driven_lethal"), "var(--bad)", 0.02, 0.30),
    Measure("flips", "Cells flipped", "%", _field("flips"), "var(--soft)", 0.01, 0.10, picks=False),
    Measure("changed", "Labels changed", "%", _field("changed"), "var(--soft)"),
    Measure("unknown", "Costmap unknown", "%", _unknown, "var(--soft)", whole=True),
)
"""``good`` and ``bad`` are rules of thumb; docs/replay.md lists them."""


def measures(period_ms: float | None) -> tuple[Measure, ...]:
    """All of them, with latency judged by the camera's period where that is known."""
    good, bad = (None, None) if period_ms is None else (period_ms, 2 * period_ms)
    latency = Measure("latency", "Latency", "ms", _field("latency_ms"), "var(--accent)", good, bad)
    return (*MEASURES, latency)


def worst_measure(row: FrameRow, among: Sequence[Measure] = MEASURES) -> tuple[float | None, Measure | None]:
    """How troubled a frame is by its worst measure, and which that is; None and None where nothing is known."""
    found = [(t, m) for m in among if m.picks and (t := m.trouble(row)) is not None]
    return max(found, key=lambda pair: pair[0]) if found else (None, None)


def camera_period_ms(rows: Sequence[FrameRow]) -> float | None:
    """Milliseconds between two images of the camera: the median over the drive, dropped frames counted."""
    by_camera: dict[str, list[FrameRow]] = {}
    for row in rows:
        by_camera.setdefault(row.camera, []).append(row)
    steps = []
    for own in by_camera.values():
        for before, after in pairwise(own):
            if after.bag == before.bag and after.time_s > before.time_s:
                # Images of several cameras are numbered together.
                images = max(1, round((after.index - before.index) / len(by_camera)))
                steps.append((after.time_s - before.time_s) / images)
    return 1000.0 * float(np.median(steps)) if steps else None


def gaps_ms(rows: Sequence[FrameRow]) -> list[float | None]:
    """Milliseconds since the frame before that gave labels; None for the first, and where time ran back."""
    gaps: list[float | None] = [None]
    for before, after in pairwise(rows):
        step = 1000.0 * (after.time_s - before.time_s)
        gaps.append(step if step > 0 else None)
    return gaps


def thinned(values: Sequence[float | None], stride: int, *, low: bool) -> list[float | None]:
    """The worst of every ``stride`` values: the lowest, or the highest."""
    if stride <= 1:
        return list(values)
    pick = min if low else max
    groups = (values[start : start + stride] for start in range(0, len(values), stride))
    return [pick(there) if (there := [v for v in g if v is not None]) else None for g in groups]


def stride_for(count: int, points: int = MAX_POINTS) -> int:
    """Frames that share one point."""
    return max(1, -(-count // points))
