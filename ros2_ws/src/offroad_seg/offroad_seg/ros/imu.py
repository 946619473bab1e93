# SPDX-License-Identifier: Apache-2.0
"""Roll and pitch from an IMU, in place of those of the odometry. Position and heading stay the odometry's."""

from __future__ import annotations

from typing import Any

from offroad_seg.errors import TransformError
from offroad_seg.sensor_messages import stamp_ns
from offroad_seg.transforms import Transform, TransformBuffer

_LEVEL = "level"  # the IMU's world: z up, its heading is of no use here


class ImuAttitude:
    """The attitude over time, asked for at the image's stamp: interpolated, never of another time.

    Args:
        base_frame: The vehicle's frame.
        cache_s: Seconds of history.
    """

    def __init__(self, base_frame: str, cache_s: float) -> None:
        self._base, self._cache_ns = base_frame, int(cache_s * 1e9)
        self._buffer = TransformBuffer(cache_s)
        self._frame = ""

    def add(self, message: Any) -> None:
        """sensor_msgs/Imu (REP-145: ``orientation`` is the IMU's frame in a world whose z points up).

        Raises:
            TransformError: It holds no orientation, or one that cannot be used.
        """
        frame, stamp = message.header.frame_id.lstrip("/"), stamp_ns(message.header)
        if message.orientation_covariance[0] == -1.0:
            raise TransformError(
                "the IMU gives no orientation (orientation_covariance[0] is -1)",
                where="imu",
                mend="put a filter behind it, such as imu_filter_madgwick, or set attitude: odom",
            )
        if not frame:
            raise TransformError(
                "the IMU's message has no frame_id", where="imu", mend="set it in the driver"
            )
        q = message.orientation
        try:
            attitude = Transform.from_quaternion((q.x, q.y, q.z, q.w))
        except TransformError as error:
            raise TransformError(f"IMU: {error.one_line()}", where="imu") from None
        newest = self._buffer.latest_stamp_ns(_LEVEL, frame)
        if frame != self._frame or (newest is not None and stamp < newest - self._cache_ns):
            self._buffer.clear()  # of another IMU, or of another time
            self._frame = frame
        self._buffer.set(_LEVEL, frame, stamp, attitude)

    def clear(self) -> None:
        """Forget all (time ran back)."""
        self._buffer.clear()

    def levelled(self, odom_T_base: Transform | None, at_ns: int, transforms: TransformBuffer) -> Transform:
        """The pose with the IMU's roll and pitch; without odometry the attitude alone, at the origin.

        Args:
            odom_T_base: Pose of the base frame at that time.
            at_ns: The image's stamp.
            transforms: Knows where the IMU is mounted in the base frame.

        Raises:
            TransformError: There is no attitude at that time, or nobody says how the IMU is mounted.
        """
        try:
            level_T_imu = self._buffer.lookup(_LEVEL, self._frame, at_ns)
        except TransformError as error:
            raise TransformError(
                f"no attitude from the IMU at {at_ns / 1e9:.3f} s: {error.what}",
                where=error.where,
                mend="check the topic imu and its clock, or set attitude: odom",
            ) from None
        base_T_imu = Transform.identity()
        if self._frame != self._base:
            base_T_imu = transforms.lookup(self._base, self._frame, at_ns)
        roll, pitch, _ = Transform(
            level_T_imu.rotation_33 @ base_T_imu.rotation_33.T, base_T_imu.translation_3
        ).roll_pitch_yaw()
        if odom_T_base is None:
            return Transform.from_rpy(roll, pitch, 0.0)
        x, y, z = odom_T_base.translation_3.tolist()
        return Transform.from_rpy(roll, pitch, odom_T_base.roll_pitch_yaw()[2], (x, y, z))
