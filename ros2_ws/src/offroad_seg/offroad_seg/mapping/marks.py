# SPDX-License-Identifier: Apache-2.0
"""Writes the cells where standing things meet the ground."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.mapping.cells import worth_of
from offroad_seg.types import COST_LETHAL, UNLABELLED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.lens import Lens
    from offroad_seg.mapping.level import GroundView
    from offroad_seg.mapping.looks import Cells
    from offroad_seg.mapping.occlusion import Edges
    from offroad_seg.types import GridSpec


class Marker:
    """Writes contacts over what the cells' own pixels say.

    Args:
        costs_256: Cost of each label, −1 where it says nothing.
        known_256: Which labels say something.
        min_confidence: 0–255; cells of things that are less sure are unknown.
        slope_uncertainty: Radians, for ``worth_of``.
    """

    def __init__(
        self,
        costs_256: NDArray[np.int8],
        known_256: NDArray[np.bool_],
        *,
        min_confidence: int,
        slope_uncertainty: float,
    ) -> None:
        # The worse class wins a cell where several things stand.
        self.rank_256 = (costs_256.astype(np.int16) + 1).clip(0, COST_LETHAL + 1).astype(np.uint16)
        self._known_256 = known_256
        self._min_confidence = min_confidence
        self._slope_uncertainty = slope_uncertainty

    def mark(
        self,
        edges: Edges,
        lens: Lens,
        view: GroundView,
        grid: GridSpec,
        out: Cells,
        max_range: float = math.inf,
    ) -> None:
        """Write the cells where something standing meets the ground.

        Args:
            edges: What stands.
            lens: The camera.
            view: Where it is.
            grid: The window.
            out: Its cells.
            max_range: Metres from the camera's foot: nothing is written beyond.
        """
        contacts = edges.where(edges.touches_N & (edges.range_N <= max_range))
        column = np.floor((contacts.x_N + (view.x - grid.origin_x)) / grid.resolution).astype(np.intp)
        row = np.floor((contacts.y_N + (view.y - grid.origin_y)) / grid.resolution).astype(np.intp)
        inside = (column >= 0) & (column < grid.width) & (row >= 0) & (row < grid.height)
        sure = contacts.confidence_N >= self._min_confidence
        known = sure & self._known_256[contacts.labels_N]
        # Within a cell the worst class, then the surest pixel, is written last and stays.
        rank = np.where(known, self.rank_256[contacts.labels_N] * 256 + contacts.confidence_N, 0)
        order = np.argsort(rank.astype(np.uint16), kind="stable")
        order = order[inside[order]]
        at = (row * grid.width + column)[order]
        worth = worth_of(
            contacts.depth_N, contacts.range_N, lens, view, grid.resolution, self._slope_uncertainty
        )
        evidence = worth * (contacts.confidence_N * np.float32(1.0 / 255.0))
        out.labels_HW.ravel()[at] = np.where(known, contacts.labels_N, UNLABELLED)[order]
        out.evidence_HW.ravel()[at] = np.where(known, evidence, 0.0)[order]
        out.confidence_HW.ravel()[at] = np.where(known, contacts.confidence_N, 0)[order]
