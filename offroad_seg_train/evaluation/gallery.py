# SPDX-License-Identifier: Apache-2.0
"""The worst frames of an evaluation, kept as pictures while it runs; memory is bounded."""

from __future__ import annotations

import base64
import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg_train.evaluation.pictures import comparison, errors_picture, write_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg_train.evaluation.frames import FrameScore

    U8 = NDArray[np.uint8]

_WIDTH = 720


@dataclass(frozen=True)
class WorstFrame:
    """One of them.

    Attributes:
        row: Its figures.
        comparison_HWC: The picture for ``worst/``.
        uris: What the report shows, as data URIs: ``image``, ``truth``, ``prediction``, ``errors``, ``confidence``.
    """

    row: FrameScore
    comparison_HWC: U8
    uris: dict[str, str]


class Worst:
    """The frames with the lowest IoU.

    Args:
        ontology: Colours.
        count: How many to keep.
    """

    def __init__(self, ontology: Ontology, count: int) -> None:
        self._ontology, self._count = ontology, count
        # The best of the worst is first; the number keeps equal ones in the order in which they came.
        self._heap: list[tuple[float, int, WorstFrame]] = []
        self._seen = 0

    def add(self, row: FrameScore, image_HWC: U8, truth_HW: U8, labels_HW: U8, confidence_HW: U8) -> None:
        """Offer a frame."""
        self._seen += 1
        if row.miou is None or self._count == 0:
            return
        rank = -row.miou
        if len(self._heap) == self._count and rank <= self._heap[0][0]:
            return
        caption = f"{row.name}   mIoU {row.miou:.3f}   accuracy {row.pixel_accuracy:.3f}"
        picture = comparison(image_HWC, truth_HW, labels_HW, self._ontology, caption)
        uris = self._draw(image_HWC, truth_HW, labels_HW, confidence_HW)
        entry = (rank, -self._seen, WorstFrame(row, picture, uris))
        if len(self._heap) < self._count:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heapreplace(self._heap, entry)

    def frames(self) -> list[WorstFrame]:
        """The worst first."""
        return [frame for _, _, frame in sorted(self._heap, key=lambda e: e[:2], reverse=True)]

    def write(self, folder: Path) -> None:
        """``01_NAME.png`` … into a folder.

        Raises:
            OffroadSegError: They cannot be written.
        """
        for place, frame in enumerate(self.frames(), start=1):
            name = frame.row.name.replace("/", "_")
            write_image(folder / f"{place:02d}_{name}.png", frame.comparison_HWC)

    def _draw(self, image_HWC: U8, truth_HW: U8, labels_HW: U8, confidence_HW: U8) -> dict[str, str]:
        height, width = truth_HW.shape
        size = (_WIDTH, max(1, round(height * _WIDTH / width))) if width > _WIDTH else (width, height)

        def ids(labels: U8) -> U8:
            return np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)

        small_HWC = np.asarray(cv2.resize(image_HWC, size, interpolation=cv2.INTER_AREA), np.uint8)
        truth, labels = ids(truth_HW), ids(labels_HW)
        sure = np.asarray(cv2.resize(confidence_HW, size, interpolation=cv2.INTER_AREA), np.uint8)
        return {
            "image": _jpeg(small_HWC),
            "truth": _png(self._ontology.colorize(truth)),
            "prediction": _png(self._ontology.colorize(labels)),
            "errors": _png(errors_picture(small_HWC, truth, labels, self._ontology)),
            "confidence": _jpeg(cv2.cvtColor(sure, cv2.COLOR_GRAY2RGB)),
        }


def _jpeg(rgb: U8) -> str:
    return _uri(
        cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])[1], "jpeg"
    )


def _png(rgb: U8) -> str:
    return _uri(cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1], "png")


def _uri(data: U8, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode('ascii')}"
