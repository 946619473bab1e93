# SPDX-License-Identifier: Apache-2.0
"""``tiny``: a small encoder–decoder that trains from random weights on a CPU within minutes.

Plain 3×3 convolutions: on a CPU, training them is several times faster than training depthwise ones of the same
quality. The whole image reaches every pixel through dilated blocks and a global average at 1/16; skips up to 1/2 keep
twigs and far-off things, which a map of 1/4 cannot hold at this input size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F  # noqa: N812 (torch's own spelling)
from torch import Tensor, nn

from offroad_seg_train.models.base import SegmentationModel
from offroad_seg_train.models.layers import norm_layer, resize

if TYPE_CHECKING:
    from offroad_seg_train.models.config import ModelConfig


class ConvNormReLU(nn.Sequential):
    """3×3 convolution, norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, norm: str, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            norm_layer(norm, outputs),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    """Two 3×3 convolutions around which the input flows."""

    def __init__(self, channels: int, norm: str, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm1 = norm_layer(norm, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = norm_layer(norm, channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Same shape out as in."""
        y_BCHW = F.relu(self.norm1(self.conv1(x_BCHW)), inplace=True)
        return F.relu(self.norm2(self.conv2(y_BCHW)) + x_BCHW, inplace=True)


class TinyNet(SegmentationModel):
    """Encoder to 1/16, global context, decoder to 1/2, bilinear to full size.

    Args:
        config: ``width`` and ``norm`` are used.
        n_classes: Channels of the logits.
    """

    def __init__(self, config: ModelConfig, n_classes: int) -> None:
        super().__init__()
        width, norm = config.width, config.norm
        self.stem = ConvNormReLU(3, width // 2, norm, stride=2)
        self.stage4 = nn.Sequential(ConvNormReLU(width // 2, width, norm, stride=2), Residual(width, norm))
        self.stage8 = nn.Sequential(
            ConvNormReLU(width, 2 * width, norm, stride=2),
            Residual(2 * width, norm),
            Residual(2 * width, norm),
        )
        self.stage16 = nn.Sequential(
            ConvNormReLU(2 * width, 4 * width, norm, stride=2),
            Residual(4 * width, norm),
            Residual(4 * width, norm, dilation=2),
        )
        self.context = nn.Conv2d(4 * width, width, 1)
        self.lateral16 = nn.Conv2d(4 * width, width, 1)
        self.lateral8 = nn.Conv2d(2 * width, width, 1)
        self.lateral4 = nn.Conv2d(width, width, 1)
        self.decode8 = ConvNormReLU(width, width, norm)
        self.decode4 = ConvNormReLU(width, width, norm)
        self.reduce = nn.Conv2d(width, width // 2, 1)
        self.lateral2 = nn.Conv2d(width // 2, width // 2, 1)
        self.decode2 = ConvNormReLU(width // 2, width // 2, norm)
        self.classifier = nn.Conv2d(width // 2, n_classes, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) → logits (B, C, H, W)."""
        f2 = self.stem(x_BCHW)
        f4 = self.stage4(f2)
        f8 = self.stage8(f4)
        f16 = self.stage16(f8)
        d16 = self.lateral16(f16) + self.context(f16.mean(dim=(2, 3), keepdim=True))
        d8 = self.decode8(self.lateral8(f8) + resize(d16, f8))
        d4 = self.decode4(self.lateral4(f4) + resize(d8, f4))
        d2 = self.decode2(self.lateral2(f2) + resize(self.reduce(d4), f2))
        return resize(self.classifier(d2), x_BCHW)
