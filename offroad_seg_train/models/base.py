# SPDX-License-Identifier: Apache-2.0
"""What every network has in common: parameter groups, and frozen parts that really stay still."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from typing_extensions import Self


class SegmentationModel(nn.Module):
    """Maps normalised float images (B, 3, H, W) to logits (B, C, H, W) at the images' size.

    A subclass sets ``self.backbone`` where it has one: its parameters get the backbone's learning rate.
    """

    backbone: nn.Module | None

    def __init__(self) -> None:
        super().__init__()
        self.backbone = None
        self._frozen: list[nn.Module] = []

    def freeze(self, modules: list[nn.Module]) -> None:
        """Stop the training of these modules for good: no gradients, and evaluation mode even under ``train()``."""
        self._frozen = modules
        for module in modules:
            module.requires_grad_(False)
            module.eval()

    @property
    def frozen_modules(self) -> list[nn.Module]:
        """What ``freeze`` was given."""
        return list(self._frozen)

    def train(self, mode: bool = True) -> Self:
        """As ``nn.Module.train``, but frozen BatchNorm keeps using and never moves its statistics."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Trainable parameters as ``backbone`` and ``head``; an empty group is left out."""
        inner = {id(p) for p in self.backbone.parameters()} if self.backbone is not None else set()
        trainable = [p for p in self.parameters() if p.requires_grad]
        groups = {
            "backbone": [p for p in trainable if id(p) in inner],
            "head": [p for p in trainable if id(p) not in inner],
        }
        return {name: parameters for name, parameters in groups.items() if parameters}

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalised images → logits of the same height and width."""
        raise NotImplementedError
