# SPDX-License-Identifier: Apache-2.0
"""``desert``: a network that learns fast from few images, at six tenths of V3's operations or less.

V3 spends 30.3 of its 51.7 GFLOP above the backbone, 24.1 of them on two 3×3 convolutions of 768 and 512 channels at
1/8 (its large depthwise kernels take 0.2), and sees nothing finer than 1/8. Here

- the pyramid goes up to 1/2: features of 1/4 join it, and two convolutions on the image itself give it twigs, stones
  and sharp edges;
- every level from 1/32 to 1/2 votes on the classes, and the votes are added up: the loss reaches the deep layers on a
  short way, which is what made the most difference from random weights;
- levels are added, not concatenated, and are 128 channels wide (``desert_small``: 64);
- what is far away comes in at 1/32 for next to nothing: the mean of the whole image, and the mean of each row;
- it is plain convolutions with BatchNorm and ReLU, which learn from random weights in a few hundred steps and are
  fast on every run time.

Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017 (arXiv:1612.03144), for the pyramid; Long et
al., "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015 (arXiv:1411.4038), for the added votes; Liu et
al., "ParseNet: Looking Wider to See Better", 2015 (arXiv:1506.04579), for the mean of the image; Hou et al., "Strip
Pooling", CVPR 2020 (arXiv:2003.13328), for the mean of a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import timm
from torch import Tensor, nn

from offroad_seg_train.models.backbone import check_pyramid, with_weights
from offroad_seg_train.models.base import SegmentationModel
from offroad_seg_train.models.feature_stages import modules_of_stages
from offroad_seg_train.models.layers import resize
from offroad_seg_train.models.padding import crop_like, pad_to_multiple
from offroad_seg_train.models.unet_blocks import conv_norm_relu

if TYPE_CHECKING:
    from offroad_seg_train.models.config import ModelConfig

# Sides that divide make every step of the pyramid exactly twofold: levels lie on each other without a shift.
STRIDE = 32


class Context(nn.Module):
    """Adds to each place what the whole image and what its row hold.

    Args:
        inputs: Channels of the backbone's last features.
        outputs: Channels of the result.
        norm: ``batch`` or ``layer``.
    """

    def __init__(self, inputs: int, outputs: int, norm: str) -> None:
        super().__init__()
        self.project = conv_norm_relu(inputs, outputs, 1, norm)
        self.of_image = nn.Conv2d(outputs, outputs, 1)
        self.of_row = nn.Conv2d(outputs, outputs, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, inputs, h, w) → (B, outputs, h, w)."""
        y_BCHW = self.project(x_BCHW)
        # Means, not adaptive pooling: every run time has them, for any size.
        row_BCH1 = y_BCHW.mean(3, keepdim=True)
        image_BC11 = row_BCH1.mean(2, keepdim=True)
        joined: Tensor = y_BCHW + self.of_row(row_BCH1) + self.of_image(image_BC11)
        return joined


class Desert(SegmentationModel):
    """Backbone features from 1/32 to 1/4, and the image at 1/2, added level by level; logits at 1/2, upsampled.

    Args:
        config: ``backbone``, ``backbone_weights``, ``width``, ``norm`` and ``frozen`` are used.
        n_classes: Channels of the logits.

    Raises:
        InputError: timm has no such backbone, or it gives no pyramid of features; or its weights cannot be had.
    """

    def __init__(self, config: ModelConfig, n_classes: int) -> None:
        super().__init__()
        check_pyramid(config)
        self.backbone = with_weights(
            config,
            lambda pretrained: timm.create_model(config.backbone, pretrained=pretrained, features_only=True),
        )
        self.channels_last = getattr(self.backbone, "output_fmt", "NCHW") == "NHWC"
        c4, c8, c16, c32 = self.backbone.feature_info.channels()[-4:]
        width, fine, norm = config.width, config.width // 2, config.norm
        self.context = Context(c32, width, norm)
        self.votes = nn.ModuleList(nn.Conv2d(width, n_classes, 1) for _ in range(4))
        self.laterals = nn.ModuleList(conv_norm_relu(c, width, 1, norm) for c in (c16, c8, c4))
        self.smooths = nn.ModuleList(conv_norm_relu(width, width, 3, norm) for _ in self.laterals)
        self.reduce = nn.Conv2d(width, fine, 1)
        self.detail = nn.Sequential(
            conv_norm_relu(3, fine // 2, 3, norm, stride=2), conv_norm_relu(fine // 2, fine, 3, norm)
        )
        self.smooth2 = conv_norm_relu(fine, fine, 3, norm)
        self.classifier = nn.Conv2d(fine, n_classes, 1)
        self.freeze(modules_of_stages(self.backbone, config))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) of any size → logits (B, C, H, W)."""
        padded_BCHW = pad_to_multiple(x_BCHW, STRIDE)
        features = self.backbone(padded_BCHW)
        if self.channels_last:
            features = [f.permute(0, 3, 1, 2).contiguous() for f in features]
        y_BCHW = self.context(features[-1])
        first, *finer = self.votes
        logits_BCHW = first(y_BCHW)
        # From 1/16 to 1/4; what a backbone gives at 1/2 is left to `detail`, which every backbone can have.
        for f, lateral, smooth, vote in zip(
            features[-2:-5:-1], self.laterals, self.smooths, finer, strict=True
        ):
            side_BCHW = lateral(f)
            y_BCHW = smooth(side_BCHW + resize(y_BCHW, side_BCHW))
            logits_BCHW = vote(y_BCHW) + resize(logits_BCHW, side_BCHW)
        detail_BCHW = self.detail(padded_BCHW)
        y_BCHW = self.smooth2(detail_BCHW + resize(self.reduce(y_BCHW), detail_BCHW))
        logits_BCHW = self.classifier(y_BCHW) + resize(logits_BCHW, detail_BCHW)
        return crop_like(resize(logits_BCHW, padded_BCHW), x_BCHW)
