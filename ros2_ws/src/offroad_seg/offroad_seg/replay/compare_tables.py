# SPDX-License-Identifier: Apache-2.0
"""A comparison as rows: for the terminal and for ``compare.html``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offroad_seg.replay.compare_sums import better

if TYPE_CHECKING:
    from offroad_seg.replay.compare import Comparison
    from offroad_seg.replay.compare_bootstrap import Interval

# Key → name, and how it is written: a share in per cent, or as it is with a unit.
_ROWS: tuple[tuple[str, str, str], ...] = (
    ("miou", "mIoU", "%"),
    ("miou_present", "mIoU of true classes", "%"),
    ("mean_dice", "Mean Dice", "%"),
    ("pixel_accuracy", "Pixel accuracy", "%"),
    ("boundary_iou", "Boundary IoU", "%"),
    ("ece", "Calibration error", "%"),
    ("costmap.free_precision", "Free is free", "%"),
    ("costmap.lethal_recall", "Lethal found", "%"),
    ("costmap.lethal_precision", "Lethal is lethal", "%"),
    ("costmap.lethal_as_free", "Lethal called free", "%"),
    ("costmap.known_share", "Scored cells known", "%"),
    ("costmap.mean_abs_error", "Mean cost error", ""),
    ("driven_path.false_lethal_rate", "Driven, called lethal", "%"),
    ("driven_path.unknown_rate", "Driven, unknown", "%"),
    ("costmap_stability.flip_share", "Cells that flip", "%"),
    ("flicker_compensated", "Flicker, motion out", "%"),
    ("flicker", "Labels that change", "%"),
    ("mean_confidence", "Mean confidence", "%"),
    ("ood_share", "Unlike training", "%"),
    ("costmap_known_share", "Costmap known", "%"),
    ("latency_ms.total.mean", "Latency, mean", "ms"),
)
BETTER, WORSE, OPEN, OTHER = "better", "worse", "open", "other"


@dataclass(frozen=True)
class Cell:
    """One result's place in a row.

    Attributes:
        value: The figure; None where it is not defined.
        text: The same in words.
        change: Difference to the first result in words; empty for the first.
        between: Its interval in words.
        state: ``BETTER`` or ``WORSE`` where the whole interval says so, ``OTHER`` where it differs and neither is
            better, ``OPEN`` where no difference shows.
        bar: (low, value, high) as shares of the widest change in the table, −1 to 1; None for the first.
    """

    value: float | None
    text: str
    change: str = ""
    between: str = ""
    state: str = OPEN
    bar: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Row:
    """One figure of all results."""

    key: str
    name: str
    cells: tuple[Cell, ...]
    color: tuple[int, int, int] | None = None


def rows(comparison: Comparison) -> list[Row]:
    """The figures that some result has."""
    return _rows(comparison, [row for row in _ROWS if _defined(comparison, row[0])])


def class_rows(comparison: Comparison) -> list[Row]:
    """The IoU of each class that occurs."""
    names = comparison.aligned.results[0].layout.names
    wanted = [(f"per_class.{name}.iou", name, "%") for name in names]
    return _rows(comparison, [row for row in wanted if _defined(comparison, row[0])])


def text_table(comparison: Comparison) -> list[str]:
    """For the terminal."""
    labels = comparison.labels
    shown = [*rows(comparison), *class_rows(comparison)]
    names = [f"IoU {r.name}" if r.key.startswith("per_class.") else r.name for r in shown]
    wide = max([len(n) for n in names] + [6])
    columns = [max(12, len(label)) for label in labels]
    head = "  ".join(label.rjust(w) for label, w in zip(labels, columns, strict=True))
    lines = [f"{'':<{wide}}  {head}   difference, 95 % interval"]
    for name, row in zip(names, shown, strict=True):
        values = "  ".join(c.text.rjust(w) for c, w in zip(row.cells, columns, strict=True))
        changes = "; ".join(
            f"{c.change} {c.between}{_MARKS[c.state]}" if c.between else c.change for c in row.cells[1:]
        )
        lines.append(f"{name:<{wide}}  {values}   {changes}")
    return lines


_MARKS = {BETTER: " better", WORSE: " worse", OPEN: "", OTHER: " differs"}


def _defined(comparison: Comparison, key: str) -> bool:
    return any(figures.get(key) is not None for figures in comparison.figures)


def _rows(comparison: Comparison, wanted: list[tuple[str, str, str]]) -> list[Row]:
    widest: dict[str, float] = {}
    for key, _, unit in wanted:
        for found in comparison.differences:
            reach = max((abs(v) for v in (found[key].low, found[key].high) if math.isfinite(v)), default=0.0)
            widest[unit] = max(widest.get(unit, 0.0), reach)
    return [
        Row(
            key,
            name,
            (
                Cell(comparison.figures[0][key], _said(comparison.figures[0][key], unit)),
                *(
                    _cell(key, unit, figures[key], found[key], widest[unit])
                    for figures, found in zip(comparison.figures[1:], comparison.differences, strict=True)
                ),
            ),
        )
        for key, name, unit in wanted
    ]


def _cell(key: str, unit: str, value: float | None, found: Interval, widest: float) -> Cell:
    if not math.isfinite(found.value):
        return Cell(value, _said(value, unit), "–")
    sign, way = found.sign(), better(key)
    state = OPEN if sign == 0 else OTHER if way == 0 else BETTER if sign == way else WORSE
    scale = 1.0 / widest if widest > 0 else 0.0
    bar = (found.low * scale, found.value * scale, found.high * scale)
    between = f"[{_signed(found.low, unit)}, {_signed(found.high, unit)}]"
    return Cell(value, _said(value, unit), _signed(found.value, unit), between, state, bar)


def _said(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.2f} %" if unit == "%" else f"{value:.2f} {unit}".rstrip()


def _signed(value: float, unit: str) -> str:
    number = 100 * value if unit == "%" else value
    text = f"{number:+.2f}"
    # No sign before a nought that only rounding made.
    return "0.00" if float(text) == 0 else text


def gate_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """The gates, those that failed first."""
    ordered = sorted(comparison.verdicts, key=lambda v: v.state == "passed")
    return [{"gate": v.gate.text, "label": v.label, "state": v.state, "words": v.words} for v in ordered]
