# SPDX-License-Identifier: Apache-2.0
"""Untrained networks that behave like trained ones where numbers matter: normalised inside, decided in their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from offroad_seg.image import Normalization
from offroad_seg_train.models import NormalizedModel, build_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from offroad_seg_train.models import ModelConfig

_SPREAD = 4.0  # of each class's logit over the pixels: most labels are then clear, as a trained network's are


def lively(
    config: ModelConfig,
    n_classes: int,
    images_BCHW: torch.Tensor,
    build: Callable[[ModelConfig, int], nn.Module] = build_model,
    seed: int = 0,
) -> NormalizedModel:
    """Random weights, BatchNorm that knows these images, and logits of equal mean and spread for each class.

    Args:
        config: The network; its frozen stages are moved, too.
        n_classes: Channels of the logits.
        images_BCHW: uint8, a few; the size does not matter.
        build: Makes the network.
        seed: Of the weights.
    """
    torch.manual_seed(seed)
    model = NormalizedModel(build(config, n_classes), Normalization())
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = None  # a plain mean: one pass is enough
                module.reset_running_stats()
        model.train()(images_BCHW)
        logits_BCHW = model.eval()(images_BCHW)
        last = [
            m
            for m in model.modules()
            if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))
            and m.bias is not None
            and m.bias.numel() == n_classes
        ][-1]
        scale_C = _SPREAD / logits_BCHW.std(dim=(0, 2, 3)).clamp_min(1e-6)
        mean_C = logits_BCHW.mean(dim=(0, 2, 3))
        shape = (-1, 1, 1, 1) if isinstance(last, nn.Conv2d) else (1, -1, 1, 1)
        last.weight.mul_(scale_C.view(shape))
        last.bias.copy_((last.bias - mean_C) * scale_C)
    return model
