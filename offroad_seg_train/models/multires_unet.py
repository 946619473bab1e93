# SPDX-License-Identifier: Apache-2.0
"""MultiRes-UNet: blocks that see several scales, and skip connections that close the gap between encoder and decoder.

Ibtehaz & Rahman, "MultiResUNet: Rethinking the U-Net architecture for multimodal biomedical image segmentation", Neural
Networks 121 (2020) 74–87 (arXiv:1902.04049). Widths and path lengths are the paper's (its count: 7.26 M parameters).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own spelling)
from torch import Tensor, nn

from offroad_seg_train.models.base import SegmentationModel
from offroad_seg_train.models.layers import norm_layer
from offroad_seg_train.models.padding import crop_like, pad_to_multiple
from offroad_seg_train.models.unet_blocks import conv_norm_relu

if TYPE_CHECKING:
    from offroad_seg_train.models.config import ModelConfig

ALPHA = 1.67  # makes a block about as large as the two 3×3 convolutions that it replaces
FILTERS = (32, 64, 128, 256, 512)
PATH_LENGTHS = (4, 3, 2, 1)


def block_widths(filters: int) -> tuple[int, int, int]:
    """Channels of the three convolutions of a MultiRes block: 1/6, 1/3 and 1/2 of α·filters."""
    width = ALPHA * filters
    return int(width / 6), int(width / 3), int(width / 2)


class MultiResBlock(nn.Module):
    """Three 3×3 convolutions in a row, like a 3×3, a 5×5 and a 7×7, side by side; a 1×1 shortcut is added.

    Args:
        inputs: Channels in.
        filters: Channels of the U-Net level that the block replaces.
        norm: ``batch`` or ``layer``.

    Attributes:
        outputs: Channels out, a little less than α·filters.
    """

    def __init__(self, inputs: int, filters: int, norm: str) -> None:
        super().__init__()
        small, middle, large = block_widths(filters)
        self.outputs = small + middle + large
        self.conv3 = conv_norm_relu(inputs, small, 3, norm)
        self.conv5 = conv_norm_relu(small, middle, 3, norm)
        self.conv7 = conv_norm_relu(middle, large, 3, norm)
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, self.outputs, 1, bias=False), norm_layer(norm, self.outputs)
        )
        self.norm1 = norm_layer(norm, self.outputs)
        self.norm2 = norm_layer(norm, self.outputs)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H, W)."""
        a_BCHW = self.conv3(x_BCHW)
        b_BCHW = self.conv5(a_BCHW)
        joined_BCHW = self.norm1(torch.cat((a_BCHW, b_BCHW, self.conv7(b_BCHW)), dim=1))
        out: Tensor = self.norm2(F.relu(joined_BCHW + self.shortcut(x_BCHW)))
        return out


class ResPath(nn.Module):
    """Residual 3×3 convolutions in place of a plain skip connection.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        length: Number of residual convolutions; more where encoder and decoder are further apart.
        norm: ``batch`` or ``layer``.
    """

    def __init__(self, inputs: int, outputs: int, length: int, norm: str) -> None:
        super().__init__()
        widths = (inputs, *([outputs] * length))
        pairs = list(pairwise(widths))
        self.convs = nn.ModuleList(conv_norm_relu(i, o, 3, norm) for i, o in pairs)
        self.shortcuts = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 1, bias=False), norm_layer(norm, o)) for i, o in pairs
        )
        self.norms = nn.ModuleList(norm_layer(norm, o) for _, o in pairs)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H, W)."""
        for conv, shortcut, norm in zip(self.convs, self.shortcuts, self.norms, strict=True):
            x_BCHW = norm(F.relu(conv(x_BCHW) + shortcut(x_BCHW)))
        return x_BCHW


class MultiResUNet(SegmentationModel):
    """U-Net of MultiRes blocks with Res paths; starts from random weights.

    Args:
        config: ``norm`` is used.
        n_classes: Channels of the logits.
    """

    def __init__(self, config: ModelConfig, n_classes: int) -> None:
        super().__init__()
        norm = config.norm
        outputs = [sum(block_widths(f)) for f in FILTERS]
        self.encoder = nn.ModuleList(
            MultiResBlock(i, f, norm) for i, f in zip((3, *outputs[:-1]), FILTERS, strict=True)
        )
        self.paths = nn.ModuleList(
            ResPath(o, f, n, norm) for o, f, n in zip(outputs, FILTERS, PATH_LENGTHS, strict=False)
        )
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(o, f, 2, stride=2) for o, f in zip(outputs[1:], FILTERS, strict=False)
        )
        self.decoder = nn.ModuleList(MultiResBlock(2 * f, f, norm) for f in FILTERS[:-1])
        self.classifier = nn.Conv2d(outputs[0], n_classes, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) of any size → logits (B, C, H, W)."""
        y_BCHW = pad_to_multiple(x_BCHW, 2 ** len(PATH_LENGTHS))
        *levels, bottom = self.encoder
        skips = []
        for level, path in zip(levels, self.paths, strict=True):
            y_BCHW = level(y_BCHW)
            skips.append(path(y_BCHW))
            y_BCHW = F.max_pool2d(y_BCHW, 2)
        y_BCHW = bottom(y_BCHW)
        for i in reversed(range(len(levels))):
            y_BCHW = self.decoder[i](torch.cat((self.ups[i](y_BCHW), skips[i]), dim=1))
        return crop_like(self.classifier(y_BCHW), x_BCHW)
