# SPDX-License-Identifier: Apache-2.0
"""Where the camera and the vehicle were when the image was taken.

Filled by the executor thread (odometry, /tf), asked by the worker thread, which waits a bounded time for a
transform that comes a little later than the image. A transform at another time is never taken instead.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import TransformError
from offroad_seg.ros.imu import ImuAttitude
from offroad_seg.ros.messages import pose_transform, stamped_transform
from offroad_seg.sensor_messages import stamp_ns
from offroad_seg.transforms import Transform, TransformBuffer, camera_mount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from offroad_seg.ros.settings import Settings

_CACHE_S = 10.0


@dataclass(frozen=True)
class Poses:
    """The transforms at one image's stamp; odometry may be missing where the costmap is in the base frame."""

    base_T_camera: Transform
    odom_T_base: Transform | None


class TransformSource:
    """A transform buffer that two threads share.

    Args:
        settings: Frame names and the cameras' mounts, which win over /tf where they are given.
    """

    def __init__(self, settings: Settings) -> None:
        self._base, self._odom = settings.base_frame, settings.odom_frame
        self._needs_odometry = not settings.in_base_frame
        mounts = {camera: settings.mount(camera) for camera in settings.camera_names}
        self._mounts = {camera: camera_mount(*m) for camera, m in mounts.items() if m is not None}
        self._buffer = TransformBuffer(_CACHE_S)
        self._imu = ImuAttitude(settings.base_frame, _CACHE_S) if settings.attitude == "imu" else None
        self._condition = threading.Condition()
        self._closed = False
        self._newest_ns: int | None = None

    def add_odometry(self, message: Any) -> None:
        """nav_msgs/Odometry: the pose of its child frame in its header's frame.

        Raises:
            TransformError: A number is not finite, the quaternion is not a unit one, or a frame is missing.
        """
        transform = pose_transform(message.pose.pose)
        parent, child = message.header.frame_id.lstrip("/"), message.child_frame_id.lstrip("/")
        with self._condition:
            self._set(parent, child, stamp_ns(message.header), transform)
            self._newest_ns = stamp_ns(message.header)
            self._condition.notify_all()

    def add_imu(self, message: Any) -> None:
        """sensor_msgs/Imu, with ``attitude: imu``.

        Raises:
            TransformError: It holds no orientation that can be used.
        """
        if self._imu is None:
            return
        with self._condition:
            self._imu.add(message)
            self._condition.notify_all()

    def add_transforms(self, messages: Iterable[Any], *, static: bool) -> list[TransformError]:
        """The transforms of a tf2_msgs/TFMessage; returns what was wrong with those that were refused."""
        with self._condition:
            errors = [error for message in messages if (error := self._add(message, static=static))]
            self._condition.notify_all()
        return errors

    def clear(self) -> None:
        """Forget the moving transforms (time ran back)."""
        with self._condition:
            self._buffer.clear()
            if self._imu is not None:
                self._imu.clear()
            self._newest_ns = None

    def open(self) -> None:
        """Allow waiting again after ``close``."""
        with self._condition:
            self._closed = False

    def close(self) -> None:
        """End every wait at once: the node is being deactivated."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def newest_ns(self) -> int | None:
        """Stamp of the newest pose of the vehicle, or None."""
        with self._condition:
            return self._newest_ns

    def poses(self, camera_frame: str, at_ns: int, timeout_s: float, camera: str = "") -> Poses:
        """The transforms at the image's stamp, waiting for them at most ``timeout_s`` (of the steady clock).

        Args:
            camera_frame: The image's frame.
            at_ns: Its stamp.
            timeout_s: For both transforms together.
            camera: Which camera it is, for its mount.

        Raises:
            TransformError: They are not known at that time; the message names the frames and the times.
        """
        deadline = time.monotonic() + timeout_s
        mount = self._mounts.get(camera)

        def look_up() -> Poses:
            base_T_camera = mount or self._buffer.lookup(self._base, camera_frame, at_ns)
            odom_T_base = None
            if self._newest_ns is not None or self._needs_odometry:
                odom_T_base = self._buffer.lookup(self._odom, self._base, at_ns)
            if self._imu is not None:
                odom_T_base = self._imu.levelled(odom_T_base, at_ns, self._buffer)
            return Poses(base_T_camera, odom_T_base)

        with self._condition:
            return self._wait(look_up, deadline)

    def _add(self, message: Any, *, static: bool) -> TransformError | None:
        try:
            parent, child, stamp, transform = stamped_transform(message)
            if static:
                self._buffer.set_static(parent, child, transform)
                return None
            self._set(parent, child, stamp, transform)
        except TransformError as error:
            return error
        if child == self._base:
            self._newest_ns = stamp
        return None

    def _set(self, parent: str, child: str, stamp: int, transform: Transform) -> None:
        newest = self._buffer.latest_stamp_ns(parent, child)
        if newest is not None and stamp < newest - int(_CACHE_S * 1e9):
            # The history is of another time (a bag that starts again, a clock that was set): it would keep every
            # new sample out for ever.
            self._buffer.clear()
        self._buffer.set(parent, child, stamp, transform)

    def _wait(self, attempt: Callable[[], Poses], deadline: float) -> Poses:
        while True:
            try:
                return attempt()
            except TransformError:
                remaining = deadline - time.monotonic()
                if remaining <= 0 or self._closed:
                    raise
            self._condition.wait(remaining)
