# SPDX-License-Identifier: Apache-2.0
"""A sweep as a table and as a picture."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from offroad_seg.resources import replacing_file, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import optuna

    from offroad_seg_train.training.search_space import Range

_COLORS = {"COMPLETE": "tab:orange", "PRUNED": "tab:gray", "FAIL": "tab:red"}
_MEANINGS = {"COMPLETE": "to its end", "PRUNED": "cut short", "FAIL": "failed"}
_COLUMNS = 3


def write_table(study: optuna.Study, ranges: Sequence[Range], path: Path) -> None:
    """One line a trial: number, state, figure, epochs, seconds, settings, and what went wrong."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["trial", "state", "value", "epochs", "seconds", *(r.key for r in ranges), "error"])
    for trial in study.trials:
        settings = trial.user_attrs.get("settings", {})
        table.writerow(
            [
                trial.number + 1,
                trial.state.name.lower(),
                "" if trial.value is None else f"{trial.value:.6f}",
                max(trial.intermediate_values, default=""),
                trial.user_attrs.get("seconds", ""),
                *(settings.get(r.key, "") for r in ranges),
                trial.user_attrs.get("error", ""),
            ]
        )
    write_text(path, text.getvalue())


def draw_sweep(study: optuna.Study, ranges: Sequence[Range], figure_name: str, path: Path) -> None:
    """The figure over the trials, and over each setting.

    Args:
        study: Its trials; one that was cut short is drawn at its last figure.
        ranges: What was varied.
        figure_name: Of the vertical axes.
        path: The PNG to write.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows = 1 + -(-len(ranges) // _COLUMNS)
    figure = Figure(figsize=(4.2 * _COLUMNS, 3.4 * rows), layout="constrained")
    grid = figure.add_gridspec(rows, _COLUMNS)
    history = figure.add_subplot(grid[0, :])
    for state, color in _COLORS.items():
        points = [(t.number + 1, _value(t)) for t in study.trials if t.state.name == state]
        shown = [(x, y) for x, y in points if y is not None]
        if shown:
            history.plot(*zip(*shown, strict=True), "o", color=color, label=_MEANINGS[state])
    best = _running_best(study)
    if best:
        history.step(*zip(*best, strict=True), where="post", color="tab:blue", label="best so far")
    history.set_xlabel("trial")
    history.set_ylabel(figure_name)
    history.xaxis.set_major_locator(MaxNLocator(integer=True))
    history.grid(alpha=0.3)
    if history.get_legend_handles_labels()[0]:
        history.legend(fontsize="small")
    for index, one in enumerate(ranges):
        _draw_setting(
            figure.add_subplot(grid[1 + index // _COLUMNS, index % _COLUMNS]), study, one, figure_name
        )
    with replacing_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def _draw_setting(axes: Any, study: optuna.Study, one: Range, figure_name: str) -> None:
    for state, color in _COLORS.items():
        points = [
            (t.params[one.key], _value(t))
            for t in study.trials
            if t.state.name == state and one.key in t.params
        ]
        shown = [(x, y) for x, y in points if y is not None]
        if not shown:
            continue
        xs = [one.choices.index(x) for x, _ in shown] if one.choices else [x for x, _ in shown]
        axes.plot(xs, [y for _, y in shown], "o", color=color, alpha=0.8)
    if one.choices:
        axes.set_xticks(range(len(one.choices)), one.choices, rotation=20, ha="right")
        axes.set_xlim(-0.5, len(one.choices) - 0.5)
    elif one.log:
        axes.set_xscale("log")
    axes.set_xlabel(one.key)
    axes.set_ylabel(figure_name)
    axes.grid(alpha=0.3)


def _value(trial: optuna.trial.FrozenTrial) -> float | None:
    if trial.value is not None:
        return float(trial.value)
    values = trial.intermediate_values
    return float(values[max(values)]) if values else None


def _running_best(study: optuna.Study) -> list[tuple[int, float]]:
    best: list[tuple[int, float]] = []
    larger = study.direction.name == "MAXIMIZE"
    for trial in study.trials:
        if trial.value is None:
            continue
        if not best or (trial.value > best[-1][1] if larger else trial.value < best[-1][1]):
            best.append((trial.number + 1, float(trial.value)))
    if best:
        best.append((study.trials[-1].number + 1, best[-1][1]))
    return best
