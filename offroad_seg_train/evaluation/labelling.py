# SPDX-License-Identifier: Apache-2.0
"""How a model is put to an image: as a whole or in windows, once or in several views."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from offroad_seg.errors import InputError
from offroad_seg.image import Letterbox
from offroad_seg.progress import progress
from offroad_seg_train.data.image_sources import ArraySource
from offroad_seg_train.evaluation.scoring import (
    CheckpointScorer,
    EngineScorer,
    Viewer,
    Views,
    resize_scores,
)
from offroad_seg_train.evaluation.tiles import ALIGN, MIN_TILE, Band, blend_bands, plan_axis, plan_tiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from offroad_seg_train.data.image_sources import ImageSource
    from offroad_seg_train.evaluation.opened import OpenedModel
    from offroad_seg_train.evaluation.scoring import Scorer
    from offroad_seg_train.evaluation.tiles import Window

    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]

OVERLAP = 0.25
_BAND_ROWS = 512
_MANY_TILES = 24


@dataclass(frozen=True)
class LabelOptions:
    """How to label an image.

    Attributes:
        views: What each window, or the whole image, is averaged over.
        tile: Edge of a window in the image's own pixels; None fits the whole image to the network.
        overlap: Part of a window that its neighbour covers too, at least.
    """

    views: Views = field(default_factory=Views)
    tile: int | None = None
    overlap: float = OVERLAP


class Labeller:
    """Labels images of any size.

    As a whole and in one view it takes the very path of the vehicle. A checkpoint's windows are ``tile`` × ``tile``
    pixels and go into the network as they are. A bundle's input has one size: its windows have the same shape, their
    longer side is ``tile``, and they are resized to it.

    Args:
        model: The model.
        options: How.
    """

    def __init__(self, model: OpenedModel, options: LabelOptions) -> None:
        self.model, self.options = model, options
        box, n_classes = model.segmenter.bundle.letterbox, model.ontology.n_classes
        scorer: Scorer
        if options.tile is not None:
            plan_axis(1, options.tile, options.overlap)  # says what is wrong with them before any work
        self._tile: tuple[int, int] | None = None
        if model.checkpoint is not None:
            scorer = CheckpointScorer(model.checkpoint.module, n_classes, model.checkpoint.device)
            if options.tile is not None:
                self._tile = (options.tile, options.tile)
        else:
            scorer = EngineScorer(model.segmenter.engine, box, n_classes)
            if options.tile is not None:
                self._tile = _shaped(options.tile, box)
        self._viewer = Viewer(scorer, box, options.views)

    def label(self, image_HWC: U8) -> tuple[U8, U8]:
        """Labels and confidence of an image in memory, uint8 (H, W); kept until the next but one call.

        Raises:
            ImageError: The image is not uint8 RGB.
            EngineError: The logits are not finite.
        """
        if self._tile is None:
            return (
                self.model.predict(image_HWC) if self.options.views.plain else self._viewer.label(image_HWC)
            )
        bands = list(self._windows(ArraySource(image_HWC), ""))
        return (
            np.concatenate([band.labels_HW for band in bands]),
            np.concatenate([band.confidence_HW for band in bands]),
        )

    def bands(self, source: ImageSource, name: str) -> Iterator[Band]:
        """Labels and confidence from top to bottom. With a tile, memory grows with the image's width alone.

        Args:
            source: The image.
            name: For the progress bar.

        Raises:
            ImageError: The image is damaged.
            EngineError: The logits are not finite.
        """
        if self._tile is not None:
            yield from self._windows(source, name)
            return
        labels_HW, confidence_HW = self.label(source.read(0, source.height, 0, source.width))
        for top in range(0, source.height, _BAND_ROWS):
            rows = slice(top, top + _BAND_ROWS)
            yield Band(top, labels_HW[rows], confidence_HW[rows])

    def describe(self) -> dict[str, Any]:
        """For ``metrics.json``."""
        views = self.options.views
        return {
            "tile": None if self._tile is None else list(self._tile),
            "overlap": None if self._tile is None else self.options.overlap,
            "scales": list(views.scales),
            "mirror": views.mirror,
            "vertical": views.vertical,
        }

    def _windows(self, source: ImageSource, name: str) -> Iterator[Band]:
        assert self._tile is not None
        grow = self.model.checkpoint is not None
        plan = plan_tiles(source.height, source.width, self._tile, self.options.overlap, grow=grow)
        show = bool(name) and plan.count >= _MANY_TILES
        ticks = iter(progress(range(plan.count), what=name, total=plan.count, unit="tile", show=show))

        def scores(window: Window) -> F32:
            next(ticks)
            return self._window(source.read(window.top, window.bottom, window.left, window.right))

        yield from blend_bands(plan, self._viewer.scorer.n_classes, scores)
        next(ticks, None)  # ends the bar

    def _window(self, part_HWC: U8) -> F32:
        """Scores of a window at its own size."""
        assert self._tile is not None
        height, width = part_HWC.shape[:2]
        if self.model.checkpoint is not None:
            # A network resizes its maps to one another: at sizes that its stride does not divide, it stretches.
            part_HWC = _extended(part_HWC, (height + -height % ALIGN, width + -width % ALIGN))
            size = part_HWC.shape[0], part_HWC.shape[1]
            scores = self._viewer.scores(part_HWC, Letterbox(*size, self._viewer.box.pad_value))
        else:
            # An image smaller than the tile must not be shown larger than others.
            part_HWC = _extended(part_HWC, self._tile)
            scores = resize_scores(self._viewer.scores(part_HWC), self._tile)
        return scores[:, :height, :width]


def _extended(part_HWC: U8, size: tuple[int, int]) -> U8:
    """With its last row and column repeated up to a size."""
    height, width = part_HWC.shape[:2]
    below, right = size[0] - height, size[1] - width
    if not (below or right):
        return part_HWC
    return np.asarray(cv2.copyMakeBorder(part_HWC, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)


def _shaped(tile: int, box: Letterbox) -> tuple[int, int]:
    """Rows and columns of a window of the network's shape whose longer side is ``tile``."""
    longer = max(box.height, box.width)
    shape = round(tile * box.height / longer), round(tile * box.width / longer)
    if min(shape) < MIN_TILE:
        raise InputError(
            f"a tile of {tile} pixels makes windows of {shape[1]}×{shape[0]} for this network",
            where="--tile",
            mend=f"{longer} shows the network the image's own pixels",
        )
    return shape
