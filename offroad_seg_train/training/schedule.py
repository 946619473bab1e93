# SPDX-License-Identifier: Apache-2.0
"""How the learning rate changes: a pure function of the step and of the figures so far.

Nothing here keeps state, so that a resumed run goes on as if it had never stopped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from offroad_seg.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEDULES = ("constant", "cosine", "cosine_restarts", "poly", "one_cycle", "plateau")
_POLY_POWER = 0.9


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rates change; each group keeps its own ratio. In a run of phases it begins anew with each.

    Attributes:
        name: ``constant``; ``cosine`` falls step by step to ``floor`` at the end of the run; ``cosine_restarts`` falls
            epoch by epoch and starts anew every ``restart_epochs`` (torch's CosineAnnealingWarmRestarts); ``poly``
            falls as (1 − step / steps)^0.9, as DeepLab trains; ``one_cycle`` climbs for 30 % of the steps and falls
            to nearly 0 (Smith & Topin 2018); ``plateau`` multiplies by ``plateau_factor`` where the monitored figure
            has stood still for ``plateau_patience`` epochs (torch's ReduceLROnPlateau).
        warmup_epochs: Epochs, or parts of one, in which the rate climbs from near 0; counted before the rest.
        restart_epochs: T_0 of ``cosine_restarts``.
        floor: Lowest rate, as a part of the full one.
        plateau_patience: Epochs without a better figure that ``plateau`` waits.
        plateau_factor: What ``plateau`` then multiplies the rate by.
    """

    name: str = "constant"
    warmup_epochs: float = 0.0
    restart_epochs: int = 10
    floor: float = 0.0
    plateau_patience: int = 5
    plateau_factor: float = 0.1

    def __post_init__(self) -> None:
        if self.name not in SCHEDULES:
            raise InputError(
                f"no schedule '{self.name}'", where="schedule.name", mend=f"of {', '.join(SCHEDULES)}"
            )
        if not self.warmup_epochs >= 0 or self.restart_epochs < 1 or not 0 <= self.floor <= 1:
            raise InputError(
                "warm-up, restart or floor is out of bounds",
                where="schedule",
                mend="warmup_epochs ≥ 0, restart_epochs ≥ 1, floor 0–1",
            )
        if self.plateau_patience < 0 or not 0 < self.plateau_factor < 1:
            raise InputError(
                f"patience {self.plateau_patience} or factor {self.plateau_factor} is out of bounds",
                where="schedule.plateau_patience, schedule.plateau_factor",
                mend="patience ≥ 0, factor above 0 and below 1",
            )
        if self.name == "one_cycle" and self.warmup_epochs:
            raise InputError(
                "one_cycle has a warm-up of its own", where="schedule.warmup_epochs", mend="leave it at 0"
            )

    def factor(self, step: int, steps_per_epoch: int, epochs: int) -> float:
        """Learning rate of a step as a part of the full rate; without what a plateau takes off.

        Args:
            step: Optimiser steps done.
            steps_per_epoch: Optimiser steps an epoch.
            epochs: Epochs of the run, or of its phase.
        """
        warmup = round(self.warmup_epochs * steps_per_epoch)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done, total = step - warmup, max(1, epochs * steps_per_epoch - warmup)
        if self.name in ("constant", "plateau"):
            return 1.0
        phase = min(1.0, done / total)
        if self.name == "poly":
            return self.floor + (1 - self.floor) * (1 - phase) ** _POLY_POWER
        if self.name == "one_cycle":
            return max(self.floor, _one_cycle(step, total))
        if self.name == "cosine_restarts":
            phase = (done // steps_per_epoch) % self.restart_epochs / self.restart_epochs
        return self.floor + (1 - self.floor) * _half_cosine(phase)

    def plateau(self, values: Sequence[float], *, larger_is_better: bool) -> float:
        """What ``plateau`` has taken off the rate so far, as a factor; 1 for the other schedules.

        Args:
            values: The monitored figure of each epoch so far.
            larger_is_better: Which way is up.
        """
        if self.name != "plateau":
            return 1.0
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        scheduler = ReduceLROnPlateau(
            optimizer,
            mode="max" if larger_is_better else "min",
            factor=self.plateau_factor,
            patience=self.plateau_patience,
            min_lr=self.floor,
        )
        for value in values:
            scheduler.step(value)
        return float(optimizer.param_groups[0]["lr"])


def _half_cosine(phase: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * phase))


def _one_cycle(step: int, total: int) -> float:
    """As torch's OneCycleLR with its defaults: 30 % up from 1/25, down to 1/250,000, both along a cosine."""
    top = 0.3 * total - 1
    start, end = 1 / 25, 1 / 25 / 1e4
    if step <= top:
        return 1 + (start - 1) * _half_cosine(step / top)
    return end + (1 - end) * _half_cosine(min(1.0, (step - top) / max(1, total - 1 - top)))
