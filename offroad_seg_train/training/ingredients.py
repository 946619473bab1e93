# SPDX-License-Identifier: Apache-2.0
"""What training needs beside a network: the frames, the loss with its class weights, the machine."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from offroad_seg.image import Normalization
from offroad_seg_train.checkpoint import make_record
from offroad_seg_train.losses import SegmentationLoss, class_weights
from offroad_seg_train.training.loading import build_loader, build_training_loader
from offroad_seg_train.training.opening import open_data

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from offroad_seg.image import Letterbox
    from offroad_seg.ontology import Ontology
    from offroad_seg.types import JsonDict
    from offroad_seg_train.training.config import TrainConfig
    from offroad_seg_train.training.frames import Frames
    from offroad_seg_train.training.hardware import Hardware

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ingredients:
    """What all phases of a run share.

    Attributes:
        config: The run's settings.
        hardware: Where it is computed.
        ontology: Its classes.
        letterbox: The network's input size.
        train_frames: Frames to train on.
        val_frames: Frames to validate on.
        loss: What is made small.
    """

    config: TrainConfig
    hardware: Hardware
    ontology: Ontology
    letterbox: Letterbox
    train_frames: Frames
    val_frames: Frames
    loss: SegmentationLoss

    def training_loader(self, epoch: int, *, show: bool) -> DataLoader[dict[str, Any]]:
        """This process's batches, beginning with an epoch of the run."""
        return build_training_loader(
            self.train_frames,
            self.config,
            self.ontology.n_classes,
            epoch=epoch,
            pin=self.hardware.gpu,
            rank=self.hardware.rank,
            world_size=self.hardware.world,
            show=show,
        )

    def validation_loader(self) -> DataLoader[dict[str, Any]]:
        """This process's part of the frames to validate on."""
        return build_loader(
            self.val_frames,
            batch_size=self.config.batch_size,
            workers=min(self.config.data.workers, 2),
            pin=self.hardware.gpu,
            rank=self.hardware.rank,
            world_size=self.hardware.world,
        )

    def record(self) -> JsonDict:
        """What a checkpoint carries for rebuilding the network."""
        return make_record(
            name=self.config.name,
            model=self.config.model,
            ontology=self.ontology,
            letterbox=self.letterbox,
            normalization=Normalization(),
            config=asdict(self.config),
        )


def gather(config: TrainConfig, hardware: Hardware, *, show: bool) -> Ingredients:
    """Open the data and weigh the classes.

    Raises:
        InputError: The data cannot be used.
    """
    ontology, letterbox, train_frames, val_frames = open_data(config.data, config.seed, show=show)
    log.info("%d images to train on, %d to validate on", len(train_frames), len(val_frames))
    loss = _build_loss(config, train_frames, ontology, show=show)
    return Ingredients(config, hardware, ontology, letterbox, train_frames, val_frames, loss)


def _build_loss(config: TrainConfig, frames: Frames, ontology: Ontology, *, show: bool) -> SegmentationLoss:
    weights = torch.ones(ontology.n_classes)
    if config.loss.class_weights != "none":
        pixels = frames.count_pixels(ontology.n_classes, show=show)
        weights = class_weights(pixels, config.loss)
        listed = ", ".join(
            f"{name} {w:.2f}" for name, w in zip(ontology.names, weights.tolist(), strict=True)
        )
        log.info("class weights: %s", listed)
        if absent := [name for name, count in zip(ontology.names, pixels, strict=True) if not count]:
            log.warning(
                "no training pixel of %s: their class weight is 1, and the network cannot learn them",
                ", ".join(absent),
            )
    return SegmentationLoss(config.loss, weights)
