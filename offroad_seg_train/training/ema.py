# SPDX-License-Identifier: Apache-2.0
"""An exponential moving average of the weights and of BatchNorm's statistics: what is validated and kept as the best.

Averaging the weights alone would pair them with statistics of other weights, so the buffers are averaged with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import WeightAveraging

from offroad_seg.errors import InputError

if TYPE_CHECKING:
    import lightning.pytorch as lightning
    from torch import Tensor


@dataclass(frozen=True)
class EmaConfig:
    """A running mean of the weights over the steps, which is validated, kept and exported in their place.

    Attributes:
        decay: How much of the mean a step keeps; 0 does not average. 0.999 looks back about 1,000 steps: choose it so
            that this is a few epochs, at most a tenth of the run.
        warmup: Begin with less: after n steps at most (1 + n) / (10 + n), so that the random start is soon forgotten.
    """

    decay: float = 0.0
    warmup: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise InputError(
                f"it is {self.decay}", where="ema.decay", mend="0 for none, to below 1; 0.999 is usual"
            )

    def decay_at(self, step: int) -> float:
        """The decay of a step.

        Args:
            step: Steps that are in the mean already.
        """
        # Of TensorFlow's ExponentialMovingAverage (num_updates).
        return min(self.decay, (1 + step) / (10 + step)) if self.warmup else self.decay


class EmaWeights(WeightAveraging):
    """Lightning's weight averaging with a decay that grows.

    The checkpoint's ``state_dict`` holds the mean; what training goes on from stands beside it.

    Args:
        config: The decay.
    """

    def __init__(self, config: EmaConfig) -> None:
        super().__init__(use_buffers=True, multi_avg_fn=self._average)
        self._config = config

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Copy the module."""
        super().setup(trainer, pl_module, stage)
        if self._average_model is not None:
            # Counted on the host: reading it must not make every step wait for the GPU.
            self._average_model.n_averaged = self._average_model.n_averaged.cpu()

    @torch.no_grad()
    def _average(self, mean: list[Tensor], current: list[Tensor], _steps: Any) -> None:
        """All tensors are of one type; counters, such as BatchNorm's number of batches, are just taken over."""
        if not mean[0].is_floating_point():
            torch._foreach_copy_(mean, current)
            return
        assert self._average_model is not None
        # lerp leaves alone what is equal: frozen weights stay as they are to the last bit.
        torch._foreach_lerp_(mean, current, 1 - self._config.decay_at(int(self._average_model.n_averaged)))
