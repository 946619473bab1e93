# SPDX-License-Identifier: Apache-2.0
"""The optimiser and its parameter groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from timm.optim import Muon

from offroad_seg.errors import InputError

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from offroad_seg_train.models import SegmentationModel

OPTIMIZERS = ("adamw", "muon", "sgd")


@dataclass(frozen=True)
class OptimizerConfig:
    """How weights move.

    Attributes:
        name: ``adamw``; ``sgd``; or ``muon``, which evens out the directions of each step of a convolution (Jordan et
            al. 2024, scaled as Liu et al., arXiv:2502.16982, so that rates are those of AdamW, which takes the biases
            and norms): learns more from each step from random weights, for more work a step. It multiplies in bf16.
        lr: Learning rate of the head, or of the whole network where there is no backbone. ``offroad-seg lr-find``
            proposes one.
        backbone_lr: Learning rate of the backbone's stages that are not frozen; None: the same as ``lr``.
        weight_decay: Pull of the weights towards 0.
        momentum: Of ``sgd`` and ``muon``.
    """

    name: str = "adamw"
    lr: float = 5e-4
    backbone_lr: float | None = None
    weight_decay: float = 1e-4
    momentum: float = 0.9

    def __post_init__(self) -> None:
        if self.name not in OPTIMIZERS:
            raise InputError(
                f"no optimiser '{self.name}'", where="optimizer.name", mend=f"of {', '.join(OPTIMIZERS)}"
            )
        for name in ("lr", "backbone_lr"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(
                    f"{name} is {value}",
                    where=f"optimizer.{name}",
                    mend="above 0; to hold the backbone still, list its stages in model.frozen",
                )


def build_optimizer(
    config: OptimizerConfig, model: SegmentationModel, factor: float = 1.0, *, fused: bool = True
) -> Optimizer:
    """An optimiser with one group of parameters for the backbone and one for the head, each named.

    Args:
        config: Which, and its rates.
        model: Its parameters that are not frozen.
        factor: Multiplies every learning rate.
        fused: One kernel for all tensors, which is several times faster; Lightning cannot clip under it in mixed
            precision.

    Raises:
        InputError: Nothing is left to train.
    """
    rates = {"head": config.lr, "backbone": config.lr if config.backbone_lr is None else config.backbone_lr}
    groups: list[dict[str, Any]] = [
        {"params": parameters, "lr": rates[name] * factor, "name": name}
        for name, parameters in model.parameter_groups().items()
    ]
    if not groups:
        raise InputError("every parameter is frozen", where="model.frozen", mend="leave a stage out of it")
    if config.name == "sgd":
        return torch.optim.SGD(
            groups, momentum=config.momentum, weight_decay=config.weight_decay, fused=fused or None
        )
    if config.name == "muon":
        return Muon(groups, weight_decay=config.weight_decay, momentum=config.momentum, nesterov=True)
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=fused or None)
