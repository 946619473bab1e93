# SPDX-License-Identifier: Apache-2.0
"""A network with its normalisation in front: training, evaluation and the exported graph all use this one module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from offroad_seg.image import Normalization


class NormalizedModel(nn.Module):
    """uint8 pixels in, logits out.

    Args:
        model: Maps normalised float images (B, 3, H, W) to logits (B, C, H, W).
        normalization: Mean and standard deviation of RGB scaled to 0–1.
    """

    offset_311: Tensor
    scale_311: Tensor

    def __init__(self, model: nn.Module, normalization: Normalization) -> None:
        super().__init__()
        self.model = model
        mean, std = torch.tensor(normalization.mean), torch.tensor(normalization.std)
        # One multiplication and one addition on the device. Not in the state dict: the checkpoint's record has them.
        self.register_buffer("scale_311", (1 / (255 * std)).view(3, 1, 1), persistent=False)
        self.register_buffer("offset_311", (-mean / std).view(3, 1, 1), persistent=False)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Images (B, 3, H, W), uint8 RGB 0–255 → logits (B, C, H, W)."""
        return self.model(image_BCHW.to(self.scale_311.dtype) * self.scale_311 + self.offset_311)
