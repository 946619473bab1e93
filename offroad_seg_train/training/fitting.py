# SPDX-License-Identifier: Apache-2.0
"""Calling Lightning so that a run ends as a command should: Ctrl-C, a dead process, words instead of tips."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from typing import TYPE_CHECKING, Any

import torch.distributed

from offroad_seg.errors import OffroadSegError

if TYPE_CHECKING:
    from pathlib import Path

    import lightning.pytorch as lightning
    from torch.utils.data import DataLoader


def fit(
    trainer: lightning.Trainer,
    module: lightning.LightningModule,
    train_loader: DataLoader[Any],
    val_loader: DataLoader[Any],
    checkpoint: Path | None,
) -> None:
    """``Trainer.fit``.

    Args:
        trainer: Lightning's.
        module: What is trained.
        train_loader: Batches to train on.
        val_loader: Batches to validate on.
        checkpoint: Where to go on from.

    Raises:
        KeyboardInterrupt: The user ended it.
        OffroadSegError: The network cannot be compiled, or another process has failed.
    """
    try:
        trainer.fit(
            module,
            train_loader,
            val_loader,
            ckpt_path=None if checkpoint is None else str(checkpoint),
            weights_only=None if checkpoint is None else True,
        )
    except SystemExit:
        # Lightning's answer to Ctrl-C; it also switches further ones off.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from None
    except BaseException as error:
        _end_other_processes(trainer)
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise OffroadSegError(
                f"the network cannot be compiled here: {str(error).strip().splitlines()[0]}",
                where="compile",
                mend="compile=false; on a CPU, torch.compile needs a C++ compiler (g++)",
            ) from error
        if trainer.world_size > 1 and _lost_a_process(error):
            raise OffroadSegError(
                "another process of this run has failed; its own error stands above",
                where=f"process {trainer.global_rank} of {trainer.world_size}",
                mend="look for the first error of any process",
            ) from error
        raise


def _lost_a_process(error: BaseException) -> bool:
    # Of gloo it is a plain RuntimeError.
    return isinstance(error, torch.distributed.DistBackendError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )


def _end_other_processes(trainer: lightning.Trainer) -> None:
    """Processes that wait for this one in a barrier would wait for half an hour."""
    launcher = trainer.strategy.launcher
    if launcher is not None:
        launcher.kill(signal.SIGTERM)


def quiet_lightning() -> None:
    """Keep Lightning's tips and advice about defaults out of the user's log; its errors still raise."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # It deprecates its own calls, and advises workers where the frames are in memory.
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    warnings.filterwarnings(
        "ignore", message=".*(does not have many workers|in eval mode at the start of training).*"
    )
