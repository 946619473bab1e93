# SPDX-License-Identifier: Apache-2.0
"""The camera's calibration: the newest CameraInfo, parsed when it changes and checked against each image's size."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

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


def _content(message: Any) -> tuple[Any, ...]:
    """Everything in a CameraInfo that the model depends on; as bytes, so that NaN equals NaN."""
    roi = message.roi
    return (
        message.header.frame_id,
        message.height,
        message.width,
        message.distortion_model,
        bytes(memoryview(message.d)),
        bytes(memoryview(message.k)),
        message.binning_x,
        message.binning_y,
        (roi.x_offset, roi.y_offset, roi.width, roi.height),
    )
