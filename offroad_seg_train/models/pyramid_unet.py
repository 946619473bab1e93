# SPDX-License-Identifier: Apache-2.0
"""A U-Net decoder on the features of any timm backbone, with room for a bottleneck and gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import timm
from torch import Tensor, nn

from offroad_seg_train.models.backbone import check_pyramid, with_weights
from offroad_seg_train.models.base import SegmentationModel
from offroad_seg_train.models.feature_stages import modules_of_stages
from offroad_seg_train.models.layers import resize
from offroad_seg_train.models.padding import crop_like, pad_to_multiple
from offroad_seg_train.models.unet_blocks import UpBlock

if TYPE_CHECKING:
    from offroad_seg_train.models.config import ModelConfig

STRIDE = 32
WIDTHS = (256, 128, 64, 32, 32)  # from 1/16 up; as many as the backbone has features above 1/32


class PyramidUNet(SegmentationModel):
    """Backbone features from 1/32 up to the finest, joined level by level; logits are upsampled bilinearly.

    A subclass puts something in the place of ``bottleneck`` (at 1/32) or ``gates`` (before each skip).

    Args:
        config: ``backbone``, ``backbone_weights``, ``norm`` and ``frozen`` are used.
        n_classes: Channels of the logits.
        bottleneck_width: Channels that the bottleneck gives; 0 for those of the backbone.

    Raises:
        InputError: timm has no such backbone, or it gives no pyramid of features; or its weights cannot be had.
    """

    def __init__(self, config: ModelConfig, n_classes: int, bottleneck_width: int = 0) -> None:
        super().__init__()
        check_pyramid(config)
        self.backbone = with_weights(
            config,
            lambda pretrained: timm.create_model(config.backbone, pretrained=pretrained, features_only=True),
        )
        self.channels: list[int] = self.backbone.feature_info.channels()
        self.channels_last = getattr(self.backbone, "output_fmt", "NCHW") == "NHWC"
        self.bottleneck: nn.Module = nn.Identity()
        skips = self.channels[-2::-1]
        below = [bottleneck_width or self.channels[-1], *WIDTHS][: len(skips)]
        self.gates: nn.ModuleList | None = None
        self.blocks = nn.ModuleList(
            UpBlock(b, s, w, config.norm) for b, s, w in zip(below, skips, WIDTHS, strict=False)
        )
        self.below, self.skips = below, skips
        self.classifier = nn.Conv2d(WIDTHS[len(skips) - 1], n_classes, 1)
        self.freeze(modules_of_stages(self.backbone, config))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) of any size → logits (B, C, H, W)."""
        padded_BCHW = pad_to_multiple(x_BCHW, STRIDE)
        features = self.backbone(padded_BCHW)
        if self.channels_last:
            features = [f.permute(0, 3, 1, 2).contiguous() for f in features]
        y_BCHW = self.bottleneck(features[-1])
        for level, (block, skip_BCHW) in enumerate(zip(self.blocks, features[-2::-1], strict=True)):
            gated_BCHW = skip_BCHW if self.gates is None else self.gates[level](skip_BCHW, y_BCHW)
            y_BCHW = block(y_BCHW, gated_BCHW)
        return crop_like(resize(self.classifier(y_BCHW), padded_BCHW), x_BCHW)
