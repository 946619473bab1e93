# SPDX-License-Identifier: Apache-2.0
"""Which CameraInfo belongs to which image."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import CameraError
from offroad_seg.sensor_messages import camera_from_info, stamp_ns

if TYPE_CHECKING:
    from offroad_seg.camera import CameraModel

_KEPT = 256


class Calibrations:
    """The newest CameraInfo messages of one camera.

    An image takes the one of its own stamp, else the newest before it, else the first that came.

    Args:
        fixed: One that holds at all times, from a file.
    """

    def __init__(self, fixed: Any = None) -> None:
        self._fixed = fixed
        self._infos: deque[tuple[int, Any]] = deque(maxlen=_KEPT)
        self._key: tuple[Any, ...] = ()
        self._model: CameraModel | None = None
        self._problem = ""

    def clear(self) -> None:
        """Forget all."""
        self._infos.clear()

    def add(self, info: Any) -> None:
        """Another sensor_msgs/CameraInfo."""
        self._infos.append((stamp_ns(info.header), info))

    def at(self, at_ns: int, height: int, width: int) -> tuple[CameraModel | None, str]:
        """The camera of an image, or None and why.

        Args:
            at_ns: The image's stamp.
            height: Its rows.
            width: Its columns.
        """
        info = self._fixed
        if info is None:
            if not self._infos:
                return None, "no camera_info for this image"
            before = [info for stamp, info in self._infos if stamp <= at_ns]
            info = before[-1] if before else self._infos[0][1]
        roi = info.roi
        key = (
            *(height, width, info.height, info.width, info.distortion_model, tuple(info.d), tuple(info.k)),
            *(info.binning_x, info.binning_y, roi.x_offset, roi.y_offset, roi.width, roi.height),
            info.header.frame_id,
        )
        if key != self._key:
            # The same object for the same numbers: tables that hang on the camera are built once.
            self._key, self._model, self._problem = key, None, ""
            try:
                self._model = camera_from_info(info, (height, width))
            except CameraError as error:
                self._problem = error.one_line()
        return self._model, self._problem
