# SPDX-License-Identifier: Apache-2.0
"""A vision transformer as encoder, transposed convolutions as decoder; made for frozen DINOv2.

The backbone is Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", 2023 (arXiv:2304.07193);
any other vision transformer of timm will do. At 518×518 ViT-B/14 gives 768×37×37; four transposed convolutions
(768 → 512 → 256 → 128 → 64) raise it to 592×592, of which the centre is kept, and a 1×1 convolution gives the logits.

Sixteenfold raising of patches of 14 pixels is what makes that crop necessary, and it moves things: what is decoded at
the border of a 518×518 image belongs 32 pixels further in. With ``skips`` the maps are resized to the image instead, so
that pixels stay where they are; earlier blocks of the backbone and the image itself are added on the way up, as in
Hatamizadeh et al., "UNETR", WACV 2022 (arXiv:2103.10504).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import timm
import torch.nn.functional as F  # noqa: N812 (torch's own spelling)
from torch import Tensor, nn

from offroad_seg.errors import InputError
from offroad_seg_train.models.backbone import check_name, with_weights
from offroad_seg_train.models.base import SegmentationModel
from offroad_seg_train.models.layers import resize
from offroad_seg_train.models.padding import crop_like, pad_to_multiple
from offroad_seg_train.models.unet_blocks import double_conv

if TYPE_CHECKING:
    from offroad_seg_train.models.config import ModelConfig

WIDTHS = (512, 256, 128, 64)
RAISED = 2 ** len(WIDTHS)


class DinoV2UNet(SegmentationModel):
    """Transformer encoder, four transposed convolutions.

    Args:
        config: ``backbone``, ``backbone_weights``, ``norm``, ``frozen`` and ``skips`` are used. ``frozen`` counts the
            transformer's blocks by quarters, ``layer1`` to ``layer4``; ``stem`` is the embedding.
        n_classes: Channels of the logits.

    Raises:
        InputError: The backbone is no vision transformer of timm, or its weights cannot be had.
    """

    def __init__(self, config: ModelConfig, n_classes: int) -> None:
        super().__init__()
        check_name(config)
        self.backbone = with_weights(config, lambda pretrained: _transformer(config, pretrained))
        self.patch: int = self.backbone.patch_embed.patch_size[0]
        n_blocks, width = len(self.backbone.blocks), self.backbone.embed_dim
        # The last block of each quarter.
        self.taken = [(q + 1) * n_blocks // 4 - 1 for q in range(4)] if config.skips else [n_blocks - 1]
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(i, o, 2, stride=2) for i, o in zip((width, *WIDTHS[:-1]), WIDTHS, strict=True)
        )
        self.joints: nn.ModuleList | None = None
        if config.skips:
            # Third, second and first quarter join after the first three raisings, the image after the last.
            self.joints = nn.ModuleList(nn.Conv2d(width, w, 1) for w in WIDTHS[:-1])
            self.of_image = double_conv(3, WIDTHS[-1], config.norm)
            self.refine = nn.ModuleList(double_conv(w, w, config.norm) for w in WIDTHS)
        self.classifier = nn.Conv2d(WIDTHS[-1], n_classes, 1)
        self.freeze(self._stages(config.frozen))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) of any size → logits (B, C, H, W)."""
        padded_BCHW = pad_to_multiple(x_BCHW, self.patch)
        *earlier, y_BCHW = self.backbone.forward_intermediates(
            padded_BCHW, indices=self.taken, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        if self.joints is None:
            for up in self.ups:
                y_BCHW = F.relu(up(y_BCHW))
            return crop_like(self._centre(self.classifier(y_BCHW), padded_BCHW), x_BCHW)
        for i, up in enumerate(self.ups):
            y_BCHW = up(y_BCHW)
            if i < len(self.joints):
                y_BCHW = y_BCHW + resize(self.joints[i](earlier[-1 - i]), y_BCHW)
            else:
                y_BCHW = resize(y_BCHW, padded_BCHW) + self.of_image(padded_BCHW)
            y_BCHW = self.refine[i](y_BCHW)
        return crop_like(self.classifier(y_BCHW), x_BCHW)

    def _centre(self, logits_BCHW: Tensor, like_BCHW: Tensor) -> Tensor:
        if self.patch > RAISED:
            return resize(logits_BCHW, like_BCHW)
        height, width = like_BCHW.shape[-2:]
        top, left = (logits_BCHW.shape[-2] - height) // 2, (logits_BCHW.shape[-1] - width) // 2
        return logits_BCHW[..., top : top + height, left : left + width]

    def _stages(self, names: list[str]) -> list[nn.Module]:
        vit: Any = self.backbone
        blocks = list(vit.blocks)
        n = len(blocks)
        stages: dict[str, list[nn.Module]] = {
            f"layer{q + 1}": blocks[q * n // 4 : (q + 1) * n // 4] for q in range(4)
        }
        stages["stem"] = [vit.patch_embed, vit.norm_pre]
        # Learned tokens and positions are no modules: they go with the embedding.
        if "stem" in names:
            for parameter in vit.parameters(recurse=False):
                parameter.requires_grad_(False)
        stages["layer4"].append(vit.norm)
        return [module for name in names for module in stages[name]]


def _transformer(config: ModelConfig, pretrained: bool) -> Any:
    # The classifier head and what only it uses are left out; any image size is allowed.
    try:
        model = timm.create_model(
            config.backbone, pretrained=pretrained, num_classes=0, global_pool="", dynamic_img_size=True
        )
    except TypeError:
        model = None
    if model is None or not hasattr(model, "forward_intermediates") or not hasattr(model, "patch_embed"):
        raise InputError(
            f"{config.backbone} is no vision transformer",
            where="model.backbone, for model.name=dinov2_unet",
            mend="for example vit_base_patch14_dinov2.lvd142m or vit_small_patch14_dinov2.lvd142m",
        )
    return model
