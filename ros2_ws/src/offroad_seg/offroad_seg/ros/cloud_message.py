# SPDX-License-Identifier: Apache-2.0
"""A structured numpy array → sensor_msgs/PointCloud2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField

from offroad_seg.mapping.buffers import message_array
from offroad_seg.ros.messages import hand_over, owned_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from std_msgs.msg import Header

_FIELDS = {"f4": PointField.FLOAT32, "u1": PointField.UINT8}


class CloudWriter:
    """Makes organised clouds; message and buffer are kept from frame to frame.

    A message is valid until the next call: publish it at once (rclpy serialises inside ``publish``).
    """

    def __init__(self) -> None:
        self._view: NDArray[Any] = message_array((0,))
        self._message = PointCloud2()
        self._said: tuple[Any, ...] = ()

    def message(self, points_HW: NDArray[np.void], header: Header) -> PointCloud2:
        """A cloud of (H, W) points with float32 and uint8 fields, little endian; not dense: NaN is no point."""
        height, width = points_HW.shape
        kind = points_HW.dtype
        data = owned_bytes(points_HW)
        if data is None:
            if self._view.shape != points_HW.shape or self._view.dtype != kind:
                self._view = message_array(points_HW.shape, kind)
            np.copyto(self._view, points_HW)
            data = owned_bytes(self._view)
        assert data is not None
        if self._said != (height, width, kind):
            # Only then: every field that is set is looked at.
            self._said = (height, width, kind)
            self._message = PointCloud2(
                height=height,
                width=width,
                fields=_fields(kind),
                is_bigendian=False,
                point_step=kind.itemsize,
                row_step=kind.itemsize * width,
                is_dense=False,
            )
        self._message.header = header
        hand_over(self._message, data)
        return self._message


def _fields(kind: np.dtype[Any]) -> list[Any]:
    assert kind.fields is not None
    assert kind.names is not None
    return [
        PointField(
            name=name,
            offset=int(kind.fields[name][1]),
            datatype=_FIELDS[kind.fields[name][0].str[1:]],
            count=1,
        )
        for name in kind.names
    ]
