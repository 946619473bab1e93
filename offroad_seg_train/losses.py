# SPDX-License-Identifier: Apache-2.0
"""What the network is trained to make small. Pixels labelled 255 take no part in any term."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own spelling)
from torch import Tensor, nn

from offroad_seg.errors import InputError
from offroad_seg.types import UNLABELLED
from offroad_seg_train.loss_terms import focal_loss, hardest_loss, lovasz_loss

if TYPE_CHECKING:
    from collections.abc import Sequence

CLASS_WEIGHTS = ("none", "inverse", "inverse_sqrt", "median_frequency", "effective_number")
TERMS = ("cross_entropy", "dice", "lovasz", "focal", "ohem")


@dataclass(frozen=True)
class LossConfig:
    """A weighted sum of terms.

    Attributes:
        class_weights: Weights of the cross-entropy from the class frequencies f in the training labels: ``none``,
            ``inverse`` (1/f; one very rare class pushes all others to ``weight_min``), ``inverse_sqrt`` (1/√f),
            ``median_frequency`` (as ``inverse``, but the class of median frequency has weight 1 instead of the mean
            being 1: Eigen & Fergus, ICCV 2015) or ``effective_number`` (as ``inverse`` for rare classes, equal for
            those that have more pixels than the mean: Cui et al., CVPR 2019).
        weight_min: Smallest class weight, after scaling.
        weight_max: Largest class weight.
        label_smoothing: Part of each target that is spread over all classes, 0–1; of the cross-entropy only.
        cross_entropy: Weight of cross-entropy; 0 leaves a term out.
        dice: Weight of soft Dice.
        lovasz: Weight of Lovász-softmax.
        focal: Weight of focal loss.
        focal_gamma: Its γ: one number for all classes, or one for each in the order of the ontology.
        ohem: Weight of the cross-entropy of the hardest pixels.
        ohem_fraction: Their share of the labelled pixels of a batch.
    """

    class_weights: str = "none"
    weight_min: float = 0.1
    weight_max: float = 15.0
    label_smoothing: float = 0.0
    cross_entropy: float = 1.0
    dice: float = 0.0
    lovasz: float = 0.0
    focal: float = 0.0
    focal_gamma: list[float] = field(default_factory=lambda: [2.0])
    ohem: float = 0.0
    ohem_fraction: float = 0.2

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
        for term in TERMS:
            if not 0 <= getattr(self, term) < math.inf:
                raise InputError(
                    f"it is {getattr(self, term)}", where=f"loss.{term}", mend="0 or more; V3 has dice 0.5"
                )
        if not any(getattr(self, term) for term in TERMS):
            raise InputError(
                "every term has weight 0", where="loss", mend=f"give a weight to one of {', '.join(TERMS)}"
            )
        if not self.focal_gamma or not all(0 <= gamma <= 20 for gamma in self.focal_gamma):
            raise InputError(
                f"it is {self.focal_gamma}",
                where="loss.focal_gamma",
                mend="[2.0], or one 0–20 for each class",
            )
        if not 0 < self.ohem_fraction <= 1:
            raise InputError(
                f"it is {self.ohem_fraction}", where="loss.ohem_fraction", mend="above 0 to 1; 0.2 is usual"
            )
        if not 0 < self.weight_min <= self.weight_max:
            raise InputError(
                f"weight_min {self.weight_min} and weight_max {self.weight_max} are no range",
                where="loss",
                mend="0 < weight_min ≤ weight_max; V3 has 0.1 and 15",
            )


def class_weights(pixels: Sequence[int], config: LossConfig) -> Tensor:
    """Class weights from class frequencies, scaled to mean 1 (``median_frequency``: to median 1), then clipped.

    A class without pixels has no frequency: it takes no part in the scaling and gets weight 1.

    Args:
        pixels: Labelled pixels of each class.
        config: Which weights, and their bounds.

    Returns:
        float32 (C,).
    """
    count = torch.tensor(pixels, dtype=torch.float64)
    present = count > 0
    weights = torch.ones_like(count)
    if present.any():
        rarity = _rarity(count[present], config.class_weights)
        weights[present] = rarity / (1.0 if config.class_weights == "median_frequency" else rarity.mean())
    return weights.clamp(config.weight_min, config.weight_max).float()


def _rarity(count_N: Tensor, kind: str) -> Tensor:
    frequency_N = count_N / count_N.sum()
    if kind == "inverse":
        return 1 / frequency_N
    if kind == "inverse_sqrt":
        return frequency_N.rsqrt()
    if kind == "median_frequency":
        return frequency_N.quantile(0.5) / frequency_N
    if kind == "effective_number":
        # (1 − β) / (1 − βⁿ) with β = 1 − 1/N. N, how many pixels a class can hold before more of them say nothing new,
        # is the mean class's count: the paper's β of 0.999 … is for counts of images, and levels all counts of pixels.
        volume = count_N.mean().clamp(min=2)
        return 1 / (volume * -(count_N * (-1 / volume).log1p()).expm1())
    return torch.ones_like(count_N)


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
    """The weighted sum of the terms that have a weight.

    Args:
        config: The terms.
        weight_C: Class weights of the cross-entropy, (C,).

    Raises:
        InputError: ``focal_gamma`` does not fit the number of classes.
    """

    weight_C: Tensor
    gamma_C: Tensor

    def __init__(self, config: LossConfig, weight_C: Tensor) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("weight_C", weight_C)
        gammas = config.focal_gamma
        if config.focal and len(gammas) not in (1, len(weight_C)):
            raise InputError(
                f"{len(gammas)} values for {len(weight_C)} classes",
                where="loss.focal_gamma",
                mend="one for all classes, or one for each in the order of the ontology",
            )
        gamma_C = torch.tensor(gammas if len(gammas) == len(weight_C) else gammas[:1] * len(weight_C))
        self.register_buffer("gamma_C", gamma_C, persistent=False)

    def forward(self, logits_BCHW: Tensor, labels_BHW: Tensor) -> Tensor:
        """Scalar loss; 0 where no pixel of the batch is labelled.

        Args:
            logits_BCHW: Any float type; worked out in float32.
            labels_BHW: Integer class ids, 255 ignored.
        """
        # One copy into planes, where channels come last: the terms would each make their own, at twice the time.
        logits_BCHW, target_BHW = logits_BCHW.float().contiguous(), labels_BHW.long()
        config = self.config
        loss = logits_BCHW[:0].sum()  # 0, on the device, with a gradient
        if config.cross_entropy:
            loss = loss + config.cross_entropy * self._cross_entropy(logits_BCHW, target_BHW)
        if config.dice:
            loss = loss + config.dice * soft_dice_loss(logits_BCHW, target_BHW)
        if config.lovasz:
            loss = loss + config.lovasz * lovasz_loss(logits_BCHW, target_BHW)
        if config.focal:
            loss = loss + config.focal * focal_loss(logits_BCHW, target_BHW, self.gamma_C)
        if config.ohem:
            loss = loss + config.ohem * hardest_loss(logits_BCHW, target_BHW, config.ohem_fraction)
        return loss

    def _cross_entropy(self, logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
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
        return summed / total.clamp(min=torch.finfo(torch.float32).tiny)
