# SPDX-License-Identifier: Apache-2.0
"""The pictures of the report: as many frames as its size allows, spread evenly, and the worst ones."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.replay import gallery_pictures as draw
from offroad_seg.replay.drive_mosaic import DriveMosaic
from offroad_seg.replay.gridview import GridView, cost_colors
from offroad_seg.replay.report_measures import worst_measure

if TYPE_CHECKING:
    from offroad_seg.ontology import Ontology
    from offroad_seg.replay.frames import BagFrame
    from offroad_seg.replay.rows import FrameRow
    from offroad_seg.types import Costmap, Perception

FRAMES = 120
WORST = 10
APART_S = 1.0
BYTES = 26_000_000
"""Of pictures in the page. All else in it is bounded too, so that the report stays under 30 MB."""
COLORS = np.ascontiguousarray(cost_colors()[:, [2, 1, 0, 3]])
SMALLER = ((1.0, FRAMES), (0.5, FRAMES // 2), (0.25, 0))
"""What gives way where there are too many bytes: down to so many frames at each share of a picture's pixels."""


@dataclass(frozen=True)
class Pictures:
    """One frame's pictures as data URIs; empty where there is none."""

    row: FrameRow
    uris: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes that they take in the report."""
        return sum(len(uri) for uri in self.uris.values())

    def smaller(self, area: int) -> Pictures:
        """With so many pixels a picture at most."""
        return replace(self, uris={name: draw.shrunk(name, uri, area) for name, uri in self.uris.items()})


class Gallery:
    """Chooses frames while the replay runs, whose length need not be known; memory is bounded.

    Args:
        ontology: Colours.
        true_costmap: The world's grid, or None.
        expected: Number of frames, as far as it is known.
        odom_frame: Costmaps in it are drawn with the vehicle's heading up.
        frames: How many to keep at most, beside the worst.

    Attributes:
        footprint: Width and height of the costmap, metres, once there was one in the odometry's frame.
        mosaic: All costmaps of the drive as one.
        true_costmap: As given.
    """

    def __init__(
        self,
        ontology: Ontology,
        true_costmap: Costmap | None,
        expected: int,
        odom_frame: str,
        frames: int = FRAMES,
    ) -> None:
        self._ontology, self.true_costmap = ontology, true_costmap
        self._odom_frame, self._limit = odom_frame, frames
        self._stride = max(1, -(-expected // frames))
        self._seen = 0
        self._even: dict[int, Pictures] = {}
        self._worst: dict[int, Pictures] = {}
        self.footprint: tuple[float, float] | None = None
        self.mosaic = DriveMosaic()

    def add(self, bag_frame: BagFrame, perception: Perception, row: FrameRow) -> None:
        """Offer one frame."""
        number = self._seen
        self._seen += 1
        costmap = perception.costmap
        if costmap is not None and costmap.frame_id == self._odom_frame and row.pose is not None:
            grid = costmap.grid
            self.footprint = grid.width * grid.resolution, grid.height * grid.resolution
            self.mosaic.add(costmap, row.pose[0], row.pose[1])
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
                del self._worst[min(self._worst, key=lambda n: _trouble(self._worst[n].row))]

    def pictures(self, budget: int = BYTES) -> list[Pictures]:
        """Those that fit into so many bytes, in order.

        First fewer frames, then smaller pictures, then fewer again: pictures too small to judge help no one.
        """
        for share, least in SMALLER:
            stride = self._stride
            while True:
                chosen = self._chosen(stride)
                if share * sum(p.size for p in chosen) <= budget:
                    small = chosen if share == 1.0 else [p.smaller(int(share * draw.AREA)) for p in chosen]
                    if sum(p.size for p in small) <= budget:
                        return small
                stride *= 2
                if len(self._chosen(stride)) < max(least, len(self._worst) + 1) or stride > self._seen:
                    break
        return [p.smaller(int(SMALLER[-1][0] * draw.AREA)) for p in self._chosen(max(1, self._seen))]

    def worst(self) -> list[int]:
        """``FrameRow.index`` of the worst frames by their worst measure, the worst first."""
        ranked = sorted(self._worst.values(), key=lambda p: -_trouble(p.row))
        return [p.row.index for p in ranked]

    def _chosen(self, stride: int) -> list[Pictures]:
        chosen = {n: p for n, p in self._even.items() if n % stride == 0} | self._worst
        return [chosen[n] for n in sorted(chosen)]

    def _is_worst(self, row: FrameRow) -> bool:
        trouble, _ = worst_measure(row)
        if trouble is None or (trouble <= 0 and row.miou is None):
            return False
        neighbours = self._neighbours(row)
        if neighbours:
            return trouble > max(_trouble(self._worst[n].row) for n in neighbours)
        return len(self._worst) < WORST or trouble > min(_trouble(p.row) for p in self._worst.values())

    def _neighbours(self, row: FrameRow) -> list[int]:
        """Those of the worst that show nearly the same: ten pictures of one place would say little."""
        return [n for n, p in self._worst.items() if abs(p.row.time_s - row.time_s) < APART_S]

    def _draw(self, bag_frame: BagFrame, perception: Perception) -> dict[str, str]:
        result, image_HWC = perception.segmentation, bag_frame.frame.image_HWC
        size = draw.size_within(image_HWC.shape[1], image_HWC.shape[0])
        uris = {
            "image": draw.color_uri(image_HWC, size),
            "prediction": draw.labels_uri(result.labels_HW, size, self._ontology),
            "confidence": draw.grey_uri(result.confidence_HW, size),
        }
        if result.ood_HW is not None:
            uris["ood"] = draw.grey_uri(result.ood_HW, size)
        if bag_frame.truth_HW is not None:
            uris["truth"] = draw.labels_uri(bag_frame.truth_HW, size, self._ontology)
        if perception.costmap is not None:
            moves = perception.costmap.frame_id == self._odom_frame
            view = GridView.around(perception.costmap, bag_frame.odom_T_base if moves else None)
            uris["costmap"] = draw.indexed_uri(view.cells(perception.costmap), COLORS)
            if self.true_costmap is not None and self.true_costmap.frame_id == perception.costmap.frame_id:
                uris["true_costmap"] = draw.indexed_uri(view.cells(self.true_costmap), COLORS)
        return uris


def _trouble(row: FrameRow) -> float:
    return worst_measure(row)[0] or 0.0
