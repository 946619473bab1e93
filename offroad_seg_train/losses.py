# SPDX-License-Identifier: Apache-2.0
"""What the network is trained to make small. Pixels labelled 255 take no part in any term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own spelling)
from torch import Tensor, nn

from offroad_seg.errors import InputError
from offroad_seg.types import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Sequence

CLASS_WEIGHTS = {"none": 0.0, "inverse": 1.0, "inverse_sqrt": 0.5}
"""Names of the class weights and the power of 1/frequency that each is."""


@dataclass(frozen=True)
class LossConfig:
    """Cross-entropy, and soft Dice on top.

    Attributes:
        class_weights: Weights of the cross-entropy from the class frequencies f in the training labels: ``none``,
            ``inverse`` (1/f; one very rare class pushes all others to ``weight_min``), or ``inverse_sqrt`` (1/√f).
        weight_min: Smallest class weight, after scaling their mean to 1.
        weight_max: Largest class weight.
        label_smoothing: Part of each target that is spread over all classes, 0–1.
        dice: Weight of soft Dice; 0 leaves it out.
    """

    class_weights: str = "none"
    weight_min: float = 0.1
    weight_max: float = 15.0
    label_smoothing: float = 0.0
    dice: float = 0.0

    def __post_init__(self) -> None:
        if self.class_weights not in CLASS_WEIGHTS:
            raise InputError(
                f"no class weights '{self.class_weights}'",
                where="loss.class_weights",
                mend=f"one of: {', '.join(CLASS_WEIGHTS)}",
            )
        if not 0 <= self.label_smoothing < 1:
            raise InputError(
                f"it is {self.label_smoothing}", where="loss.label_smoothing", mend="0 to below 1"
            )
        if self.dice < 0:
            raise InputError(f"it is {self.dice}", where="loss.dice", mend="0 or more; V3 has 0.5")
        if not 0 < self.weight_min <= self.weight_max:
            raise InputError(
                f"weight_min {self.weight_min} and weight_max {self.weight_max} are no range",
                where="loss",
                mend="0 < weight_min ≤ weight_max; V3 has 0.1 and 15",
            )


def class_weights(pixels: Sequence[int], config: LossConfig) -> Tensor:
    """Class weights (1/frequency) ** power, scaled to mean 1, then clipped; float32 (C,).

    A class without pixels has no frequency: it takes no part in the mean and gets weight 1.

    Args:
        pixels: Labelled pixels of each class.
        config: Power and bounds.
    """
    count = torch.tensor(pixels, dtype=torch.float64)
    present = count > 0
    weights = torch.ones_like(count)
    if present.any():
        rarity = (count.sum() / count[present]) ** CLASS_WEIGHTS[config.class_weights]
        weights[present] = rarity / rarity.mean()
    return weights.clamp(config.weight_min, config.weight_max).float()


def soft_dice_loss(logits_BCHW: Tensor, labels_BHW: Tensor, smooth: float = 1.0) -> Tensor:
    """1 − mean over classes of (2 Σ p·t + smooth) / (Σ p + Σ t + smooth); sums over the labelled pixels of the batch.

    Args:
        logits_BCHW: Any float type; worked out in float32.
        labels_BHW: Integer class ids, 255 ignored.
        smooth: Keeps a class that is neither there nor predicted at loss 0.
    """
    classes_C11 = torch.arange(logits_BCHW.shape[1], device=logits_BCHW.device).view(-1, 1, 1)
    target_BCHW = labels_BHW[:, None] == classes_C11
    probability_BCHW = logits_BCHW.float().softmax(1) * (labels_BHW != UNLABELLED)[:, None]
    hits_C = (probability_BCHW * target_BCHW).sum((0, 2, 3))
    truth_C, predicted_C = target_BCHW.sum((0, 2, 3)), probability_BCHW.sum((0, 2, 3))
    return 1 - ((2 * hits_C + smooth) / (predicted_C + truth_C + smooth)).mean()


class SegmentationLoss(nn.Module):
    """Cross-entropy + ``dice`` × soft Dice.

    Args:
        config: The terms.
        weight_C: Class weights of the cross-entropy, (C,).
    """

    weight_C: Tensor

    def __init__(self, config: LossConfig, weight_C: Tensor) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("weight_C", weight_C)

    def forward(self, logits_BCHW: Tensor, labels_BHW: Tensor) -> Tensor:
        """Scalar loss; 0 where no pixel of the batch is labelled.

        Args:
            logits_BCHW: Any float type; worked out in float32.
            labels_BHW: Integer class ids, 255 ignored.
        """
        logits_BCHW, target_BHW = logits_BCHW.float(), labels_BHW.long()
        summed = F.cross_entropy(
            logits_BCHW,
            target_BHW,
            weight=self.weight_C,
            ignore_index=UNLABELLED,
            label_smoothing=self.config.label_smoothing,
            reduction="sum",
        )
        # torch's own "mean" divides by the same sum of weights, but gives NaN where every pixel is ignored.
        known_BHW = target_BHW != UNLABELLED
        total = (self.weight_C[target_BHW.masked_fill(~known_BHW, 0)] * known_BHW).sum()
        loss = summed / total.clamp(min=torch.finfo(torch.float32).tiny)
        if self.config.dice:
            loss = loss + self.config.dice * soft_dice_loss(logits_BCHW, target_BHW)
        return loss
