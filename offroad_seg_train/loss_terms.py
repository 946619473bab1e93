# SPDX-License-Identifier: Apache-2.0
"""Terms of the training loss beside cross-entropy and Dice. Each is a mean over the labelled pixels of a batch.

Pixels labelled 255 are taken out before anything is summed or sorted, so that they change neither a loss nor a
gradient; without any labelled pixel a term is 0, and so is its gradient. The focal loss is written here because the
library's scores every class by a sigmoid of its own, which is another model than softmax and argmax.
"""

from __future__ import annotations

import math

import torch.nn.functional as F  # noqa: N812 (torch's own spelling)
from segmentation_models_pytorch.losses import LovaszLoss
from torch import Tensor

from offroad_seg.types import UNLABELLED

_LOVASZ = LovaszLoss("multiclass", per_image=False, ignore_index=UNLABELLED)


def lovasz_loss(logits_BCHW: Tensor, labels_BHW: Tensor) -> Tensor:
    """Lovász-softmax: a convex stand-in for 1 − IoU, mean over the classes that the batch has.

    Berman et al., "The Lovász-Softmax loss", CVPR 2018 (arXiv:1705.08790); from segmentation-models-pytorch.

    Args:
        logits_BCHW: float32.
        labels_BHW: int64 class ids, 255 ignored.
    """
    if not bool((labels_BHW != UNLABELLED).any()):
        # The library gives an empty tensor here instead of a number.
        return _nothing(logits_BCHW)
    loss: Tensor = _LOVASZ(logits_BCHW, labels_BHW)
    return loss


def focal_loss(logits_BCHW: Tensor, labels_BHW: Tensor, gamma_C: Tensor) -> Tensor:
    """−(1 − p)^γ · log p of the true class's probability p: pixels that are right already count little.

    Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017 (arXiv:1708.02002), with softmax and a γ for each
    class.

    Args:
        logits_BCHW: float32.
        labels_BHW: int64 class ids, 255 ignored.
        gamma_C: γ of each class, (C,); 0 is cross-entropy.
    """
    labels_N, log_p_N = _true_log_probability(logits_BCHW, labels_BHW)
    if not labels_N.numel():
        return _nothing(logits_BCHW)
    # Above 0, because the derivative of x^γ at 0 is infinite for γ below 1.
    doubt_N = (-log_p_N.expm1()).clamp(min=1e-6)
    return -(doubt_N ** gamma_C[labels_N] * log_p_N).mean()


def hardest_loss(logits_BCHW: Tensor, labels_BHW: Tensor, fraction: float) -> Tensor:
    """Mean cross-entropy of the pixels where it is largest (online hard example mining).

    Shrivastava et al., "Training Region-based Object Detectors with Online Hard Example Mining", CVPR 2016
    (arXiv:1604.03540), by a share of the batch's labelled pixels.

    Args:
        logits_BCHW: float32.
        labels_BHW: int64 class ids, 255 ignored.
        fraction: Share of the labelled pixels that counts, above 0 to 1.
    """
    _, log_p_N = _true_log_probability(logits_BCHW, labels_BHW)
    if not log_p_N.numel():
        return _nothing(logits_BCHW)
    hardest_K = (-log_p_N).topk(math.ceil(fraction * log_p_N.numel()), sorted=False).values
    return hardest_K.mean()


def _true_log_probability(logits_BCHW: Tensor, labels_BHW: Tensor) -> tuple[Tensor, Tensor]:
    """Class ids and log-probability of the true class of the labelled pixels, (N,) each."""
    known_BHW = labels_BHW != UNLABELLED
    minus_BHW = F.cross_entropy(logits_BCHW, labels_BHW, ignore_index=UNLABELLED, reduction="none")
    return labels_BHW[known_BHW], -minus_BHW[known_BHW]


def _nothing(logits_BCHW: Tensor) -> Tensor:
    """0 with a gradient of 0, whatever the logits are."""
    return logits_BCHW[:0].sum()
