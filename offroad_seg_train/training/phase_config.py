# SPDX-License-Identifier: Apache-2.0
"""What a recipe says of one phase of a run."""

from __future__ import annotations

from dataclasses import dataclass

from offroad_seg.errors import InputError

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
