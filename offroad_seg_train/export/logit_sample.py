# SPDX-License-Identifier: Apache-2.0
"""The network's logits at randomly chosen labelled pixels, on which confidence is calibrated.

Pixels are a uniform random sample of all labelled pixels at the network's own size, each with the same chance whatever
its frame, class or correctness: the sample's calibration error is then an unbiased estimate of the set's, and a rare
class weighs what it weighs on the vehicle. Neighbouring pixels say nearly the same, so what bounds the accuracy of the
fit is the number of frames, not of pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from offroad_seg.errors import DataError, EngineError
from offroad_seg.progress import progress
from offroad_seg.types import UNLABELLED
from offroad_seg_train.data.dataset import read_pair

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.image import Letterbox
    from offroad_seg_train.evaluation.frames import Frames

SAMPLE_PIXELS = 400_000
_MIN_FRAMES = 2


@dataclass(frozen=True)
class LogitSample:
    """Logits of randomly chosen labelled pixels.

    Attributes:
        logits_NC: float32.
        labels_N: int64, the true classes.
        frames_N: int64, the frame that each comes from: 0 … ``n_frames`` − 1 in order.
        n_frames: Number of frames that were read.
        size: Rows and columns of the network's input.
    """

    logits_NC: NDArray[np.float32]
    labels_N: NDArray[np.int64]
    frames_N: NDArray[np.int64]
    n_frames: int
    size: tuple[int, int]

    def part(self, chosen_N: NDArray[np.bool_]) -> LogitSample:
        """The chosen pixels alone."""
        return LogitSample(
            self.logits_NC[chosen_N],
            self.labels_N[chosen_N],
            self.frames_N[chosen_N],
            self.n_frames,
            self.size,
        )

    def halves(self) -> tuple[LogitSample, LogitSample]:
        """The first and the second half of the frames: neighbours, which look alike, stay on one side."""
        first = self.frames_N < self.n_frames / 2
        return self.part(first), self.part(~first)


def sample_logits(
    module: torch.nn.Module,
    letterbox: Letterbox,
    frames: Frames,
    *,
    pixels: int = SAMPLE_PIXELS,
    seed: int = 0,
) -> LogitSample:
    """Run the network, where it is, over the frames and keep about ``pixels`` labelled pixels.

    Raises:
        DataError: A frame cannot be read, there are too few, or none has a labelled pixel.
        EngineError: The logits are not finite.
    """
    if len(frames.pairs) < _MIN_FRAMES:
        raise DataError(
            f"{len(frames.pairs)} labelled image is too few to calibrate on",
            mend="give tens of images, from more than one place",
        )
    random = np.random.default_rng(seed)
    # One chance for every pixel of every frame, so that a frame's weight is its number of labelled pixels.
    chance = min(1.0, pixels / (len(frames.pairs) * letterbox.height * letterbox.width))
    logits, labels, owners = [], [], []
    device = next(module.parameters()).device
    for index, pair in enumerate(progress(frames.pairs, what="calibrating", unit="image")):
        image_HWC, truth_HW = read_pair(pair, frames.ontology)
        truth_hw = letterbox.apply_mask(truth_HW)
        rows, columns = np.nonzero((truth_hw != UNLABELLED) & (random.random(truth_hw.shape) < chance))
        pixels_BCHW = torch.from_numpy(letterbox.apply(image_HWC).transpose(2, 0, 1)[None].copy())
        with torch.inference_mode():
            logits_CHW = module(pixels_BCHW.to(device))[0].float().cpu().numpy()
        chosen_NC = logits_CHW[:, rows, columns].T
        if not np.isfinite(chosen_NC).all():
            raise EngineError(
                "the network's logits are not finite", where=str(pair.image), mend="train the model again"
            )
        logits.append(chosen_NC)
        labels.append(truth_hw[rows, columns].astype(np.int64))
        owners.append(np.full(len(rows), index, np.int64))
    size = (letterbox.height, letterbox.width)
    sample = LogitSample(
        np.concatenate(logits), np.concatenate(labels), np.concatenate(owners), len(frames.pairs), size
    )
    if any(len(half.labels_N) == 0 for half in sample.halves()):
        raise DataError(
            "too few of the images have labelled pixels to calibrate on",
            mend="give tens of labelled images, from more than one place",
        )
    return sample
