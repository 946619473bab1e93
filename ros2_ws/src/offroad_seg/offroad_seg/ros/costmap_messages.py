# SPDX-License-Identifier: Apache-2.0
"""A costmap → nav_msgs/OccupancyGrid and nav2_msgs/Costmap."""

from __future__ import annotations

import array
import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from nav_msgs.msg import OccupancyGrid

from offroad_seg.mapping.buffers import message_array
from offroad_seg.native.fusion import raw_costs
from offroad_seg.ros.messages import hand_over, owned_bytes
from offroad_seg.sensor_messages import split_ns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.types import Costmap, GridSpec

# OccupancyGrid 1–98 against costmap_2d 1–252, and 99, 100 against 253 inscribed, 254 lethal: the inverse of
# nav2_costmap_2d's Costmap2DPublisher, which writes 1 + 97 (cost − 1) / 251. −1 becomes 255, no information.
_RAW_256 = np.full(256, 255, np.uint8)
_RAW_256[0] = 0
_RAW_256[1:99] = np.ceil(1 + (np.arange(1, 99) - 1) * 251 / 97)  # up: that one divides whole numbers
_RAW_256[99:101] = (253, 254)


class CostmapWriter:
    """Makes the messages of costmaps, in the form that Nav2's ``validateMsg`` asks for.

    They are kept from frame to frame: one is valid until the next call of the same method, so publish it at once (rclpy
    serialises inside ``publish``). Not safe for several threads at once.

    Args:
        raw_kind: The class nav2_msgs/Costmap; None where there is none, and no ``raw``.
    """

    def __init__(self, raw_kind: Any = None) -> None:
        self._grid, self._cells = OccupancyGrid(), array.array("b")
        self._cells_HW: NDArray[np.int8] = np.empty((0, 0), np.int8)
        self._raw = None if raw_kind is None else raw_kind()
        if self._raw is not None:
            self._raw.metadata.layer = "perception"
            self._raw.metadata.origin.orientation.w = 1.0
            stamp = self._raw.header.stamp
            self._raw.metadata.map_load_time = self._raw.metadata.update_time = stamp
        self._grid.info.origin.orientation.w = 1.0
        self._grid.info.map_load_time = self._grid.header.stamp
        self._grid_size = self._raw_size = (0.0, 0, 0)
        self._raw_HW: NDArray[np.uint8] = message_array((0, 0))

    def grid(self, costmap: Costmap) -> OccupancyGrid:
        """nav_msgs/OccupancyGrid.

        Raises:
            ValueError: Nav2 would refuse it: no frame, a size that does not fit, numbers that are not finite.
        """
        _check(costmap)
        if self._cells_HW.shape != costmap.cost_HW.shape:
            self._cells = array.array("b", bytes(costmap.cost_HW.size))
            self._cells_HW = np.frombuffer(self._cells, np.int8).reshape(costmap.cost_HW.shape)
        np.copyto(self._cells_HW, costmap.cost_HW)
        message, grid = self._grid, costmap.grid
        hand_over(message, self._cells)
        _put_header(message.header, costmap)
        info = message.info
        size = (grid.resolution, grid.width, grid.height)
        if size != self._grid_size:
            # Only then: every field that is set is looked at.
            info.resolution, info.width, info.height = self._grid_size = size
        _put_origin(info.origin, grid)
        return message

    def raw(self, costmap: Costmap) -> Any:
        """nav2_msgs/Costmap.

        Raises:
            ValueError: As ``grid``.
        """
        _check(costmap)
        if self._raw_HW.shape != costmap.cost_HW.shape:
            self._raw_HW = message_array(costmap.cost_HW.shape)
        cost_HW = np.ascontiguousarray(costmap.cost_HW, np.int8)
        if not raw_costs(cost_HW, self._raw_HW):
            cv2.LUT(cost_HW.view(np.uint8), _RAW_256, dst=self._raw_HW)
        message, grid = self._raw, costmap.grid
        assert message is not None
        data = owned_bytes(self._raw_HW)
        assert data is not None
        hand_over(message, data)
        _put_header(message.header, costmap)
        metadata = message.metadata
        size = (grid.resolution, grid.width, grid.height)
        if size != self._raw_size:
            metadata.resolution, metadata.size_x, metadata.size_y = self._raw_size = size
        _put_origin(metadata.origin, grid)
        return message


def _check(costmap: Costmap) -> None:
    grid = costmap.grid
    numbers = resolution, x, y = grid.resolution, grid.origin_x, grid.origin_y
    if not costmap.frame_id or costmap.stamp_ns < 0:
        raise ValueError("a costmap needs a frame and a stamp")
    if not (math.isfinite(resolution) and math.isfinite(x) and math.isfinite(y) and resolution > 0):
        raise ValueError(f"costmap resolution and origin {numbers} are not usable")
    if costmap.cost_HW.shape != (grid.height, grid.width) or costmap.cost_HW.size == 0:
        raise ValueError(f"costmap of shape {costmap.cost_HW.shape} for {grid.height}×{grid.width} cells")


def _put_header(header: Any, costmap: Costmap) -> None:
    """Also where the stamp stands once more: it is one object."""
    header.stamp.sec, header.stamp.nanosec = split_ns(costmap.stamp_ns)
    if header.frame_id != costmap.frame_id:
        header.frame_id = costmap.frame_id


def _put_origin(pose: Any, grid: GridSpec) -> None:
    pose.position.x, pose.position.y = grid.origin_x, grid.origin_y
