# SPDX-License-Identifier: Apache-2.0
"""Baseline v1: one ConvNeXt-style block on the last feature map of a frozen ResNet50.

The width (128) and the 7×7 stem in front of the block are those of the sample script that challenge entrants started
from; the description of v1 does not give them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from offroad_seg_train.models.backbone import build_resnet, stages
from offroad_seg_train.models.base import SegmentationModel
from offroad_seg_train.models.layers import resize

if TYPE_CHECKING:
    from offroad_seg_train.models.config import ModelConfig

WIDTH = 128


class BaselineV1(SegmentationModel):
    """c4 (1/32) → stem → depthwise 7×7 and pointwise 1×1 → classes.

    Args:
        config: ``backbone``, ``backbone_weights`` and ``frozen`` are used; v1 freezes every stage.
        n_classes: Channels of the logits.
    """

    def __init__(self, config: ModelConfig, n_classes: int) -> None:
        super().__init__()
        self.backbone = build_resnet(config, out_indices=(4,))
        (channels,) = self.backbone.feature_info.channels()
        self.stem = nn.Sequential(nn.Conv2d(channels, WIDTH, 7, padding=3), nn.GELU())
        self.block = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 7, padding=3, groups=WIDTH),
            nn.GELU(),
            nn.Conv2d(WIDTH, WIDTH, 1),
            nn.GELU(),
        )
        self.classifier = nn.Conv2d(WIDTH, n_classes, 1)
        self.freeze([m for stage in config.frozen for m in stages(self.backbone)[stage]])

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) → logits (B, C, H, W)."""
        (c4,) = self.backbone(x_BCHW)
        return resize(self.classifier(self.block(self.stem(c4))), x_BCHW)
