# SPDX-License-Identifier: Apache-2.0
"""What standing things hide from the camera."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.mapping.directions import with_neighbours

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.occlusion import Edges

    F32 = NDArray[np.float32]
    Index = NDArray[np.intp]


class Shadow:
    """The nearest standing thing in each direction.

    Args:
        edges: What stands.
        count: How many directions there are.
        slack: Metres behind an edge that still belong to it.
    """

    def __init__(self, edges: Edges, *, count: int, slack: float) -> None:
        nearest = np.full(count, np.inf, np.float32)
        order = np.argsort(-edges.range_N, kind="stable")
        # Of several values for one direction the last stays: the nearest.
        nearest[np.take(edges.direction_N, order)] = np.take(edges.range_N, order) + np.float32(slack)
        around = with_neighbours(nearest)
        self._nearest_B: F32 = around.min(axis=0)
        self._farthest_B: F32 = around.max(axis=0)
        touches_N = edges.touches_N & ~self._at_its_edge(edges.direction_N, edges.range_N)
        self.contacts = replace(edges, touches_N=touches_N)
        """The edges; ``touches_N`` only where the thing meets the ground by the shadow too."""

    def hides(self, direction: Index, distance: F32) -> NDArray[np.bool_]:
        """Whether something stands between the camera and each point, in the point's direction or one beside it.

        Args:
            direction: Numbers of directions.
            distance: Metres from the camera's foot, of the same shape.
        """
        return np.asarray(distance > np.take(self._nearest_B, direction, mode="clip"))

    def _at_its_edge(self, direction: Index, distance: F32) -> NDArray[np.bool_]:
        """Whether a point is hidden in some but not all of its direction and the two beside it.

        The sides of a trunk lie there: a pixel of them that seems to touch the ground touches it far behind the
        trunk's foot. What is hidden in all three is another thing, seen over the first.
        """
        nearest, farthest = np.take(self._nearest_B, direction), np.take(self._farthest_B, direction)
        return np.asarray((distance > nearest) & (distance <= farthest))
