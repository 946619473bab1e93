# SPDX-License-Identifier: Apache-2.0
"""The poses of a bag over time, from /tf, /tf_static and odometry."""

from __future__ import annotations

from typing import Any

from offroad_seg.errors import TransformError
from offroad_seg.sensor_messages import stamp_ns
from offroad_seg.transforms import Transform, TransformBuffer

_JUMP_NS = 1_000_000_000


class PoseHistory:
    """A transform buffer that knows when time runs back, and that /tf wins over odometry.

    A bag often holds odom → base_link both as odometry and, through other frames, in /tf. A frame has one parent:
    once /tf has said which, odometry that says otherwise is left aside.
    """

    def __init__(self) -> None:
        self._buffer = TransformBuffer()
        self._tf_children: set[str] = set()
        self._newest_ns: dict[str, int] = {}
        self.refused: list[str] = []

    def clear(self) -> None:
        """Forget everything that moves."""
        self._buffer.clear()
        self._newest_ns.clear()

    def jumps_back(self, message: Any) -> bool:
        """Whether odometry or transforms are of a time before what is known, which must then be forgotten."""
        return any(
            stamp <= self._newest_ns.get(child, stamp) - _JUMP_NS
            for child, stamp in _stamped_children(message)
        )

    def add_odometry(self, message: Any) -> None:
        """The pose of nav_msgs/Odometry."""
        child = message.child_frame_id.lstrip("/")
        if child in self._tf_children:
            return
        p, q = message.pose.pose.position, message.pose.pose.orientation
        self._set(message.header, child, (q.x, q.y, q.z, q.w), (p.x, p.y, p.z), static=False)

    def add_transforms(self, messages: Any, *, static: bool) -> None:
        """The transforms of tf2_msgs/TFMessage."""
        for message in messages:
            child = message.child_frame_id.lstrip("/")
            self._tf_children.add(child)
            t, q = message.transform.translation, message.transform.rotation
            self._set(message.header, child, (q.x, q.y, q.z, q.w), (t.x, t.y, t.z), static=static)

    def lookup(self, target: str, source: str, at_ns: int) -> Transform:
        """``target_T_source`` at a stamp.

        Raises:
            TransformError: It is not known at that time.
        """
        return self._buffer.lookup(target, source, at_ns)

    def _set(
        self,
        header: Any,
        child: str,
        xyzw: tuple[float, float, float, float],
        xyz: tuple[float, float, float],
        *,
        static: bool,
    ) -> None:
        parent = header.frame_id.lstrip("/")
        try:
            transform = Transform.from_quaternion(xyzw, xyz)
            if static:
                self._buffer.set_static(parent, child, transform)
            else:
                stamp = stamp_ns(header)
                self._buffer.set(parent, child, stamp, transform)
                self._newest_ns[child] = max(stamp, self._newest_ns.get(child, stamp))
        except TransformError as error:
            if not self.refused:
                self.refused.append(error.one_line())


def _stamped_children(message: Any) -> list[tuple[str, int]]:
    if hasattr(message, "transforms"):
        return [(m.child_frame_id.lstrip("/"), stamp_ns(m.header)) for m in message.transforms]
    if hasattr(message, "child_frame_id"):
        return [(message.child_frame_id.lstrip("/"), stamp_ns(message.header))]
    return []
