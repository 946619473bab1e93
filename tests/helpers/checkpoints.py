# SPDX-License-Identifier: Apache-2.0
"""Real checkpoints of untrained networks, as ``offroad-seg train`` writes them, in milliseconds."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import torch

from offroad_seg.image import Letterbox, Normalization
from offroad_seg.ontology import load_ontology
from offroad_seg_train.checkpoint import NETWORK_PREFIX, RECORD_KEY, make_record
from offroad_seg_train.models import ModelConfig, NormalizedModel, build_model
from offroad_seg_train.training.config import DataConfig, TrainConfig

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.ontology import Ontology


def untrained_model(ontology: Ontology, config: ModelConfig, seed: int = 0) -> NormalizedModel:
    """Random weights that give every class its share of pixels, so that labels can be compared."""
    torch.manual_seed(seed)
    model = NormalizedModel(build_model(config, ontology.n_classes), Normalization())
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(_pictures())
        logits = model.eval()(_pictures())
        bias = next(v for k, v in reversed(model.state_dict().items()) if k.endswith("bias"))
        if bias.numel() == ontology.n_classes:
            bias -= logits.mean(dim=(0, 2, 3))
    return model


def _pictures() -> torch.Tensor:
    """Blurred noise (2, 3, 96, 160): structure at the scale that networks look for."""
    noise = 255 * torch.rand(2, 3, 12, 20)
    return torch.nn.functional.interpolate(noise, (96, 160), mode="bilinear").to(torch.uint8)


def write_checkpoint(
    path: Path,
    *,
    ontology: str = "duality_desert",
    height: int = 72,
    width: int = 128,
    seed: int = 0,
    config: ModelConfig | None = None,
    data: DataConfig | None = None,
    poison: float | None = None,
    network: NormalizedModel | None = None,
) -> Path:
    """Write a checkpoint.

    Args:
        path: The file.
        ontology: Name of the label set.
        height: Input rows that it claims to be trained at.
        width: Input columns.
        seed: Of the weights.
        config: The network; None for a narrow ``tiny``.
        data: The recipe's data settings.
        poison: Put this value into a weight (NaN, infinity).
        network: The weights, of the network that ``config`` describes; None for random ones.
    """
    config = config or ModelConfig(name="tiny", backbone_weights="none", width=8)
    labels = load_ontology(ontology)
    model = network or untrained_model(labels, config, seed)
    state = model.state_dict()
    if poison is not None:
        next(v for k, v in reversed(state.items()) if k.endswith("weight")).view(-1)[0] = poison
    train_config = TrainConfig(name="untrained", data=data or DataConfig(), model=config)
    record = make_record(
        name="untrained",
        model=config,
        ontology=labels,
        letterbox=Letterbox(height, width),
        normalization=Normalization(),
        config=asdict(train_config),
    )
    content = {
        "state_dict": {f"{NETWORK_PREFIX}{k}": v for k, v in state.items()},
        "epoch": 0,
        RECORD_KEY: record,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path
