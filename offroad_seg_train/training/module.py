# SPDX-License-Identifier: Apache-2.0
"""The training step, the validation step, and what a checkpoint carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning.pytorch as lightning
import torch

from offroad_seg.errors import OffroadSegError
from offroad_seg_train.checkpoint import RECORD_KEY
from offroad_seg_train.training.loading import derive_seed
from offroad_seg_train.training.metrics import EpochMetrics
from offroad_seg_train.training.optim import build_optimizer

if TYPE_CHECKING:
    from torch import Tensor

    from offroad_seg.types import JsonDict
    from offroad_seg_train.losses import SegmentationLoss
    from offroad_seg_train.models import NormalizedModel
    from offroad_seg_train.training.config import TrainConfig


class SegmentationModule(lightning.LightningModule):
    """One network in training.

    Args:
        network: uint8 images → logits.
        loss: Logits and labels → scalar.
        config: The run's settings.
        names: Class names.
        record: Plain values that rebuild the network; every checkpoint carries them.
        steps_per_epoch: Optimiser steps an epoch.

    Attributes:
        learning_rates: Of each parameter group, at the start of the epoch.
    """

    def __init__(
        self,
        network: NormalizedModel,
        loss: SegmentationLoss,
        config: TrainConfig,
        names: list[str],
        record: JsonDict,
        steps_per_epoch: int,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.config = config
        self.record = record
        self.steps_per_epoch = steps_per_epoch
        self.train_metrics = EpochMetrics(names)
        self.val_metrics = EpochMetrics(names)
        self.learning_rates: dict[str, float] = {}

    def on_train_epoch_start(self) -> None:
        """Seed dropout and the like by epoch, so that a resumed run draws the same numbers."""
        lightning.seed_everything(derive_seed(self.config.seed, self.current_epoch) % 2**32, verbose=False)
        self.learning_rates = {g["name"]: float(g["lr"]) for g in self.trainer.optimizers[0].param_groups}

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """The loss of a batch.

        Raises:
            OffroadSegError: It is not finite; the message names the batch's files.
        """
        logits_BCHW = self.network(batch["image"])
        loss: Tensor = self.loss(logits_BCHW, batch["labels"])
        if not torch.isfinite(loss):
            raise OffroadSegError(
                f"the loss is {float(loss.detach())} in epoch {self.current_epoch + 1}, batch {batch_idx + 1}",
                where=f"images {', '.join(batch['name'])}",
                mend="look at these images; else a lower optimizer.lr, clip=1.0, or precision=32-true. "
                "checkpoints/last.ckpt holds the epoch before",
            )
        self.train_metrics.update(logits_BCHW.detach(), batch["labels"], loss)
        self.log("loss", loss.detach(), prog_bar=True, logger=False)
        return loss

    def validation_step(self, batch: dict[str, Any], _batch_idx: int) -> None:
        """Count a batch."""
        logits_BCHW = self.network(batch["image"])
        self.val_metrics.update(logits_BCHW, batch["labels"], self.loss(logits_BCHW, batch["labels"]))

    def take_metrics(self) -> dict[str, dict[str, Any]]:
        """The epoch's figures, ``train`` and ``val``; counting starts anew."""
        figures = {"train": self.train_metrics.compute(), "val": self.val_metrics.compute()}
        self.train_metrics.reset()
        self.val_metrics.reset()
        return figures

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule; the schedule is a function of the step and keeps no state of its own."""
        optimizer = build_optimizer(self.config.optimizer, self.network.model)
        schedule, steps, epochs = self.config.schedule, self.steps_per_epoch, self.config.epochs
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: schedule.factor(step, steps, epochs)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the record from which ``load_checkpoint`` rebuilds the network."""
        checkpoint[RECORD_KEY] = self.record
