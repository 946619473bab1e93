# SPDX-License-Identifier: Apache-2.0
"""nav_msgs/OccupancyGrid → ``Costmap``, whoever decoded the message: rosbags or rclpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.errors import ImageError
from offroad_seg.sensor_messages import stamp_ns
from offroad_seg.types import Costmap, GridSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray


def costmap_of(message: Any, where: str) -> Costmap:
    """The cells of a grid, int8 (H, W), and where they lie, metres; a view of the message's own bytes.

    Args:
        message: nav_msgs/OccupancyGrid.
        where: Named in errors: its topic.

    Raises:
        ImageError: Its data does not fit its size, or it is turned: costmaps are axis-aligned.
    """
    info = message.info
    cells: NDArray[np.int8] = np.frombuffer(message.data, np.int8)
    if cells.size != info.width * info.height or not cells.size:
        raise ImageError(f"{cells.size} cells are not {info.width}×{info.height}", where=where)
    turn = info.origin.orientation
    if max(abs(turn.x), abs(turn.y), abs(turn.z)) > 1e-6:
        raise ImageError("a grid that is turned cannot be used as a costmap", where=where)
    grid = GridSpec(
        int(info.width),
        int(info.height),
        # float32 on the wire: 0.1 comes back as 0.10000000149.
        round(float(info.resolution), 6),
        float(info.origin.position.x),
        float(info.origin.position.y),
    )
    if not grid.resolution > 0:
        raise ImageError(f"cells of {info.resolution} m", where=where)
    frame_id = message.header.frame_id.lstrip("/")
    return Costmap(cells.reshape(grid.height, grid.width), grid, frame_id, stamp_ns(message.header))
