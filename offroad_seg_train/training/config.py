# SPDX-License-Identifier: Apache-2.0
"""One recipe: everything that decides how a training run goes, as nested, checked settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from offroad_seg.errors import InputError
from offroad_seg_train.data.augment import AugmentConfig
from offroad_seg_train.losses import LossConfig
from offroad_seg_train.models.config import ModelConfig
from offroad_seg_train.training.ema import EmaConfig
from offroad_seg_train.training.optim import OptimizerConfig, ScheduleConfig

PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class DataConfig:
    """What is trained on, and at which size.

    Attributes:
        root: Data folder; ``--data`` on the command line.
        val_root: Folder to validate on; without it, a part of ``root`` is split off.
        layout: ``duality``, ``ycor``, ``ai4mars``, or ``auto`` to look at the folder.
        ontology: Label set, by name or YAML file; without it, the one that the layout comes with.
        height: Network input rows; images are letterboxed into it.
        width: Network input columns.
        val_fraction: Part of ``root`` to validate on where there is no ``val_root``.
        split: ``blocks`` of consecutive frames, or ``random`` single frames (flatters: neighbours look alike).
        workers: Processes that read images; -1 chooses by this machine.
        cache_gib: Keep the images in memory if they take no more than this; 0 reads them every epoch.
        source_scale: Size that training images are cut from, relative to the network's; never larger than the file,
            0 = the file's own. With 2, a view at zoom 2 (``augment.scale_max``) has real detail.
    """

    root: str | None = None
    val_root: str | None = None
    layout: str = "auto"
    ontology: str | None = None
    height: int = 266
    width: int = 476
    val_fraction: float = 0.2
    split: str = "blocks"
    workers: int = -1
    cache_gib: float = 2.0
    source_scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            if not 32 <= getattr(self, name) <= 8192:
                raise InputError(
                    f"{name} is {getattr(self, name)}", where=f"data.{name}", mend="32 to 8192 pixels"
                )
        if self.val_root is None and not 0 < self.val_fraction < 1:
            raise InputError(
                f"val_fraction {self.val_fraction} leaves nothing to train on or to validate on",
                where="data.val_fraction",
                mend="above 0 and below 1, such as 0.2; or give data.val_root",
            )
        if self.workers < -1:
            raise InputError(
                f"{self.workers} workers", where="data.workers", mend="-1 for automatic, 0, or more"
            )
        if self.cache_gib < 0:
            raise InputError(f"it is {self.cache_gib}", where="data.cache_gib", mend="0 or more")
        if self.source_scale != 0 and self.source_scale < 1:
            raise InputError(
                f"it is {self.source_scale}: less than the network sees",
                where="data.source_scale",
                mend="1 or more, or 0 for the file's own size",
            )


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
