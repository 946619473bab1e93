# SPDX-License-Identifier: Apache-2.0
"""Pictures of costmaps as a driver would draw them: the vehicle below the middle, its heading up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.types import COST_UNKNOWN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.transforms import Transform
    from offroad_seg.types import Costmap

PIXELS = 260

# Cost → RGB: teal is free, sand and rust are worse, near black violet is lethal. Told apart without red and green.
STOPS: tuple[tuple[int, tuple[int, int, int]], ...] = (
    (0, (38, 140, 132)),
    (20, (120, 176, 120)),
    (45, (226, 196, 104)),
    (75, (217, 122, 60)),
    (98, (178, 58, 42)),
)
LETHAL_RGB = (54, 16, 58)


def cost_colors() -> NDArray[np.uint8]:
    """BGRA of each cost as uint8 index, shape (256, 4); unknown is transparent."""
    lut = np.zeros((256, 4), np.uint8)
    at = np.arange(99)
    places = [cost for cost, _ in STOPS]
    for channel in range(3):
        lut[:99, 2 - channel] = np.interp(at, places, [rgb[channel] for _, rgb in STOPS]).round()
    lut[99:101, :3] = LETHAL_RGB[::-1]
    lut[:101, 3] = 255
    return lut


@dataclass(frozen=True)
class GridView:
    """A square window of a grid's frame.

    Attributes:
        x: The vehicle's place in the grid's frame, metres.
        y: Likewise.
        yaw: Its heading, radians.
        ahead: Metres from the vehicle to the upper edge.
        span: Metres that the window is wide and high.
    """

    x: float
    y: float
    yaw: float
    ahead: float
    span: float

    @classmethod
    def around(cls, costmap: Costmap, odom_T_base: Transform | None) -> GridView:
        """The window around the vehicle that shows most of a costmap.

        Args:
            costmap: Its middle is where the vehicle is, as far as no pose is given.
            odom_T_base: The vehicle's pose in the costmap's frame.
        """
        grid = costmap.grid
        half = 0.5 * grid.resolution * min(grid.width, grid.height)
        x = grid.origin_x + 0.5 * grid.width * grid.resolution
        y = grid.origin_y + 0.5 * grid.height * grid.resolution
        yaw = 0.0
        if odom_T_base is not None:
            x, y = float(odom_T_base.translation_3[0]), float(odom_T_base.translation_3[1])
            forward = odom_T_base.rotation_33[:, 0]
            yaw = math.atan2(float(forward[1]), float(forward[0]))
        return cls(x, y, yaw, half, 1.6 * half)

    def cells(self, costmap: Costmap) -> NDArray[np.uint8]:
        """The cost of each pixel as uint8 index of ``cost_colors``, (PIXELS, PIXELS)."""
        grid = costmap.grid
        step = self.span / PIXELS
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        # Pixel (u right, v down) → forward = ahead − v·step, left = span/2 − u·step → the grid's cell.
        forward, left = self.ahead - 0.5 * step, 0.5 * self.span - 0.5 * step
        inverse = np.array(
            [
                [s * step, -c * step, self.x + c * forward - s * left - grid.origin_x],
                [-c * step, -s * step, self.y + s * forward + c * left - grid.origin_y],
            ]
        )
        inverse /= grid.resolution
        inverse[:, 2] -= 0.5
        found = cv2.warpAffine(
            costmap.cost_HW.view(np.uint8),
            inverse,
            (PIXELS, PIXELS),
            flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=COST_UNKNOWN & 0xFF,
        )
        return np.asarray(found, np.uint8)
