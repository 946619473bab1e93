# SPDX-License-Identifier: Apache-2.0
"""The camera's calibration: the newest CameraInfo, parsed when it changes and checked against each image's size."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from sensor_msgs.msg import CameraInfo

from offroad_seg.errors import CameraError
from offroad_seg.sensor_messages import camera_from_info

if TYPE_CHECKING:
    from offroad_seg.camera import CameraModel


class CalibrationCache:
    """Keeps the newest CameraInfo and the model made from it.

    The same ``CameraModel`` object is handed out until the calibration or the image size changes, so that whoever
    builds tables from it builds them once. Safe to use from two threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._message: Any = None
        self._key: tuple[Any, ...] = ()
        self._size = (0, 0)
        self._result: CameraModel | CameraError | None = None
        self._scaled: tuple[Any, ...] = (None, None, None)

    def put(self, message: Any) -> bool:
        """Take the newest CameraInfo; True if it differs from the one before."""
        key = _content(message)
        with self._lock:
            changed = key != self._key
            if changed:
                self._message, self._key, self._result = message, key, None
            return changed

    def clear(self) -> None:
        """Forget the calibration."""
        with self._lock:
            self._message, self._key, self._result = None, (), None

    def model(self, height: int, width: int) -> CameraModel:
        """The model for images of this size.

        Raises:
            CameraError: No CameraInfo came yet, or it cannot be used; the message says why.
        """
        with self._lock:
            if self._message is None:
                raise CameraError(
                    "no CameraInfo yet", where="camera_info", mend="publish it beside the image"
                )
            if self._result is None or self._size != (height, width):
                self._size = (height, width)
                try:
                    self._result = camera_from_info(self._message, (height, width))
                except CameraError as error:
                    self._result = error
            if isinstance(self._result, CameraError):
                raise self._result
            return self._result

    def scaled_info(self, height: int, width: int, header: Any) -> CameraInfo | None:
        """A CameraInfo that fits results of this size, in which ROI and binning are already applied.

        K, D and the model are the camera's; R is the driver's; P is the driver's, moved and scaled alike, with its
        fourth column, which holds focal length times baseline. None while there is no usable calibration. The message
        is kept, and valid until the next call: publish it at once (rclpy serialises inside ``publish``).

        Args:
            height: Rows of the results.
            width: Columns.
            header: The image's header.
        """
        with self._lock:
            message, camera = self._message, self._result
            of, size, kept = self._scaled
        if message is None or camera is None or isinstance(camera, CameraError):
            return None
        if of is camera and size == (height, width):
            kept.header = header
            return kept
        scaled = camera.scaled(height, width)
        # Both map K's numbers alike: x' = ratio · x + shift.
        ratio_x, ratio_y = scaled.fx / message.k[0], scaled.fy / message.k[4]
        p = np.array(message.p, np.float64).reshape(3, 4)
        p[0] = ratio_x * p[0] + (scaled.cx - ratio_x * message.k[2]) * p[2]
        p[1] = ratio_y * p[1] + (scaled.cy - ratio_y * message.k[5]) * p[2]
        info = CameraInfo(header=header, height=height, width=width)
        info.distortion_model, info.d = scaled.model, list(scaled.D)
        info.k, info.r, info.p = scaled.K_33.ravel(), message.r, p.ravel()
        with self._lock:
            self._scaled = (camera, (height, width), info)
        return info


def _content(message: Any) -> tuple[Any, ...]:
    """Everything in a CameraInfo that results depend on; as bytes, so that NaN equals NaN."""
    roi = message.roi
    return (
        message.header.frame_id,
        message.height,
        message.width,
        message.distortion_model,
        bytes(memoryview(message.d)),
        bytes(memoryview(message.k)),
        bytes(memoryview(message.r)),
        bytes(memoryview(message.p)),
        message.binning_x,
        message.binning_y,
        (roi.x_offset, roi.y_offset, roi.width, roi.height),
    )
