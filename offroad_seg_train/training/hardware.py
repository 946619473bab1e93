# SPDX-License-Identifier: Apache-2.0
"""What a run is computed on, and with which numbers; what this machine cannot do well is replaced, and said."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import lightning.pytorch as lightning
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from offroad_seg.errors import InputError

if TYPE_CHECKING:
    from offroad_seg_train.training.config import TrainConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hardware:
    """Where a run is computed.

    Attributes:
        gpu: On CUDA devices, else on the CPU.
        precision: What is really used.
        rank: This process among all of the run, from 0.
        world: Processes of the run.
    """

    gpu: bool
    precision: str
    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    def describe(self) -> str:
        """One line for the log."""
        one = torch.cuda.get_device_name() if self.gpu else f"CPU ({torch.get_num_threads()} threads)"
        return one if self.world == 1 else f"{self.world} × {one}"


def choose_hardware(config: TrainConfig) -> Hardware:
    """The devices and the precision of a run.

    Raises:
        InputError: They are not there, or Lightning does not know the strategy.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise InputError("torch finds no CUDA device", where="device", mend="device=cpu, or mend the driver")
    gpu = config.device != "cpu" and torch.cuda.is_available()
    if gpu and config.devices > torch.cuda.device_count():
        raise InputError(
            f"{config.devices} devices wanted, {torch.cuda.device_count()} are there",
            where="devices",
            mend=f"devices={torch.cuda.device_count()}, or -1 for all",
        )
    precision = choose_precision(config.precision, gpu=gpu)
    if config.devices == 1 and config.nodes == 1 and config.strategy == "auto":
        return Hardware(gpu, precision)
    # Lightning knows the launchers (its own, torchrun, Slurm …) and so the rank, before anything is started.
    trainer = build_trainer(config, Hardware(gpu, precision), [])
    return Hardware(gpu, precision, trainer.global_rank, trainer.world_size)


def choose_precision(wanted: str, *, gpu: bool) -> str:
    """The wanted precision, or the best that this machine computes fast; a warning says so."""
    if wanted == "16-mixed" and not gpu:
        log.warning("precision: no GPU is used, and a CPU does not train in 16-mixed: 32-true instead")
        return "32-true"
    if wanted == "bf16-mixed" and not gpu and not cpu_has_bf16():
        log.warning(
            "precision: this CPU has no bf16 instructions (AVX512-BF16, AMX), where bf16-mixed is many times slower: "
            "32-true instead"
        )
        return "32-true"
    if wanted == "bf16-mixed" and gpu and not torch.cuda.is_bf16_supported(including_emulation=False):
        log.warning("precision: %s has no bf16: 16-mixed instead", torch.cuda.get_device_name())
        return "16-mixed"
    return wanted


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware; emulation is 10–15 times slower than float32."""
    known = torch.cpu.get_capabilities()
    return any(bool(known.get(name)) for name in ("avx512_bf16", "amx_bf16", "amx_tile", "bf16"))


def build_trainer(
    config: TrainConfig,
    hardware: Hardware,
    callbacks: list[lightning.Callback],
    *,
    epochs: int = 1,
    bar: bool = False,
    loggers: list[lightning.loggers.Logger] | None = None,
    plugins: list[lightning.plugins.CheckpointIO] | None = None,
) -> lightning.Trainer:
    """Lightning's trainer with the run's settings.

    Raises:
        InputError: Lightning refuses them.
    """
    try:
        return lightning.Trainer(
            accelerator="gpu" if hardware.gpu else "cpu",
            devices=config.devices,
            num_nodes=config.nodes,
            strategy=config.strategy,
            max_epochs=epochs,
            precision=hardware.precision,  # type: ignore[arg-type]
            accumulate_grad_batches=config.accumulate,
            gradient_clip_val=config.clip or None,
            callbacks=callbacks,
            logger=loggers or False,
            plugins=plugins,  # type: ignore[arg-type]
            # Which files are written, and when, is the recorder's.
            enable_checkpointing=False,
            enable_progress_bar=bar,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            # Its sampler would give some validation images twice; ours shares whole batches.
            use_distributed_sampler=False,
            # A GPU has no deterministic kernel for some operations: it uses them, and torch warns of each.
            deterministic=("warn" if hardware.gpu else True) if config.deterministic else False,
            benchmark=hardware.gpu and not config.deterministic,
        )
    except (MisconfigurationException, ValueError) as error:
        raise InputError(
            f"Lightning refuses: {' '.join(str(error).split())}",
            where="device, devices, nodes, strategy, precision",
            mend="for one machine leave nodes and strategy out; devices=2 uses two GPUs",
        ) from error
