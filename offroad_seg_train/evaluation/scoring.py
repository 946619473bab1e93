# SPDX-License-Identifier: Apache-2.0
"""Class probabilities of an image of any size, from a checkpoint or a bundle, over several views of it.

A checkpoint gives logits, so its probabilities are exact. A bundle gives a label and its confidence p; the rest of the
distribution is not known, and (1 − p) is spread evenly over the other classes: of all distributions that fit, the one
that claims least. Averaging these is a vote of labels weighted by their confidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own spelling)

from offroad_seg.errors import EngineError, InputError
from offroad_seg.image import Letterbox
from offroad_seg_train.evaluation.tiles import blend, decide, plan_tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.engines.base import InferenceEngine
    from offroad_seg_train.evaluation.tiles import Window

    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]

_VIEW_OVERLAP = 0.25
MIN_SCALE, MAX_SCALE = 0.1, 4.0


@dataclass(frozen=True)
class Views:
    """Test-time augmentation: what the network is shown, and averaged over.

    Attributes:
        scales: Sizes relative to what the network is fed without it.
        mirror: Also each view with left and right exchanged.
        vertical: Also each view upside down; for pictures taken from above.
    """

    scales: tuple[float, ...] = (1.0,)
    mirror: bool = False
    vertical: bool = False

    def __post_init__(self) -> None:
        if not self.scales or not all(MIN_SCALE <= s <= MAX_SCALE for s in self.scales):
            raise InputError(
                f"scales {', '.join(f'{s:g}' for s in self.scales) or 'none'}",
                where="--tta-scales",
                mend=f"numbers from {MIN_SCALE} to {MAX_SCALE}, such as 0.75,1,1.25",
            )

    @property
    def plain(self) -> bool:
        """Whether the network sees the image only once, as it is."""
        return self.scales == (1.0,) and not (self.mirror or self.vertical)

    @property
    def flips(self) -> list[tuple[int, ...]]:
        """Axes of (H, W) that each view is turned along."""
        flips: list[tuple[int, ...]] = [()]
        if self.mirror:
            flips += [(1,)]
        if self.vertical:
            flips += [(0, *axes) for axes in flips]
        return flips

    @property
    def count(self) -> int:
        """How often the network runs for one image."""
        return len(self.scales) * len(self.flips)


class Scorer(Protocol):
    """A network that gives class probabilities."""

    n_classes: int

    def __call__(self, image_HWC: U8) -> F32:
        """RGB uint8 (H, W, 3) of any size → float32 (C, H, W), summing to 1 over the classes.

        Raises:
            EngineError: Something was not finite.
        """


class CheckpointScorer:
    """Softmax of a checkpoint's logits; the network runs at whatever size it is given.

    Args:
        module: uint8 RGB (B, 3, H, W) → logits (B, C, H, W), in evaluation mode, on ``device``.
        n_classes: C.
        device: Where it runs.
    """

    def __init__(self, module: torch.nn.Module, n_classes: int, device: str) -> None:
        self.n_classes = n_classes
        self._module, self._device = module, device

    def __call__(self, image_HWC: U8) -> F32:
        """See ``Scorer``."""
        pixels_BCHW = torch.from_numpy(np.ascontiguousarray(image_HWC.transpose(2, 0, 1))[None])
        with torch.inference_mode():
            logits_BCHW = self._module(pixels_BCHW.to(self._device)).float()
            if not bool(torch.isfinite(logits_BCHW.sum())):
                raise _not_finite("the checkpoint")
            scores: F32 = logits_BCHW.softmax(dim=1)[0].cpu().numpy()
        return scores


class EngineScorer:
    """Labels and confidence of a bundle as probabilities.

    The network's input has one size. A smaller image is padded, a larger one is taken in windows of that size which
    overlap and are blended.

    Args:
        engine: Runs the network.
        box: Its input size and padding.
        n_classes: C.
    """

    def __init__(self, engine: InferenceEngine, box: Letterbox, n_classes: int) -> None:
        self.n_classes = n_classes
        self._engine, self._box = engine, box

    def __call__(self, image_HWC: U8) -> F32:
        """See ``Scorer``."""
        height, width = image_HWC.shape[:2]
        if height <= self._box.height and width <= self._box.width:
            return self._padded(image_HWC)
        plan = plan_tiles(height, width, (self._box.height, self._box.width), _VIEW_OVERLAP)

        def scores(window: Window) -> F32:
            return self._padded(image_HWC[window.top : window.bottom, window.left : window.right])

        whole = np.empty((self.n_classes, height, width), np.float32)
        blocks = blend(plan, self.n_classes, scores)
        for top, bottom in zip(plan.rows.starts, plan.rows.ends, strict=True):
            for left, right in zip(plan.columns.starts, plan.columns.ends, strict=True):
                whole[:, top:bottom, left:right] = next(blocks)
        return whole

    def _padded(self, image_HWC: U8) -> F32:
        height, width = image_HWC.shape[:2]
        canvas_HWC = np.full((self._box.height, self._box.width, 3), self._box.pad_value, np.uint8)
        top, left = (self._box.height - height) // 2, (self._box.width - width) // 2
        inside = (slice(top, top + height), slice(left, left + width))
        canvas_HWC[inside] = image_HWC
        output = self._engine.infer(canvas_HWC[None])
        if not np.isfinite(output.mean_confidence_B).all():
            raise _not_finite(f"engine {self._engine.name}")
        return spread(output.labels_BHW[0][inside], output.confidence_BHW[0][inside], self.n_classes)


def spread(labels_HW: U8, confidence_HW: U8, n_classes: int) -> F32:
    """Probabilities that claim no more than label and confidence do, (C, H, W); see the top of this module."""
    best_HW = np.maximum(confidence_HW.astype(np.float32) / 255.0, 1.0 / n_classes)
    rest_HW = (1.0 - best_HW) / max(1, n_classes - 1)
    scores = np.repeat(rest_HW[None], n_classes, axis=0)
    np.put_along_axis(scores, labels_HW[None].astype(np.int64), best_HW[None], axis=0)
    return scores


class Viewer:
    """Probabilities of an image that is fitted to the network, averaged over views.

    Args:
        scorer: The network.
        box: What an image is fitted to at scale 1.
        views: What to average over.
    """

    def __init__(self, scorer: Scorer, box: Letterbox, views: Views) -> None:
        self.scorer, self.box, self.views = scorer, box, views

    def scores(self, image_HWC: U8, box: Letterbox | None = None) -> F32:
        """The image without padding, at the size that the box gives it: float32 (C, h, w).

        Args:
            image_HWC: RGB uint8 (H, W, 3).
            box: In place of the viewer's own.

        Raises:
            EngineError: Something was not finite.
        """
        box = box or self.box
        place = box.geometry(*image_HWC.shape[:2])
        total = np.zeros((self.scorer.n_classes, place.height, place.width), np.float32)
        for scale in self.views.scales:
            total += self._at(image_HWC, box, scale, (place.height, place.width))
        total /= len(self.views.scales)
        return total

    def label(self, image_HWC: U8) -> tuple[U8, U8]:
        """Labels and confidence at the image's own size, uint8 (H, W); enlarged to the nearest, as on the vehicle."""
        labels_hw, confidence_hw = decide(self.scores(image_HWC))
        height, width = image_HWC.shape[:2]
        if labels_hw.shape == (height, width):
            return labels_hw, confidence_hw
        nearest = cv2.INTER_NEAREST_EXACT
        return (
            np.asarray(cv2.resize(labels_hw, (width, height), interpolation=nearest), np.uint8),
            np.asarray(cv2.resize(confidence_hw, (width, height), interpolation=nearest), np.uint8),
        )

    def _at(self, image_HWC: U8, box: Letterbox, scale: float, size: tuple[int, int]) -> F32:
        # The image itself is resized, not what was resized before: an enlarged view has its detail.
        height, width = (max(1, round(v * scale)) for v in (box.height, box.width))
        box = Letterbox(height, width, box.pad_value)
        canvas_HWC, place = box.apply(image_HWC), box.geometry(*image_HWC.shape[:2])
        inside = (slice(place.top, place.top + place.height), slice(place.left, place.left + place.width))
        total = np.zeros((self.scorer.n_classes, place.height, place.width), np.float32)
        for axes in self.views.flips:
            turned = self.scorer(np.ascontiguousarray(np.flip(canvas_HWC, axes)))
            total += np.flip(turned, tuple(axis + 1 for axis in axes))[(slice(None), *inside)]
        total /= len(self.views.flips)
        return resize_scores(total, size)


def resize_scores(scores_CHW: F32, size: tuple[int, int]) -> F32:
    """Bilinear, and smoothed where it shrinks; sums over the classes stay 1."""
    if scores_CHW.shape[1:] == size:
        return scores_CHW
    smaller = size[0] < scores_CHW.shape[1] or size[1] < scores_CHW.shape[2]
    resized: F32 = F.interpolate(
        torch.from_numpy(np.ascontiguousarray(scores_CHW))[None],
        size,
        mode="bilinear",
        align_corners=False,
        antialias=smaller,
    )[0].numpy()
    return resized


def _not_finite(where: str) -> EngineError:
    return EngineError(
        "the network's logits are not finite",
        where=where,
        mend="compile the bundle with --precision fp32, or train the model again: its weights overflow",
    )
