# SPDX-License-Identifier: Apache-2.0
"""A run in phases: train the head on a frozen backbone, then all of it, then once more at a lower rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from offroad_seg_train.training.phase_config import PhaseConfig

if TYPE_CHECKING:
    from offroad_seg_train.models.config import ModelConfig
    from offroad_seg_train.training.config import TrainConfig


@dataclass(frozen=True)
class Phase:
    """A phase in its place in the run.

    Attributes:
        index: From 0.
        count: Phases of the run.
        epochs: Its length.
        model: The network with what this phase freezes.
        lr_factor: Multiplies all learning rates.
        start: ``best`` or ``last``.
    """

    index: int
    count: int
    epochs: int
    model: ModelConfig
    lr_factor: float = 1.0
    start: str = "best"


def phases_of(config: TrainConfig) -> list[Phase]:
    """The phases of a run; one without any is one phase."""
    given = config.phases or [PhaseConfig(epochs=config.epochs)]
    return [
        Phase(
            index=index,
            count=len(given),
            epochs=phase.epochs,
            model=config.model if phase.frozen is None else replace(config.model, frozen=list(phase.frozen)),
            lr_factor=phase.lr_factor,
            start=phase.start,
        )
        for index, phase in enumerate(given)
    ]
