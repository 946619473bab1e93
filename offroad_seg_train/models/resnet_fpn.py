# SPDX-License-Identifier: Apache-2.0
"""V3 FPN, the desert model: ResNet50 and a feature pyramid.

The description gives 32.6 M parameters and 51.7 GFLOP at 266×476 with ten classes. These hold here (32.62 M,
51.67 GFLOP; one multiply-add counts as two; only convolutions count, as ``torch.utils.flop_counter`` counts them), and
they settle what the description leaves open: ``p4 = smooth(lat(c4))`` is smoothed too (without it, 32.03 M and
51.5 GFLOP), each level has a smoothing 3×3 convolution of its own, and c2 is rounded up to 34×60 as the usual padded
strides give it. What the figures cannot settle is inferred: smoothing is convolution–norm–GELU like the laterals,
convolutions in front of a norm have no bias, resizing is bilinear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from offroad_seg_train.models.backbone import build_resnet, stages
from offroad_seg_train.models.base import SegmentationModel
from offroad_seg_train.models.layers import DepthwiseSeparable, conv_norm_gelu, resize

if TYPE_CHECKING:
    from offroad_seg_train.models.config import ModelConfig

PYRAMID = 256
FUSED = 512


class ResNetFPN(SegmentationModel):
    """c2 (1/8), c3 (1/16), c4 (1/32) of a ResNet → pyramid of 256 channels → fused head at 1/8.

    Args:
        config: ``backbone``, ``backbone_weights``, ``norm`` and ``frozen`` are used.
        n_classes: Channels of the logits.
    """

    def __init__(self, config: ModelConfig, n_classes: int) -> None:
        super().__init__()
        norm = config.norm
        self.backbone = build_resnet(config, out_indices=(2, 3, 4))
        channels = self.backbone.feature_info.channels()
        self.laterals = nn.ModuleList(conv_norm_gelu(c, PYRAMID, 1, norm) for c in channels)
        self.smooths = nn.ModuleList(conv_norm_gelu(PYRAMID, PYRAMID, 3, norm) for _ in channels)
        self.fuse = nn.Sequential(
            conv_norm_gelu(len(channels) * PYRAMID, FUSED, 3, norm), conv_norm_gelu(FUSED, FUSED, 3, norm)
        )
        self.refine = nn.Sequential(
            DepthwiseSeparable(FUSED, FUSED, 7, norm),
            DepthwiseSeparable(FUSED, PYRAMID, 7, norm),
            DepthwiseSeparable(PYRAMID, PYRAMID, 5, norm),
        )
        self.classifier = nn.Conv2d(PYRAMID, n_classes, 1)
        self.freeze([m for stage in config.frozen for m in stages(self.backbone)[stage]])

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) → logits (B, C, H, W)."""
        features = self.backbone(x_BCHW)
        l2, l3, l4 = (lateral(c) for lateral, c in zip(self.laterals, features, strict=True))
        s2, s3, s4 = self.smooths
        p4 = s4(l4)
        p3 = s3(l3 + resize(p4, l3))
        p2 = s2(l2 + resize(p3, l2))
        fused = self.fuse(torch.cat((p2, resize(p3, p2), resize(p4, p2)), dim=1))
        return resize(self.classifier(self.refine(fused)), x_BCHW)
