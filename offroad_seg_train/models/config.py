# SPDX-License-Identifier: Apache-2.0
"""What a network is made of, as plain settings that a checkpoint carries."""

from __future__ import annotations

from dataclasses import dataclass, field

from offroad_seg.errors import InputError

RESNET_STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")


@dataclass(frozen=True)
class ModelConfig:
    """Which network, and how it starts.

    Attributes:
        name: ``resnet50_fpn`` (V3), ``baseline_v1``, or ``tiny`` (for CPUs and first tries).
        backbone: timm name of the ResNet; ``resnet50.tv2_in1k`` is torchvision's IMAGENET1K_V2. Not for ``tiny``.
        backbone_weights: ``timm`` fetches ImageNet weights from the hub, ``none`` starts from random numbers, anything
            else is a file of ResNet weights (.pth, .safetensors; timm's and torchvision's names are the same).
        norm: Normalisation in the head: ``batch``, or ``layer`` as the original slides draw it.
        frozen: Backbone stages whose weights and BatchNorm statistics stay still: stem, layer1 … layer4.
        width: Channels of ``tiny`` at 1/4 resolution; the deeper stages are 2 and 4 times as wide.
    """

    name: str = "resnet50_fpn"
    backbone: str = "resnet50.tv2_in1k"
    backbone_weights: str = "timm"
    norm: str = "batch"
    frozen: list[str] = field(default_factory=list)
    width: int = 48

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
        if self.name == "tiny" and self.frozen:
            raise InputError(
                "`tiny` starts from random weights: frozen stages would stay random",
                where="model.frozen",
                mend="leave model.frozen out",
            )
        if self.width < 8:
            raise InputError(
                f"width {self.width} is too small", where="model.width", mend="8 or more; 48 is usual"
            )
