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
from offroad_seg_train.training.monitor import EarlyStoppingConfig, Monitor
from offroad_seg_train.training.optim import OptimizerConfig
from offroad_seg_train.training.phase_config import PhaseConfig  # noqa: TC001 (jsonargparse reads the types)
from offroad_seg_train.training.schedule import ScheduleConfig

__all__ = ["DataConfig", "TrainConfig"]

PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")
DEVICES = ("auto", "cpu", "cuda")
TRACKERS = ("wandb", "mlflow")


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
        early_stopping: When to end before the last epoch.
        phases: Parts of the run with other frozen stages and rates, in their order; none is one phase of ``epochs``.
        epochs: Passes over the training images; with phases, those of all together.
        batch_size: Images of a forward pass, on each device.
        accumulate: Passes whose gradients make one step: ``batch_size`` × ``accumulate`` × devices images.
        clip: Largest norm of the gradient; 0 does not clip.
        monitor: The validation figure of the best checkpoint, early stopping and ``plateau``: ``miou``,
            ``miou_present``, ``mean_dice``, ``loss`` …, or ``per_class.NAME.iou``.
        init_from: A checkpoint of this trainer whose weights to begin with: the same model, any ontology.
        seed: Weights, order and augmentation follow from it; the same seed gives the same losses on one machine.
        deterministic: Use only algorithms that give the same bits each time, on a GPU too; slower there.
        precision: ``32-true``; ``16-mixed`` or ``bf16-mixed`` are faster on a GPU, ``bf16-mixed`` also on a CPU that
            has it. Where it is not to be had, ``32-true`` is used and a warning says so.
        channels_last: Keep images as rows of pixels instead of planes: faster on CPUs and tensor cores.
        compile: Compile the network with torch.compile: minutes at the start, then faster steps on a GPU (on a CPU
            hardly); needs a C++ compiler.
        device: ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``.
        devices: GPUs (on a CPU: processes) of each machine; -1 for all.
        nodes: Machines.
        strategy: Lightning's: ``auto``, ``ddp``, ``ddp_find_unused_parameters_true``, ``ddp_spawn`` …
        sync_batchnorm: Let BatchNorm see the images of all GPUs.
        loggers: Beside TensorBoard: ``wandb``, ``mlflow``.
        picture_epochs: Show a few validation images to the loggers each so many epochs; 0 never does.
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
    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    phases: list[PhaseConfig] = field(default_factory=list)
    epochs: int = 15
    batch_size: int = 4
    accumulate: int = 1
    clip: float = 0.0
    monitor: str = "miou"
    init_from: str | None = None
    seed: int = 0
    deterministic: bool = False
    precision: str = "32-true"
    channels_last: bool = True
    compile: bool = False
    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    sync_batchnorm: bool = True
    loggers: list[str] = field(default_factory=list)
    picture_epochs: int = 5

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "nodes"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}", where=name, mend="1 or more")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"the seed is {self.seed}", where="seed", mend="0 to 2147483647")
        if not self.clip >= 0:
            raise InputError(f"clip is {self.clip}", where="clip", mend="0 for none, or a norm such as 1.0")
        if self.picture_epochs < 0:
            raise InputError(f"it is {self.picture_epochs}", where="picture_epochs", mend="0 or more")
        for name, known in (("precision", PRECISIONS), ("device", DEVICES)):
            if getattr(self, name) not in known:
                raise InputError(
                    f"no {name} '{getattr(self, name)}'", where=name, mend=f"one of: {', '.join(known)}"
                )
        if unknown := [name for name in self.loggers if name not in TRACKERS]:
            raise InputError(
                f"no logger '{unknown[0]}'",
                where="loggers",
                mend=f"of {', '.join(TRACKERS)}; TensorBoard's files are always written",
            )
        if self.devices < 1 and self.devices != -1:
            raise InputError(f"devices is {self.devices}", where="devices", mend="1 or more, or -1 for all")
        if self.device == "cpu" and self.precision == "16-mixed":
            raise InputError(
                "a CPU does not train in 16-mixed",
                where="precision",
                mend="precision=32-true, or bf16-mixed where the CPU has it",
            )
        Monitor(self.monitor)
        self._check_epochs()

    @property
    def sources(self) -> list[str | None]:
        """Files and folders that the run reads; None for what it does not use."""
        weights = self.model.backbone_weights
        file = None if weights in ("timm", "none") else weights
        return [self.data.root, self.data.val_root, self.init_from, file]

    def _check_epochs(self) -> None:
        if self.phases and sum(phase.epochs for phase in self.phases) != self.epochs:
            parts = " + ".join(str(phase.epochs) for phase in self.phases)
            raise InputError(
                f"the phases have {parts} epochs, the run has {self.epochs}",
                where="epochs, phases",
                mend=f"epochs={sum(phase.epochs for phase in self.phases)}, or phases.0.epochs=N and so on",
            )
        shortest = min((phase.epochs for phase in self.phases), default=self.epochs)
        if self.schedule.warmup_epochs >= shortest:
            raise InputError(
                f"{self.schedule.warmup_epochs} epochs of warm-up in a run or phase of {shortest}",
                where="schedule.warmup_epochs",
                mend="a warm-up shorter than the run and each of its phases",
            )
