# SPDX-License-Identifier: Apache-2.0
"""Small blocks that several networks share."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812 (torch's own spelling)
from timm.layers import LayerNorm2d
from torch import Tensor, nn


def norm_layer(kind: str, channels: int) -> nn.Module:
    """``batch``: BatchNorm; ``layer``: LayerNorm over the channels of each pixel."""
    return nn.BatchNorm2d(channels) if kind == "batch" else LayerNorm2d(channels)


def conv_norm_gelu(inputs: int, outputs: int, kernel: int, norm: str) -> nn.Sequential:
    """Convolution without bias (the norm has one), norm, GELU; keeps height and width."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        norm_layer(norm, outputs),
        nn.GELU(),
    )


class DepthwiseSeparable(nn.Sequential):
    """Depthwise k×k and pointwise 1×1 convolution, each with norm and GELU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, norm: str) -> None:
        super().__init__(
            nn.Conv2d(inputs, inputs, kernel, padding=kernel // 2, groups=inputs, bias=False),
            norm_layer(norm, inputs),
            nn.GELU(),
            *conv_norm_gelu(inputs, outputs, 1, norm),
        )


def resize(x_BCHW: Tensor, like_BCHW: Tensor) -> Tensor:
    """Bilinear, to the height and width of another tensor."""
    height, width = like_BCHW.shape[-2:]
    return F.interpolate(x_BCHW, size=(height, width), mode="bilinear", align_corners=False)
