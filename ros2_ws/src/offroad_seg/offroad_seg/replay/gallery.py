# SPDX-License-Identifier: Apache-2.0
"""The pictures of the report: as many frames as its size allows, spread evenly, and the worst ones."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.replay.annotated import encode_jpeg
from offroad_seg.replay.gridview import GridView

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg.replay.evaluation import FrameRow
    from offroad_seg.replay.frames import BagFrame
    from offroad_seg.types import Costmap, Perception

    U8 = NDArray[np.uint8]

FRAMES = 120
WORST = 8
APART_S = 1.0
WIDTH = 480
BYTES = 20_000_000
"""Of pictures; base64 makes a third more of it, so that the report stays under 30 MB."""


@dataclass(frozen=True)
class Pictures:
    """One frame's pictures as data URIs; empty where there is none."""

    row: FrameRow
    uris: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes that they take in the report."""
        return sum(len(uri) for uri in self.uris.values())


class Gallery:
    """Chooses frames while the replay runs, whose length need not be known; memory is bounded.

    Args:
        ontology: Colours.
        true_costmap: The world's grid, or None.
        expected: Number of frames, as far as it is known.
        odom_frame: Costmaps in it are drawn with the vehicle's heading up.
        frames: How many to keep at most, beside the worst.
    """

    def __init__(
        self,
        ontology: Ontology,
        true_costmap: Costmap | None,
        expected: int,
        odom_frame: str,
        frames: int = FRAMES,
    ) -> None:
        self._ontology, self._truth = ontology, true_costmap
        self._odom_frame, self._limit = odom_frame, frames
        self._stride = max(1, -(-expected // frames))
        self._seen = 0
        self._even: dict[int, Pictures] = {}
        self._worst: dict[int, Pictures] = {}

    def add(self, bag_frame: BagFrame, perception: Perception, row: FrameRow) -> None:
        """Offer one frame."""
        number = self._seen
        self._seen += 1
        is_even, is_worst = number % self._stride == 0, self._is_worst(row)
        if not (is_even or is_worst):
            return
        pictures = Pictures(row, self._draw(bag_frame, perception))
        if is_even:
            self._even[number] = pictures
            if len(self._even) > 2 * self._limit:
                self._stride *= 2
                self._even = {n: p for n, p in self._even.items() if n % self._stride == 0}
        if is_worst:
            for near in self._neighbours(row):
                del self._worst[near]
            self._worst[number] = pictures
            if len(self._worst) > WORST:
                del self._worst[max(self._worst, key=lambda n: self._worst[n].row.miou or 0.0)]

    def pictures(self, budget: int = BYTES * 4 // 3) -> list[Pictures]:
        """Those that fit into so many bytes, in order."""
        stride = self._stride
        while True:
            chosen = {n: p for n, p in self._even.items() if n % stride == 0} | self._worst
            if sum(p.size for p in chosen.values()) <= budget or len(chosen) <= len(self._worst) + 1:
                return [chosen[n] for n in sorted(chosen)]
            stride *= 2

    def worst(self) -> list[int]:
        """``FrameRow.index`` of the frames with the lowest IoU, the worst first."""
        ranked = sorted(self._worst.values(), key=lambda p: p.row.miou or 0.0)
        return [p.row.index for p in ranked]

    def _is_worst(self, row: FrameRow) -> bool:
        if row.miou is None:
            return False
        neighbours = self._neighbours(row)
        if neighbours:
            return row.miou < min(self._worst[n].row.miou or 0.0 for n in neighbours)
        return len(self._worst) < WORST or row.miou < max(p.row.miou or 0.0 for p in self._worst.values())

    def _neighbours(self, row: FrameRow) -> list[int]:
        """Those of the worst that show nearly the same: eight pictures of one place would say little."""
        return [n for n, p in self._worst.items() if abs(p.row.time_s - row.time_s) < APART_S]

    def _draw(self, bag_frame: BagFrame, perception: Perception) -> dict[str, str]:
        result, frame = perception.segmentation, bag_frame.frame
        height, width = frame.image_HWC.shape[:2]
        size = (WIDTH, max(1, round(height * WIDTH / width))) if width > WIDTH else (width, height)
        small = cv2.resize(frame.image_HWC, size, interpolation=cv2.INTER_AREA)
        uris = {
            "image": _uri(encode_jpeg(np.asarray(small, np.uint8), 80), "jpeg"),
            "prediction": self._labels(result.labels_HW, size),
            "confidence": _confidence(result.confidence_HW, size),
        }
        if bag_frame.truth_HW is not None:
            uris["truth"] = self._labels(bag_frame.truth_HW, size)
        if perception.costmap is not None:
            moves = perception.costmap.frame_id == self._odom_frame
            view = GridView.around(perception.costmap, bag_frame.odom_T_base if moves else None)
            uris["costmap"] = _png(view.draw(perception.costmap))
            if self._truth is not None and self._truth.frame_id == perception.costmap.frame_id:
                uris["true_costmap"] = _png(view.draw(self._truth))
        return uris

    def _labels(self, labels_HW: U8, size: tuple[int, int]) -> str:
        small = cv2.resize(labels_HW, size, interpolation=cv2.INTER_NEAREST)
        return _png(cv2.cvtColor(self._ontology.colorize(np.asarray(small, np.uint8)), cv2.COLOR_RGB2BGR))


def _confidence(confidence_HW: U8, size: tuple[int, int]) -> str:
    small = cv2.resize(confidence_HW, size, interpolation=cv2.INTER_AREA)
    return _uri(bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 70])[1]), "jpeg")


def _png(bgr: NDArray[np.uint8]) -> str:
    return _uri(bytes(cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 4])[1]), "png")


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
