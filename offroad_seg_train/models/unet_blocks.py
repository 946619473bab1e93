# SPDX-License-Identifier: Apache-2.0
"""What the U-Nets of this folder share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from offroad_seg_train.models.layers import norm_layer, resize


def conv_norm_relu(
    inputs: int, outputs: int, kernel: int, norm: str, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Convolution without bias (the norm has one), norm, ReLU; stride 1 keeps height and width."""
    padding = dilation * (kernel // 2) if kernel % 2 else 0
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, dilation=dilation, bias=False),
        norm_layer(norm, outputs),
        nn.ReLU(inplace=True),
    )


def double_conv(inputs: int, outputs: int, norm: str, dropout: float = 0.0) -> nn.Sequential:
    """Two 3×3 convolutions with norm and ReLU; ``dropout`` leaves out whole channels of the result."""
    layers = [conv_norm_relu(inputs, outputs, 3, norm), conv_norm_relu(outputs, outputs, 3, norm)]
    return nn.Sequential(*layers, nn.Dropout2d(dropout)) if dropout else nn.Sequential(*layers)


class UpBlock(nn.Module):
    """Bilinear upsampling to the skip's size, concatenation, two 3×3 convolutions.

    Args:
        inputs: Channels from below.
        skip: Channels of the skip connection.
        outputs: Channels of the result.
        norm: ``batch`` or ``layer``.
    """

    def __init__(self, inputs: int, skip: int, outputs: int, norm: str) -> None:
        super().__init__()
        self.convs = double_conv(inputs + skip, outputs, norm)

    def forward(self, x_BCHW: Tensor, skip_BCHW: Tensor) -> Tensor:
        """(B, inputs, h, w) and (B, skip, H, W) → (B, outputs, H, W)."""
        merged: Tensor = self.convs(torch.cat((resize(x_BCHW, skip_BCHW), skip_BCHW), dim=1))
        return merged
