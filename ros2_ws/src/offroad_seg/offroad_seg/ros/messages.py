# SPDX-License-Identifier: Apache-2.0
"""numpy → ROS messages, and ROS odometry and transforms → ``Transform``.

rclpy takes ``array.array`` in well under a millisecond, while an ndarray or a memoryview in a message field
costs 50 to 650 ms (it is converted element by element): every image and grid goes out as ``array.array``.
"""

from __future__ import annotations

import array
from typing import TYPE_CHECKING, Any

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from offroad_seg.mapping.buffers import message_array
from offroad_seg.sensor_messages import split_ns, stamp_ns
from offroad_seg.transforms import Transform

if TYPE_CHECKING:
    from numpy.typing import NDArray


def time_message(nanoseconds: int) -> Time:
    """builtin_interfaces/Time of a time in nanoseconds."""
    seconds, rest = split_ns(nanoseconds)
    return Time(sec=seconds, nanosec=rest)


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
    """Makes Image messages of one encoding; the message and its buffer are kept from frame to frame.

    A message is valid until the next call: publish it at once (rclpy serialises inside ``publish``).

    Args:
        encoding: ``mono8`` or ``rgb8``.
    """

    def __init__(self, encoding: str) -> None:
        self._message = Image(encoding=encoding, is_bigendian=0)
        self._shape: tuple[int, ...] = ()
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
        message = self._message
        if image.shape != self._shape:
            # Only then: every field that is set is looked at.
            message.height, message.width = image.shape[:2]
            message.step = message.width * (image.shape[2] if image.ndim == 3 else 1)
            self._shape = image.shape
        message.header = header
        hand_over(message, data)
        return message


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
