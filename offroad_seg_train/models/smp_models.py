# SPDX-License-Identifier: Apache-2.0
"""Networks of segmentation-models-pytorch, on any timm backbone that gives a pyramid of features.

- ``unet``: Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015.
- ``unetplusplus``: Zhou et al., "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", DLMIA 2018.
- ``deeplabv3plus``: Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
  Segmentation", ECCV 2018.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import segmentation_models_pytorch as smp
from segmentation_models_pytorch.decoders.deeplabv3.decoder import ASPPPooling
from torch import Tensor, nn

from offroad_seg_train.models.backbone import check_pyramid, with_weights
from offroad_seg_train.models.base import SegmentationModel
from offroad_seg_train.models.feature_stages import modules_of_stages
from offroad_seg_train.models.padding import crop_like, pad_to_multiple

if TYPE_CHECKING:
    from offroad_seg_train.models.config import ModelConfig

STRIDE = 32


class SmpModel(SegmentationModel):
    """One network of the library around a timm backbone.

    Args:
        config: ``backbone``, ``backbone_weights`` and ``frozen`` are used.
        n_classes: Channels of the logits.

    Raises:
        InputError: timm has no such backbone, or it gives no pyramid of features; or its weights cannot be had.
    """

    architecture: ClassVar[type[Any]]

    def __init__(self, config: ModelConfig, n_classes: int) -> None:
        super().__init__()
        check_pyramid(config)
        self.network = with_weights(
            config,
            lambda pretrained: self.architecture(
                encoder_name=f"tu-{config.backbone}",
                encoder_weights=pretrained or None,
                classes=n_classes,
            ),
            _timm_model,
        )
        self.backbone = self.network.encoder
        keep_single_images_trainable(self.network)
        self.freeze(modules_of_stages(_timm_model(self.network), config))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) of any size → logits (B, C, H, W)."""
        logits_BCHW: Tensor = self.network(pad_to_multiple(x_BCHW, STRIDE))
        return crop_like(logits_BCHW, x_BCHW)


class UNet(SmpModel):
    """U-Net with a timm backbone as its encoder."""

    architecture = smp.Unet


class UNetPlusPlus(SmpModel):
    """UNet++: nested, dense skip pathways."""

    architecture = smp.UnetPlusPlus


class DeepLabV3Plus(SmpModel):
    """Atrous pyramid at 1/16 and a small decoder at 1/4."""

    architecture = smp.DeepLabV3Plus


def keep_single_images_trainable(network: nn.Module) -> None:
    """Take the BatchNorm out of pooled branches of the library.

    One image is one value a channel there, and BatchNorm refuses to train on it: the last, smaller batch of an epoch
    would end the run.
    """
    for module in network.modules():
        if isinstance(module, ASPPPooling):
            for index, layer in enumerate(module):
                if isinstance(layer, nn.BatchNorm2d):
                    module[index] = nn.Identity()


def _timm_model(network: Any) -> Any:
    return network.encoder.model
