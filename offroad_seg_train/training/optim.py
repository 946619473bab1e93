# SPDX-License-Identifier: Apache-2.0
"""Optimiser, its parameter groups, and the learning-rate schedule.

The schedule is a pure function of the step, so that a resumed run needs no state to go on as if it had never stopped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from offroad_seg.errors import InputError

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from offroad_seg_train.models import SegmentationModel

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("constant", "cosine", "cosine_restarts")


@dataclass(frozen=True)
class OptimizerConfig:
    """How weights move.

    Attributes:
        name: ``adamw`` or ``sgd``.
        lr: Learning rate of the head, or of the whole network where there is no backbone.
        backbone_lr: Learning rate of the backbone's stages that are not frozen; None: the same as ``lr``.
        weight_decay: Pull of the weights towards 0.
        momentum: Of ``sgd``.
    """

    name: str = "adamw"
    lr: float = 5e-4
    backbone_lr: float | None = None
    weight_decay: float = 1e-4
    momentum: float = 0.9

    def __post_init__(self) -> None:
        if self.name not in OPTIMIZERS:
            raise InputError(
                f"no optimiser '{self.name}'", where="optimizer.name", mend=f"of {', '.join(OPTIMIZERS)}"
            )
        for name in ("lr", "backbone_lr"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(
                    f"{name} is {value}",
                    where=f"optimizer.{name}",
                    mend="above 0; to hold the backbone still, list its stages in model.frozen",
                )


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rates change; each group keeps its own ratio.

    Attributes:
        name: ``constant``; ``cosine`` falls step by step to ``floor`` at the end of the run; ``cosine_restarts`` falls
            epoch by epoch and starts anew every ``restart_epochs`` (torch's CosineAnnealingWarmRestarts).
        warmup_epochs: Epochs, or parts of one, in which the rate climbs from near 0; counted before the rest.
        restart_epochs: T_0 of ``cosine_restarts``.
        floor: Lowest rate, as a part of the full one.
    """

    name: str = "constant"
    warmup_epochs: float = 0.0
    restart_epochs: int = 10
    floor: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in SCHEDULES:
            raise InputError(
                f"no schedule '{self.name}'", where="schedule.name", mend=f"of {', '.join(SCHEDULES)}"
            )
        if self.warmup_epochs < 0 or self.restart_epochs < 1 or not 0 <= self.floor <= 1:
            raise InputError(
                "warm-up, restart or floor is out of bounds",
                where="schedule",
                mend="warmup_epochs ≥ 0, restart_epochs ≥ 1, floor 0–1",
            )

    def factor(self, step: int, steps_per_epoch: int, epochs: int) -> float:
        """Learning rate of a step as a part of the full rate.

        Args:
            step: Optimiser steps done.
            steps_per_epoch: Steps an epoch.
            epochs: Epochs of the whole run.
        """
        warmup = round(self.warmup_epochs * steps_per_epoch)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done, total = step - warmup, max(1, epochs * steps_per_epoch - warmup)
        if self.name == "constant":
            return 1.0
        if self.name == "cosine":
            phase = min(1.0, done / total)
        else:
            phase = (done // steps_per_epoch) % self.restart_epochs / self.restart_epochs
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * phase))


def build_optimizer(config: OptimizerConfig, model: SegmentationModel) -> Optimizer:
    """An optimiser with one group of parameters for the backbone and one for the head, each named.

    Raises:
        InputError: Nothing is left to train.
    """
    rates = {"head": config.lr, "backbone": config.lr if config.backbone_lr is None else config.backbone_lr}
    groups: list[dict[str, Any]] = [
        {"params": parameters, "lr": rates[name], "name": name}
        for name, parameters in model.parameter_groups().items()
    ]
    if not groups:
        raise InputError("every parameter is frozen", where="model.frozen", mend="leave a stage out of it")
    if config.name == "sgd":
        return torch.optim.SGD(groups, momentum=config.momentum, weight_decay=config.weight_decay)
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)
