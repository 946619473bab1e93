# SPDX-License-Identifier: Apache-2.0
"""The network as a run trains it: memory layout, BatchNorm across processes, compilation."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from offroad_seg.image import Normalization
from offroad_seg_train.models import NormalizedModel, build_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offroad_seg.ontology import Ontology
    from offroad_seg_train.models import ModelConfig, SegmentationModel
    from offroad_seg_train.training.config import TrainConfig
    from offroad_seg_train.training.hardware import Hardware

log = logging.getLogger(__name__)


def build_network(
    config: TrainConfig, model: ModelConfig, ontology: Ontology, hardware: Hardware, *, fetch: bool
) -> NormalizedModel:
    """A network ready to be trained.

    Args:
        config: The run's settings.
        model: The network's, with what this phase freezes.
        ontology: Its classes.
        hardware: Where it is trained.
        fetch: Give the backbone the weights that ``model.backbone_weights`` names; False where all weights will come
            from a checkpoint.

    Raises:
        InputError: There is no such network, or its weights cannot be had.
    """
    if fetch:
        inner = build_model(model, ontology.n_classes)
    else:
        with _without_words():
            inner = build_model(replace(model, backbone_weights="none"), ontology.n_classes)
    if hardware.world > 1 and config.sync_batchnorm:
        if hardware.gpu:
            inner = synchronize_batchnorm(inner)
        elif hardware.is_first:
            log.warning("sync_batchnorm: torch has none on a CPU; each process has its own statistics")
    network = NormalizedModel(inner, Normalization())
    if config.channels_last:
        network.to(memory_format=torch.channels_last)
    if config.compile:
        # In place: the names in a checkpoint stay those of the network itself.
        network.compile()
    return network


@contextmanager
def _without_words() -> Iterator[None]:
    """Keep the models from saying that they start from random numbers, where they do not."""
    speaker = logging.getLogger("offroad_seg_train.models")
    level = speaker.level
    speaker.setLevel(logging.WARNING)
    try:
        yield
    finally:
        speaker.setLevel(level)


def synchronize_batchnorm(model: SegmentationModel) -> SegmentationModel:
    """Replace BatchNorm by its kind that shares statistics between processes; what is frozen stays frozen."""
    frozen = {id(module) for module in model.frozen_modules}
    names = [name for name, module in model.named_modules() if id(module) in frozen]
    converted: SegmentationModel = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    converted.freeze([converted.get_submodule(name) for name in names])
    return converted
