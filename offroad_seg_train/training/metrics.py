# SPDX-License-Identifier: Apache-2.0
"""The figures of one epoch, counted on the device and summed over ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torchmetrics import Metric

from offroad_seg.metrics import metrics_from_confusion
from offroad_seg.types import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Sequence


class EpochMetrics(Metric):
    """One confusion matrix over the epoch, the mean over batches of each batch's own IoU, and the loss.

    Definitions are those of ``offroad_seg.metrics``, which works out the figures.

    Args:
        names: Class names in the order of their ids.
    """

    full_state_update = False
    confusion_NN: Tensor
    batch_iou_sum: Tensor
    batches: Tensor
    loss_sum: Tensor
    steps: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = list(names)
        n = len(self.names)
        self.add_state("confusion_NN", torch.zeros((n, n), dtype=torch.int64), dist_reduce_fx="sum")
        for name in ("batch_iou_sum", "loss_sum"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("batches", "steps"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, logits_BCHW: Tensor, labels_BHW: Tensor, loss: Tensor) -> None:
        """Add a batch; nothing is copied to the host."""
        n = len(self.names)
        predicted_BHW = logits_BCHW.argmax(1)
        # Ignored pixels go into a last row that is cut off: a mask would need the host to know how many there are.
        rows_BHW = torch.where(labels_BHW == UNLABELLED, n, labels_BHW.long())
        flat = torch.bincount((rows_BHW * n + predicted_BHW).flatten(), minlength=n * (n + 1))
        counts_NN = flat[: n * n].view(n, n)
        self.confusion_NN += counts_NN
        hits = counts_NN.diagonal().double()
        union = counts_NN.sum(0) + counts_NN.sum(1) - hits
        occurs = union > 0
        known = occurs.any()
        iou = torch.where(occurs, hits / union.clamp(min=1), 0).sum() / occurs.sum().clamp(min=1)
        self.batch_iou_sum += torch.where(known, iou, 0)
        self.batches += known
        # A batch without labels has no loss; so has what fills up a process's share of the validation images.
        self.loss_sum += torch.where(known, loss.detach().double(), 0)
        self.steps += known

    def compute(self) -> dict[str, Any]:
        """``loss``, ``miou_batch_mean`` and the keys of ``metrics_from_confusion``; None where nothing was seen."""
        batches, steps = int(self.batches), int(self.steps)
        return {
            "loss": float(self.loss_sum) / steps if steps else None,
            "miou_batch_mean": float(self.batch_iou_sum) / batches if batches else None,
            **metrics_from_confusion(self.confusion_NN.cpu().numpy(), self.names),
        }
