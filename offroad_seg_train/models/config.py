# SPDX-License-Identifier: Apache-2.0
"""What a network is made of, as plain settings that a checkpoint carries."""

from __future__ import annotations

from dataclasses import dataclass, field

from offroad_seg.errors import InputError

RESNET_STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
FROM_SCRATCH = ("tiny", "cse_unet", "multires_unet")


@dataclass(frozen=True)
class ModelConfig:
    """Which network, and how it starts.

    Attributes:
        name: ``resnet50_fpn`` (V3), ``baseline_v1``, ``tiny`` (for CPUs and first tries), or one of the others that
            ``offroad_seg_train.models.registry`` lists.
        backbone: timm name; ``resnet50.tv2_in1k`` is torchvision's IMAGENET1K_V2. A ResNet for ``resnet50_fpn`` and
            ``baseline_v1``, a vision transformer for ``dinov2_unet``, any that gives a pyramid of features for
            ``desert``, the U-Nets and ``deeplabv3plus``; not used by ``tiny``, ``cse_unet`` and ``multires_unet``.
        backbone_weights: ``timm`` fetches pretrained weights from the hub, ``none`` starts from random numbers,
            anything else is a file of the backbone's weights (.pth, .safetensors; for ResNets timm's and torchvision's
            names are the same).
        norm: Normalisation in the head: ``batch``, or ``layer`` as the original slides draw it.
        frozen: Backbone stages whose weights and BatchNorm statistics stay still: stem, layer1 … layer4. Of a backbone
            with other names, its last four stages (a transformer's four quarters) and what comes before them.
        width: Channels of ``tiny`` at 1/4 resolution, where the deeper stages are 2 and 4 times as wide, and of the
            pyramid of ``desert``, which has half as many at 1/2.
        dropout: Share of channels that training leaves out, 0 to below 1; used by ``cse_unet`` and ``aspp_unet``.
        skips: Whether ``dinov2_unet`` also sees earlier blocks of its backbone and the image itself.
    """

    name: str = "resnet50_fpn"
    backbone: str = "resnet50.tv2_in1k"
    backbone_weights: str = "timm"
    norm: str = "batch"
    frozen: list[str] = field(default_factory=list)
    width: int = 48
    dropout: float = 0.0
    skips: bool = False

    def __post_init__(self) -> None:
        if self.norm not in ("batch", "layer"):
            raise InputError(
                f"{self.norm!r} is not a normalisation", where="model.norm", mend="batch or layer"
            )
        if unknown := [stage for stage in self.frozen if stage not in RESNET_STAGES]:
            raise InputError(
                f"no such stages: {', '.join(unknown)}",
                where="model.frozen",
                mend=f"of {', '.join(RESNET_STAGES)}",
            )
        if self.name in FROM_SCRATCH and self.frozen:
            raise InputError(
                f"`{self.name}` starts from random weights: frozen stages would stay random",
                where="model.frozen",
                mend="leave model.frozen out",
            )
        if self.width < 8:
            raise InputError(
                f"width {self.width} is too small", where="model.width", mend="8 or more; 48 is usual"
            )
        if not 0 <= self.dropout < 1:
            raise InputError(
                f"it is {self.dropout}", where="model.dropout", mend="0 to below 1; 0.2 is usual"
            )
