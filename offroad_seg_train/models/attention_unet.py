# SPDX-License-Identifier: Apache-2.0
"""Attention U-Net: skip connections let through what the coarser features ask for.

Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018 (arXiv:1804.03999). The gates are
the paper's additive ones on its grid (the coarser signal's); the encoder is a timm backbone instead of plain
convolutions, so that pretrained weights can be used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from offroad_seg_train.models.layers import norm_layer, resize
from offroad_seg_train.models.pyramid_unet import PyramidUNet

if TYPE_CHECKING:
    from offroad_seg_train.models.config import ModelConfig


class AttentionGate(nn.Module):
    """Weighs each place of a skip connection between 0 and 1.

    q = ψ(ReLU(W_x x + W_g g)); α = σ(q), worked out on g's grid and upsampled; then W(α·x).

    Args:
        skip: Channels of the skip connection x.
        gating: Channels of the coarser signal g.
        norm: ``batch`` or ``layer``.
    """

    def __init__(self, skip: int, gating: int, norm: str) -> None:
        super().__init__()
        inner = max(skip // 2, 8)
        self.of_skip = nn.Conv2d(skip, inner, 2, stride=2, bias=False)
        self.of_gating = nn.Conv2d(gating, inner, 1)
        self.relu = nn.ReLU(inplace=True)
        self.to_weight = nn.Conv2d(inner, 1, 1)
        self.out = nn.Sequential(nn.Conv2d(skip, skip, 1), norm_layer(norm, skip))

    def forward(self, skip_BCHW: Tensor, gating_BCHW: Tensor) -> Tensor:
        """(B, skip, 2h, 2w) and (B, gating, h, w) → (B, skip, 2h, 2w)."""
        joined_BCHW = self.relu(self.of_skip(skip_BCHW) + self.of_gating(gating_BCHW))
        weight_B1HW = resize(self.to_weight(joined_BCHW).sigmoid(), skip_BCHW)
        gated: Tensor = self.out(weight_B1HW * skip_BCHW)
        return gated


class AttentionUNet(PyramidUNet):
    """``PyramidUNet`` with an attention gate before each skip connection.

    Args:
        config: As ``PyramidUNet``.
        n_classes: Channels of the logits.
    """

    def __init__(self, config: ModelConfig, n_classes: int) -> None:
        super().__init__(config, n_classes)
        self.gates = nn.ModuleList(
            AttentionGate(skip, gating, config.norm)
            for skip, gating in zip(self.skips, self.below, strict=True)
        )
