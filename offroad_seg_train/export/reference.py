# SPDX-License-Identifier: Apache-2.0
"""What the gate holds a bundle against: the checkpoint, run eagerly, with a head of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from offroad_seg.engines.base import EngineOutput
from offroad_seg_train.export.calibrate import Fitted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    F64 = NDArray[np.float64]


class Reference:
    """The checkpoint run eagerly, each image once: it is the same for every back end.

    Written apart from the exported graph, in numpy and float64, so that a mistake there shows.

    Args:
        module: uint8 RGB (B, 3, H, W) → logits (B, C, H, W), in evaluation mode.
        fitted: Temperature and OOD score that the graph has inside; None for none.
    """

    def __init__(self, module: torch.nn.Module, fitted: Fitted | None = None) -> None:
        self._module = module
        self._fitted = fitted or Fitted()
        self._known: dict[bytes, EngineOutput] = {}

    def __call__(self, image_BHWC: np.ndarray) -> EngineOutput:
        """Letterboxed uint8 (1, H, W, 3) → what the graph must say."""
        key = image_BHWC.tobytes()
        if key not in self._known:
            self._known[key] = self._run(image_BHWC)
        return self._known[key]

    def _run(self, image_BHWC: np.ndarray) -> EngineOutput:
        with torch.inference_mode():
            pixels_BCHW = torch.from_numpy(np.ascontiguousarray(image_BHWC.transpose(0, 3, 1, 2)))
            logits_BCHW = self._module(pixels_BCHW).numpy().astype(np.float64)
        with np.errstate(invalid="ignore"):  # what is not finite is reported by the gate
            shifted = (logits_BCHW - logits_BCHW.max(axis=1, keepdims=True)) / self._fitted.temperature
            best_BHW = 1.0 / np.exp(shifted).sum(axis=1)
            ood_BHW = self._ood(logits_BCHW)
        finite = np.isfinite(logits_BCHW).all()
        return EngineOutput(
            labels_BHW=logits_BCHW.argmax(axis=1).astype(np.uint8),
            confidence_BHW=np.nan_to_num(best_BHW * 255).round().astype(np.uint8),
            mean_confidence_B=np.array([best_BHW.mean() if finite else np.nan], np.float32),
            ood_BHW=ood_BHW,
        )

    def _ood(self, logits_BCHW: F64) -> np.ndarray | None:
        ood = self._fitted.ood
        if ood is None:
            return None
        reduce = np.maximum.reduce if ood.score == "max_logit" else np.logaddexp.reduce
        score_BHW = -reduce(logits_BCHW, axis=1)
        steps_BHW = np.floor(128 + 64 * (score_BHW - ood.threshold) / ood.scale)
        return np.nan_to_num(steps_BHW).clip(0, 255).astype(np.uint8)
