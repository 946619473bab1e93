# SPDX-License-Identifier: Apache-2.0
"""A structured numpy array → sensor_msgs/PointCloud2."""

from __future__ import annotations

import array
from typing import TYPE_CHECKING, Any

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField

from offroad_seg.ros.messages import hand_over

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from std_msgs.msg import Header

_FIELDS = {"f4": PointField.FLOAT32, "u1": PointField.UINT8}


class CloudWriter:
    """Makes organised clouds in a buffer that is kept from frame to frame.

    A message is valid until the next call: publish it at once (rclpy serialises inside ``publish``).
    """

    def __init__(self) -> None:
        self._data = array.array("B")
        self._view: NDArray[np.uint8] = np.zeros(0, np.uint8)

    def message(self, points_HW: NDArray[np.void], header: Header) -> PointCloud2:
        """A cloud of (H, W) points with float32 and uint8 fields, little endian; not dense: NaN is no point."""
        height, width = points_HW.shape
        kind = points_HW.dtype
        data = _own_array(points_HW)
        if data is None:
            raw = np.ascontiguousarray(points_HW).view(np.uint8).ravel()
            if self._view.size != raw.size:
                # An ndarray in the field would be converted element by element.
                self._data = array.array("B", bytes(raw.size))
                self._view = np.frombuffer(self._data, np.uint8)
            np.copyto(self._view, raw)
            data = self._data
        assert kind.fields is not None
        assert kind.names is not None
        fields: list[Any] = [
            PointField(
                name=name,
                offset=int(kind.fields[name][1]),
                datatype=_FIELDS[kind.fields[name][0].str[1:]],
                count=1,
            )
            for name in kind.names
        ]
        message = PointCloud2(
            header=header,
            height=height,
            width=width,
            fields=fields,
            is_bigendian=False,
            point_step=kind.itemsize,
            row_step=kind.itemsize * width,
            is_dense=False,
        )
        hand_over(message, data)
        return message


def _own_array(points_HW: NDArray[np.void]) -> array.array[int] | None:
    """The ``array.array`` that holds just these points, where there is one: the message takes it without a copy."""
    base: Any = points_HW
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    fits = isinstance(base, array.array) and base.typecode == "B" and len(base) == points_HW.nbytes
    return base if fits and points_HW.flags.c_contiguous else None
