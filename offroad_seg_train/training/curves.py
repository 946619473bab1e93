# SPDX-License-Identifier: Apache-2.0
"""The curves of a run as one picture."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from offroad_seg.resources import replacing_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PANELS = (  # title, (key, label, line style)
    ("Loss", (("loss", "", "-"),)),
    ("IoU", (("miou", "miou", "-"), ("miou_batch_mean", "miou_batch_mean", ":"))),
    ("Dice", (("mean_dice", "", "-"),)),
    ("Pixel accuracy", (("pixel_accuracy", "", "-"),)),
)
_COLORS = {"train": "tab:gray", "val": "tab:orange"}


def draw_curves(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Loss, IoU, Dice and accuracy over the epochs, training beside validation; dotted where a phase begins.

    Args:
        rows: Lines of ``metrics.jsonl``.
        path: The PNG to write.
    """
    # Figure without pyplot: no global state, no display, usable from any thread.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(11, 7.5), layout="constrained")
    epochs = [row["epoch"] for row in rows]
    for axes, (title, keys) in zip(figure.subplots(2, 2).flat, _PANELS, strict=True):
        for part, color in _COLORS.items():
            for key, label, style in keys:
                values = [row[part][key] for row in rows]
                axes.plot(
                    epochs,
                    [float("nan") if v is None else v for v in values],
                    style,
                    color=color,
                    label=f"{part} {label}".strip(),
                    marker="." if len(rows) < 40 else None,
                )
        for row, after in pairwise(rows):
            if row.get("phase", 1) != after.get("phase", 1):
                axes.axvline(row["epoch"] + 0.5, color="tab:blue", linestyle=":", linewidth=1)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
        if title != "Loss":
            axes.set_ylim(0, 1)
    with replacing_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
