# SPDX-License-Identifier: Apache-2.0
"""The training step, the validation step, and what a checkpoint carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning.pytorch as lightning
import torch

from offroad_seg.errors import OffroadSegError
from offroad_seg_train.checkpoint import EPOCHS_KEY, RECORD_KEY
from offroad_seg_train.training.loading import derive_seed
from offroad_seg_train.training.metrics import EpochMetrics
from offroad_seg_train.training.optim import build_optimizer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from offroad_seg.types import JsonDict
    from offroad_seg_train.losses import SegmentationLoss
    from offroad_seg_train.models import NormalizedModel
    from offroad_seg_train.training.config import TrainConfig
    from offroad_seg_train.training.monitor import Monitor
    from offroad_seg_train.training.phases import Phase

    U8 = NDArray[np.uint8]

# Asking a GPU each step whether its loss is finite would make it wait for the host each step.
_STEPS_BETWEEN_CHECKS = 25


class SegmentationModule(lightning.LightningModule):
    """One network in one phase of training.

    Args:
        network: uint8 images → logits.
        loss: Logits and labels → scalar.
        config: The run's settings.
        phase: The phase of it.
        first_epoch: Epochs of the run before it.
        names: Class names.
        record: Plain values that rebuild the network; every checkpoint carries them.
        steps_per_epoch: Optimiser steps an epoch.
        monitor: The figure that a ``plateau`` schedule watches.
        history: Gives that figure for each epoch of the phase so far.

    Attributes:
        learning_rates: Of each parameter group, at the start of the epoch.
        pictures: How many validation images to keep of the next epoch, for ``take_pictures``.
    """

    def __init__(
        self,
        network: NormalizedModel,
        loss: SegmentationLoss,
        config: TrainConfig,
        phase: Phase,
        first_epoch: int,
        names: list[str],
        record: JsonDict,
        steps_per_epoch: int,
        monitor: Monitor,
        history: Callable[[], Sequence[float]],
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.config = config
        self.phase = phase
        self.first_epoch = first_epoch
        self.record = record
        self.steps_per_epoch = steps_per_epoch
        self.monitor = monitor
        self.history = history
        self.train_metrics = EpochMetrics(names)
        self.val_metrics = EpochMetrics(names)
        self.learning_rates: dict[str, float] = {}
        self.pictures = 0
        self._taken: list[tuple[U8, U8, U8]] = []
        self._plateau = 1.0
        self._unchecked: list[tuple[Tensor, list[str], int]] = []

    def on_train_epoch_start(self) -> None:
        """Seed dropout and the like by epoch, so that a resumed run draws the same numbers, and set the rates."""
        epoch = self.first_epoch + self.current_epoch
        rank = self.trainer.global_rank
        seed = derive_seed(self.config.seed, epoch, rank) if rank else derive_seed(self.config.seed, epoch)
        lightning.seed_everything(seed % 2**32, verbose=False)
        # Lightning's own call counts anew in each phase.
        self.trainer.train_dataloader.sampler.set_epoch(epoch)
        self._plateau = self.config.schedule.plateau(
            self.history(), larger_is_better=self.monitor.larger_is_better
        )
        # The scheduler set the rates of this step before validation was known.
        (scheduler,) = self.trainer.lr_scheduler_configs
        factor = self._rate(scheduler.scheduler.last_epoch)
        groups = self.trainer.optimizers[0].param_groups
        for group, base in zip(groups, scheduler.scheduler.base_lrs, strict=True):
            group["lr"] = base * factor
        self.learning_rates = {group["name"]: float(group["lr"]) for group in groups}
        every = self.config.picture_epochs
        self.pictures = 4 if every and (epoch % every == 0) else 0

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """The loss of a batch.

        Raises:
            OffroadSegError: It is not finite; the message names the batch's files.
        """
        logits_BCHW = self.network(batch["image"])
        loss: Tensor = self.loss(logits_BCHW, batch["labels"])
        self._unchecked.append((loss.detach(), batch["name"], batch_idx))
        if not loss.is_cuda or len(self._unchecked) >= _STEPS_BETWEEN_CHECKS:
            self._check_losses("loss")
        self.train_metrics.update(logits_BCHW.detach(), batch["labels"], loss)
        self.log("loss", loss.detach(), prog_bar=True, logger=False)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Let every process validate the same network: BatchNorm's statistics differ by what each has seen."""
        self._check_losses("loss")
        if self.trainer.world_size > 1:
            for buffer in self.network.buffers():
                torch.distributed.broadcast(buffer, 0)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Count a batch.

        Raises:
            OffroadSegError: Its loss is not finite; the message names the batch's files.
        """
        logits_BCHW = self.network(batch["image"])
        loss = self.loss(logits_BCHW, batch["labels"])
        self._unchecked.append((loss, batch["name"], batch_idx))
        if not loss.is_cuda or len(self._unchecked) >= _STEPS_BETWEEN_CHECKS:
            self._check_losses("validation loss")
        self.val_metrics.update(logits_BCHW, batch["labels"], loss)
        if len(self._taken) < self.pictures:
            self._take(batch, logits_BCHW, self.pictures - len(self._taken))

    def on_validation_epoch_end(self) -> None:
        """Check what is left to check."""
        self._check_losses("validation loss")

    def take_metrics(self) -> dict[str, dict[str, Any]]:
        """The epoch's figures over all processes, ``train`` and ``val``; counting starts anew."""
        figures = {"train": self.train_metrics.compute(), "val": self.val_metrics.compute()}
        self.train_metrics.reset()
        self.val_metrics.reset()
        return figures

    def take_pictures(self) -> list[tuple[U8, U8, U8]]:
        """The kept validation images (H, W, 3), their truth and their labels (H, W), all uint8; then forgotten."""
        taken, self._taken = self._taken, []
        return taken

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule; the schedule is a function of step and history and keeps no state of its own."""
        clips_in_mixed = bool(self.config.clip) and self.trainer.precision != "32-true"
        optimizer = build_optimizer(
            self.config.optimizer, self.network.model, self.phase.lr_factor, fused=not clips_in_mixed
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self._rate(step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the record from which ``load_checkpoint`` rebuilds the network."""
        checkpoint[RECORD_KEY] = self.record
        checkpoint[EPOCHS_KEY] = self.first_epoch + self.current_epoch + 1

    def _rate(self, step: int) -> float:
        schedule = self.config.schedule
        return self._plateau * schedule.factor(step, self.steps_per_epoch, self.phase.epochs)

    def _check_losses(self, what: str) -> None:
        if not self._unchecked or torch.isfinite(torch.stack([loss for loss, _, _ in self._unchecked])).all():
            self._unchecked.clear()
            return
        for loss, names, batch_idx in self._unchecked:
            if not torch.isfinite(loss):
                epoch = self.first_epoch + self.current_epoch
                raise OffroadSegError(
                    f"the {what} is {float(loss)} in epoch {epoch + 1}, batch {batch_idx + 1}",
                    where=f"images {', '.join(names)}",
                    mend="look at these images; else a lower optimizer.lr, clip=1.0, or precision=32-true"
                    + (". checkpoints/last.ckpt holds the epoch before" if epoch else ""),
                )

    def _take(self, batch: dict[str, Any], logits_BCHW: Tensor, count: int) -> None:
        labels = logits_BCHW[:count].argmax(1).to(torch.uint8).cpu().numpy()
        images = batch["image"][:count].movedim(1, -1).cpu().numpy()
        truth = batch["labels"][:count].cpu().numpy()
        self._taken += list(zip(images, truth, labels, strict=True))
