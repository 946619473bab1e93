# SPDX-License-Identifier: Apache-2.0
"""The validation figure that a run is judged by: which checkpoint is the best, and when to stop.

All of it follows from the history of the run, so that nothing has to be kept for resuming.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

FIGURES = ("miou", "miou_present", "miou_batch_mean", "mean_dice", "pixel_accuracy", "loss")
CLASS_FIGURES = ("iou", "dice", "precision", "recall")
_CLASS = "per_class."


@dataclass(frozen=True)
class EarlyStoppingConfig:
    """When a run that gets no better ends before its last epoch. In a run of phases, the next phase begins.

    Attributes:
        patience: Epochs without a better figure that are waited for; 0 never stops early.
        min_delta: By how much a figure must be better to count.
    """

    patience: int = 0
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        if self.patience < 0 or not self.min_delta >= 0:
            raise InputError(
                f"patience {self.patience} or min_delta {self.min_delta} is below 0",
                where="early_stopping",
                mend="0 or more",
            )


class Monitor:
    """Reads one figure from the lines of ``metrics.jsonl``.

    Args:
        name: ``miou`` and the like, or ``per_class.<name>.iou``.

    Attributes:
        larger_is_better: False for the loss alone.

    Raises:
        InputError: There is no such figure.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.larger_is_better = name != "loss"
        if name in FIGURES or (name.startswith(_CLASS) and name.rpartition(".")[2] in CLASS_FIGURES):
            return
        raise InputError(
            f"no validation figure '{name}'",
            where="monitor",
            mend=f"one of: {', '.join(FIGURES)}; or per_class.NAME.{{{','.join(CLASS_FIGURES)}}}",
        )

    def check_classes(self, names: Sequence[str]) -> None:
        """Refuse a class that the ontology does not have.

        Raises:
            InputError: There is no such class.
        """
        if self.name.startswith(_CLASS) and self._class_name() not in names:
            raise InputError(
                f"no class '{self._class_name()}'", where="monitor", mend=f"one of: {', '.join(names)}"
            )

    def value(self, row: dict[str, Any]) -> float | None:
        """The figure of an epoch; None where validation cannot give it."""
        figures = row["val"]
        if self.name.startswith(_CLASS):
            figures = figures["per_class"][self._class_name()]
        found: float | None = figures[self.name.rpartition(".")[2]]
        return found

    def values(self, rows: Sequence[dict[str, Any]]) -> list[float]:
        """The figure of each epoch; what validation cannot give is worse than everything."""
        worst = -math.inf if self.larger_is_better else math.inf
        found = [self.value(row) for row in rows]
        return [worst if value is None else value for value in found]

    def is_better(self, value: float | None, best: float | None) -> bool:
        """Whether a figure replaces the best so far; as long as there is none, every epoch is the best."""
        if best is None or value is None:
            return best is None
        return value > best if self.larger_is_better else value < best

    def should_stop(self, rows: Sequence[dict[str, Any]], config: EarlyStoppingConfig) -> bool:
        """Whether the patience is at its end.

        Args:
            rows: The epochs of the run, or of its phase, so far.
            config: The patience.
        """
        if not config.patience:
            return False
        sign = 1 if self.larger_is_better else -1
        best, waited = -math.inf, 0
        for value in self.values(rows):
            if sign * value > best + config.min_delta:
                best, waited = sign * value, 0
            else:
                waited += 1
        return waited >= config.patience

    def _class_name(self) -> str:
        return self.name[len(_CLASS) :].rpartition(".")[0]
