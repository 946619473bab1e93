# SPDX-License-Identifier: Apache-2.0
"""CSE-UNet: a second, multi-kernel encoding path, and receptive field blocks on the skip connections.

Wang & Xie, "A Context and Semantic Enhanced UNet for Semantic Segmentation of High-Resolution Aerial Imagery", J.
Phys.: Conf. Ser. 1607 (2020) 012083, in the sizes of a student comparison on ISPRS Potsdam: widths 64 … 1024, one
strided convolution of 7×7, 5×5, 3×3 and 2×2 beside the four encoder levels, added to the pooled features; on each skip
a stack of plain convolutions beside one dilated convolution. The count of that comparison with seven classes,
36,988,807 parameters, is met exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own spelling)
from torch import Tensor, nn

from offroad_seg_train.models.base import SegmentationModel
from offroad_seg_train.models.layers import norm_layer, resize
from offroad_seg_train.models.padding import crop_like, pad_to_multiple
from offroad_seg_train.models.unet_blocks import conv_norm_relu, double_conv

if TYPE_CHECKING:
    from offroad_seg_train.models.config import ModelConfig

WIDTHS = (64, 128, 256, 512)
BRIDGE = 1024
SIDE_KERNELS = (7, 5, 3, 2)
# Kernels of the stacked convolutions on each skip, and the dilation of the one beside them: wide context for the fine
# levels, none for the coarse ones, which have it already.
STACKS = ((3, 3, 3), (3, 3), (1,), (1,))
DILATIONS = (7, 5, 3, 1)


class DualPathLevel(nn.Module):
    """Two 3×3 convolutions and pooling, and one strided convolution of a larger kernel; both are added.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Of the strided convolution.
        norm: ``batch`` or ``layer``.
        dropout: Share of channels left out behind the 3×3 convolutions.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, norm: str, dropout: float) -> None:
        super().__init__()
        self.main = double_conv(inputs, outputs, norm, dropout)
        self.side = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel, stride=2, padding=(kernel - 1) // 2, bias=False),
            norm_layer(norm, outputs),
        )

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """(B, inputs, H, W) → features for the skip (B, outputs, H, W), features below (B, outputs, H/2, W/2)."""
        full_BCHW = self.main(x_BCHW)
        return full_BCHW, F.relu(F.max_pool2d(full_BCHW, 2) + self.side(x_BCHW))


class ReceptiveFieldSkip(nn.Module):
    """Stacked convolutions beside a dilated one; twice the channels come out.

    Args:
        channels: Channels in.
        stack: Kernels of the stacked convolutions.
        dilation: Of the 3×3 convolution beside them.
        norm: ``batch`` or ``layer``.
    """

    def __init__(self, channels: int, stack: tuple[int, ...], dilation: int, norm: str) -> None:
        super().__init__()
        self.stack = nn.Sequential(*(conv_norm_relu(channels, channels, k, norm) for k in stack))
        self.dilated = conv_norm_relu(channels, channels, 3, norm, dilation=dilation)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, channels, H, W) → (B, 2·channels, H, W)."""
        return torch.cat((self.stack(x_BCHW), self.dilated(x_BCHW)), dim=1)


class CseUNet(SegmentationModel):
    """Context and Semantic Enhanced U-Net; starts from random weights.

    Args:
        config: ``norm`` and ``dropout`` (its authors: 0.2) are used.
        n_classes: Channels of the logits.
    """

    def __init__(self, config: ModelConfig, n_classes: int) -> None:
        super().__init__()
        norm, dropout = config.norm, config.dropout
        inputs = (3, *WIDTHS[:-1])
        self.levels = nn.ModuleList(
            DualPathLevel(i, o, k, norm, dropout)
            for i, o, k in zip(inputs, WIDTHS, SIDE_KERNELS, strict=True)
        )
        self.skips = nn.ModuleList(
            ReceptiveFieldSkip(w, s, d, norm) for w, s, d in zip(WIDTHS, STACKS, DILATIONS, strict=True)
        )
        self.bridge = double_conv(WIDTHS[-1], BRIDGE, norm, dropout)
        below = (*WIDTHS[1:], BRIDGE)
        self.narrow = nn.ModuleList(nn.Conv2d(b, w, 1) for b, w in zip(below, WIDTHS, strict=True))
        self.decode = nn.ModuleList(double_conv(3 * w, w, norm, dropout) for w in WIDTHS)
        self.classifier = nn.Conv2d(WIDTHS[0], n_classes, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) of any size → logits (B, C, H, W)."""
        y_BCHW = pad_to_multiple(x_BCHW, 2 ** len(WIDTHS))
        contexts = []
        for level, skip in zip(self.levels, self.skips, strict=True):
            full_BCHW, y_BCHW = level(y_BCHW)
            contexts.append(skip(full_BCHW))
        y_BCHW = self.bridge(y_BCHW)
        for i in reversed(range(len(WIDTHS))):
            # 1×1 before resizing gives the same numbers as after it, at a quarter of the cost.
            raised_BCHW = resize(self.narrow[i](y_BCHW), contexts[i])
            y_BCHW = self.decode[i](torch.cat((raised_BCHW, contexts[i]), dim=1))
        return crop_like(self.classifier(y_BCHW), x_BCHW)
