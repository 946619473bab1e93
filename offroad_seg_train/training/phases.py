# SPDX-License-Identifier: Apache-2.0
"""A run in phases: train the head on a frozen backbone, then all of it, then once more at a lower rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from offroad_seg.errors import InputError

if TYPE_CHECKING:
    from offroad_seg_train.models.config import ModelConfig
    from offroad_seg_train.training.config import TrainConfig

STARTS = ("best", "last")


@dataclass(frozen=True)
class PhaseConfig:
    """One phase: its own optimiser, and the schedule from its beginning.

    Attributes:
        epochs: Its length.
        frozen: Backbone stages that it holds still, as ``model.frozen``; None: those of ``model.frozen``.
        lr_factor: Multiplies all learning rates.
        start: The weights that a phase after the first begins with: those of the ``best`` epoch of the run so far, or
            of the ``last``.
    """

    epochs: int = 10
    frozen: list[str] | None = None
    lr_factor: float = 1.0
    start: str = "best"

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"it is {self.epochs}", where="phases: epochs", mend="1 or more")
        if not self.lr_factor > 0:
            raise InputError(
                f"it is {self.lr_factor}", where="phases: lr_factor", mend="above 0, such as 0.1"
            )
        if self.start not in STARTS:
            raise InputError(
                f"no start '{self.start}'", where="phases: start", mend=f"of {', '.join(STARTS)}"
            )


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
