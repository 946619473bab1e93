# SPDX-License-Identifier: Apache-2.0
"""U-Net whose deepest features go through an atrous spatial pyramid (ASPP).

The pyramid is that of Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017
(arXiv:1706.05587), from segmentation-models-pytorch. Its rates there, 6, 12 and 18 at 1/16, are halved here, at 1/32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segmentation_models_pytorch.decoders.deeplabv3.decoder import ASPP

from offroad_seg_train.models.pyramid_unet import PyramidUNet
from offroad_seg_train.models.smp_models import keep_single_images_trainable

if TYPE_CHECKING:
    from offroad_seg_train.models.config import ModelConfig

WIDTH = 256
RATES = (3, 6, 9)


class AsppUNet(PyramidUNet):
    """``PyramidUNet`` with an atrous pyramid at 1/32.

    Args:
        config: As ``PyramidUNet``, and ``dropout`` behind the pyramid.
        n_classes: Channels of the logits.
    """

    def __init__(self, config: ModelConfig, n_classes: int) -> None:
        super().__init__(config, n_classes, WIDTH)
        self.bottleneck = ASPP(self.channels[-1], WIDTH, RATES, separable=False, dropout=config.dropout)
        keep_single_images_trainable(self.bottleneck)
