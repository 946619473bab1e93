# SPDX-License-Identifier: Apache-2.0
"""One recipe: everything that decides how a training run goes, as nested, checked settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from offroad_seg.errors import InputError
from offroad_seg_train.data.augment import AugmentConfig
from offroad_seg_train.data.sampler import SamplingConfig
from offroad_seg_train.losses import LossConfig
from offroad_seg_train.models.config import ModelConfig
from offroad_seg_train.training.data_config import DataConfig
from offroad_seg_train.training.ema import EmaConfig
from offroad_seg_train.training.optim import OptimizerConfig
from offroad_seg_train.training.schedule import ScheduleConfig

__all__ = ["DataConfig", "TrainConfig"]

PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        name: The recipe's name, which checkpoints and bundles carry.
        data: Images and labels.
        model: The network.
        loss: What is made small.
        optimizer: How weights move.
        schedule: How the learning rates change.
        augment: How training images are varied.
        sampling: Which training images are seen how often.
        ema: The running mean of the weights, where there is to be one.
        epochs: Passes over the training images.
        batch_size: Images a step.
        clip: Largest norm of the gradient; 0 does not clip.
        seed: Weights, order and augmentation follow from it; the same seed gives the same losses on one machine.
        precision: ``32-true``; on a GPU ``16-mixed`` or ``bf16-mixed`` are faster.
        device: ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``.
    """

    name: str = "custom"
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    ema: EmaConfig = field(default_factory=EmaConfig)
    epochs: int = 15
    batch_size: int = 4
    clip: float = 0.0
    seed: int = 0
    precision: str = "32-true"
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}", where=name, mend="1 or more")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"the seed is {self.seed}", where="seed", mend="0 to 2147483647")
        if self.clip < 0:
            raise InputError(f"clip is {self.clip}", where="clip", mend="0 for none, or a norm such as 1.0")
        if self.precision not in PRECISIONS:
            raise InputError(
                f"no precision '{self.precision}'", where="precision", mend=f"one of: {', '.join(PRECISIONS)}"
            )
        if self.device not in DEVICES:
            raise InputError(
                f"no device '{self.device}'", where="device", mend=f"one of: {', '.join(DEVICES)}"
            )
        if self.device == "cpu" and self.precision == "16-mixed":
            raise InputError(
                "a CPU does not train in 16-mixed",
                where="precision",
                mend="precision=32-true (bf16 is slow there)",
            )
        if self.schedule.warmup_epochs >= self.epochs:
            raise InputError(
                f"{self.schedule.warmup_epochs} epochs of warm-up in a run of {self.epochs}",
                where="schedule.warmup_epochs",
                mend="a warm-up shorter than the run",
            )
