# SPDX-License-Identifier: Apache-2.0
"""Networks by name. A new one is a file in this folder and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offroad_seg.errors import InputError
from offroad_seg_train.models.aspp_unet import AsppUNet
from offroad_seg_train.models.attention_unet import AttentionUNet
from offroad_seg_train.models.baseline import BaselineV1
from offroad_seg_train.models.cse_unet import CseUNet
from offroad_seg_train.models.desert import Desert
from offroad_seg_train.models.dinov2_unet import DinoV2UNet
from offroad_seg_train.models.multires_unet import MultiResUNet
from offroad_seg_train.models.resnet_fpn import ResNetFPN
from offroad_seg_train.models.smp_models import DeepLabV3Plus, UNet, UNetPlusPlus
from offroad_seg_train.models.tiny import TinyNet

if TYPE_CHECKING:
    from offroad_seg_train.models.base import SegmentationModel
    from offroad_seg_train.models.config import ModelConfig

MODELS: dict[str, type[SegmentationModel]] = {
    "resnet50_fpn": ResNetFPN,
    "baseline_v1": BaselineV1,
    "tiny": TinyNet,
    "desert": Desert,
    "unet": UNet,
    "unetplusplus": UNetPlusPlus,
    "deeplabv3plus": DeepLabV3Plus,
    "dinov2_unet": DinoV2UNet,
    "aspp_unet": AsppUNet,
    "attention_unet": AttentionUNet,
    "cse_unet": CseUNet,
    "multires_unet": MultiResUNet,
}


def build_model(config: ModelConfig, n_classes: int) -> SegmentationModel:
    """A network that maps normalised images (B, 3, H, W) to logits (B, n_classes, H, W) at the images' size.

    Raises:
        InputError: There is no such network, or its backbone weights cannot be had; the message says the mend.
    """
    if config.name not in MODELS:
        raise InputError(f"no model '{config.name}'", where="model.name", mend=f"one of: {', '.join(MODELS)}")
    return MODELS[config.name](config, n_classes)
