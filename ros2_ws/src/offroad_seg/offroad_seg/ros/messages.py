# SPDX-License-Identifier: Apache-2.0
"""numpy → ROS messages, and ROS odometry and transforms → ``Transform``.

rclpy takes ``array.array`` in well under a millisecond, while an ndarray or a memoryview in a message field
costs 50 to 650 ms (it is converted element by element): every image and grid goes out as ``array.array``.
"""

from __future__ import annotations

import array
import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from offroad_seg.mapping.buffers import message_array
from offroad_seg.sensor_messages import stamp_ns
from offroad_seg.transforms import Transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.types import Costmap, GridSpec

_NS = 1_000_000_000


def time_message(nanoseconds: int) -> Time:
    """builtin_interfaces/Time of a time in nanoseconds."""
    return Time(sec=nanoseconds // _NS, nanosec=nanoseconds % _NS)


def header_message(nanoseconds: int, frame_id: str) -> Header:
    """std_msgs/Header."""
    return Header(stamp=time_message(nanoseconds), frame_id=frame_id)


def hand_over(message: Any, data: array.array[int]) -> None:
    """Make ``data`` the message's data without a copy.

    The setter of Jazzy's messages copies it, the constructor twice: 3 ms for the points of 1280×720.
    """
    if isinstance(getattr(message, "_data", None), array.array):
        message._data = data
    else:
        message.data = data


def owned_bytes(array_like: NDArray[Any]) -> array.array[int] | None:
    """The ``array.array`` that holds just these values, where there is one: a message takes it without a copy."""
    base: Any = array_like
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    fits = isinstance(base, array.array) and base.typecode == "B" and len(base) == array_like.nbytes
    return base if fits and array_like.flags.c_contiguous else None


class ImageWriter:
    """Makes Image messages of one encoding in a buffer that is kept from frame to frame.

    A message is valid until the next call: publish it at once (rclpy serialises inside ``publish``).

    Args:
        encoding: ``mono8`` or ``rgb8``.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._view: NDArray[np.uint8] = message_array((0,))

    def buffer(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Where an image of that shape can be written at once: ``message`` then copies nothing."""
        if self._view.shape != shape:
            self._view = message_array(shape)
        return self._view

    def message(self, image: NDArray[np.uint8], header: Header) -> Image:
        """An Image of ``image`` (uint8, (H, W) for mono8 or (H, W, 3) for rgb8) with the given header.

        An image that lies in ``buffer``, or another ``message_array``, is not copied.
        """
        data = owned_bytes(image)
        if data is None:
            view = self.buffer(image.shape)
            np.copyto(view, image)
            data = owned_bytes(view)
        assert data is not None
        height, width = image.shape[:2]
        message = Image(
            header=header,
            height=height,
            width=width,
            encoding=self._encoding,
            is_bigendian=0,
            step=width * (image.shape[2] if image.ndim == 3 else 1),
        )
        hand_over(message, data)
        return message


def grid_message(costmap: Costmap) -> OccupancyGrid:
    """nav_msgs/OccupancyGrid of a costmap, in the form that Nav2's ``validateMsg`` asks for.

    Raises:
        ValueError: It would be refused there: no frame, a size that does not fit, numbers that are not finite.
    """
    _check(costmap)
    grid = costmap.grid
    data = array.array("b")
    data.frombytes(np.ascontiguousarray(costmap.cost_HW, np.int8).data)
    msg = OccupancyGrid(header=header_message(costmap.stamp_ns, costmap.frame_id))
    hand_over(msg, data)
    info = msg.info
    info.map_load_time = msg.header.stamp
    info.resolution, info.width, info.height = grid.resolution, grid.width, grid.height
    _put_origin(info.origin, grid)
    return msg


def _check(costmap: Costmap) -> None:
    grid = costmap.grid
    numbers = (grid.resolution, grid.origin_x, grid.origin_y)
    if not costmap.frame_id or costmap.stamp_ns < 0:
        raise ValueError("a costmap needs a frame and a stamp")
    if not all(math.isfinite(v) for v in numbers) or grid.resolution <= 0:
        raise ValueError(f"costmap resolution and origin {numbers} are not usable")
    if costmap.cost_HW.shape != (grid.height, grid.width) or costmap.cost_HW.size == 0:
        raise ValueError(f"costmap of shape {costmap.cost_HW.shape} for {grid.height}×{grid.width} cells")


def _put_origin(pose: Any, grid: GridSpec) -> None:
    pose.position.x, pose.position.y = grid.origin_x, grid.origin_y
    pose.orientation.w = 1.0


# OccupancyGrid 1–98 against costmap_2d 1–252, and 99, 100 against 253 inscribed, 254 lethal: the inverse of
# nav2_costmap_2d's Costmap2DPublisher, which writes 1 + 97 (cost − 1) / 251. −1 becomes 255, no information.
_RAW_256 = np.full(256, 255, np.uint8)
_RAW_256[0] = 0
_RAW_256[1:99] = np.ceil(1 + (np.arange(1, 99) - 1) * 251 / 97)  # up: that one divides whole numbers
_RAW_256[99:101] = (253, 254)


def raw_costmap_message(costmap: Costmap, kind: Any) -> Any:
    """nav2_msgs/Costmap of a costmap; ``kind`` is that message class.

    Raises:
        ValueError: As ``grid_message``.
    """
    _check(costmap)
    grid = costmap.grid
    raw_HW = message_array(costmap.cost_HW.shape)
    cv2.LUT(np.ascontiguousarray(costmap.cost_HW, np.int8).view(np.uint8), _RAW_256, dst=raw_HW)
    msg = kind(header=header_message(costmap.stamp_ns, costmap.frame_id))
    data = owned_bytes(raw_HW)
    assert data is not None
    hand_over(msg, data)
    metadata = msg.metadata
    metadata.map_load_time = metadata.update_time = msg.header.stamp
    metadata.layer = "perception"
    metadata.resolution, metadata.size_x, metadata.size_y = grid.resolution, grid.width, grid.height
    _put_origin(metadata.origin, grid)
    return msg


def pose_transform(pose: Any) -> Transform:
    """geometry_msgs/Pose → Transform.

    Raises:
        TransformError: The quaternion is not a unit one, or a number is not finite.
    """
    p, q = pose.position, pose.orientation
    return Transform.from_quaternion((q.x, q.y, q.z, q.w), (p.x, p.y, p.z))


def stamped_transform(msg: Any) -> tuple[str, str, int, Transform]:
    """geometry_msgs/TransformStamped → (parent, child, stamp in ns, ``parent_T_child``).

    Raises:
        TransformError: The quaternion is not a unit one, or a number is not finite.
    """
    t, q = msg.transform.translation, msg.transform.rotation
    transform = Transform.from_quaternion((q.x, q.y, q.z, q.w), (t.x, t.y, t.z))
    # tf2 frame ids have no leading slash; some old drivers still write one.
    return msg.header.frame_id.lstrip("/"), msg.child_frame_id.lstrip("/"), stamp_ns(msg.header), transform
