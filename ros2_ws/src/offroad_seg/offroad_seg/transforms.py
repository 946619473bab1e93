# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms and a buffer of them over time, without tf2.

Names follow REP-105 and tf2: ``parent_T_child`` maps coordinates given in the child frame into the parent frame.
One buffer serves the node (fed from /tf, odometry and mount parameters) and replay (fed from a bag).
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.errors import TransformError
from offroad_seg.rotations import angles_of, matrix_of, matrix_of_angles, quaternion_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    F64 = NDArray[np.float64]

# camera_link (x forward, y left, z up) → optical frame (z forward, x right, y down), REP-103.
OPTICAL_QUATERNION_XYZW = (-0.5, 0.5, -0.5, 0.5)


@dataclass(frozen=True)
class Transform:
    """A rigid transform ``parent_T_child``.

    Attributes:
        rotation_33: float64 rotation matrix, child axes in the parent frame.
        translation_3: float64, metres: the child's origin in the parent frame.
    """

    rotation_33: F64
    translation_3: F64

    @classmethod
    def identity(cls) -> Transform:
        """The transform that changes nothing."""
        return cls(np.eye(3), np.zeros(3))

    @classmethod
    def from_quaternion(
        cls, xyzw: Sequence[float], translation: Sequence[float] = (0.0, 0.0, 0.0)
    ) -> Transform:
        """From a quaternion in ROS order.

        Raises:
            TransformError: The numbers are not finite, or the quaternion is far from a unit one.
        """
        x, y, z, w = (float(v) for v in xyzw)
        tx, ty, tz = (float(v) for v in translation)
        norm = math.sqrt(x * x + y * y + z * z + w * w)
        # What is not a number makes the sum one that is not finite.
        if not math.isfinite(norm + tx + ty + tz) or abs(norm - 1.0) > 1e-2:
            raise TransformError(
                f"not a rigid transform: quaternion {[x, y, z, w]} (norm {norm:.4f}), translation {[tx, ty, tz]}",
                mend="publish a unit quaternion and a finite translation",
            )
        return cls(matrix_of((x / norm, y / norm, z / norm, w / norm)), np.array((tx, ty, tz)))

    @classmethod
    def from_rpy(
        cls,
        roll: float,
        pitch: float,
        yaw: float,
        translation: Sequence[float] = (0.0, 0.0, 0.0),
    ) -> Transform:
        """From fixed-axis roll, pitch, yaw in radians (REP-103: R = Rz(yaw) Ry(pitch) Rx(roll))."""
        return cls(matrix_of_angles(roll, pitch, yaw), np.asarray(translation, dtype=np.float64))

    def quaternion_xyzw(self) -> F64:
        """The rotation as a unit quaternion, shape (4,), w ≥ 0."""
        return np.array(quaternion_of(self.rotation_33))

    def roll_pitch_yaw(self) -> tuple[float, float, float]:
        """Fixed-axis angles in radians; straight up or down, where only their sum or difference is known, no yaw."""
        return angles_of(self.rotation_33)

    def __matmul__(self, other: Transform) -> Transform:
        return Transform(
            self.rotation_33 @ other.rotation_33,
            self.rotation_33 @ other.translation_3 + self.translation_3,
        )

    def inverse(self) -> Transform:
        """``child_T_parent``."""
        transposed = np.ascontiguousarray(self.rotation_33.T)
        return Transform(transposed, -(transposed @ self.translation_3))

    def apply(self, points_N3: F64) -> F64:
        """Points of shape (N, 3) from the child into the parent frame."""
        moved: F64 = points_N3 @ self.rotation_33.T + self.translation_3
        return moved


def interpolate(before: Transform, after: Transform, share: float) -> Transform:
    """Between two transforms: linear in translation, spherical in rotation; ``share`` in 0–1."""
    if share <= 0.0:
        return before
    if share >= 1.0:
        return after
    a, b, c, d = quaternion_of(before.rotation_33)
    e, f, g, h = quaternion_of(after.rotation_33)
    if a * e + b * f + c * g + d * h < 0.0:
        e, f, g, h = -e, -f, -g, -h  # the shorter way round
    # Between the two on the unit sphere; by both chords, as the arc cosine is blind to small angles.
    first, second = (a, b, c, d), (e, f, g, h)
    angle = 2.0 * math.atan2(math.dist(first, second), math.dist(first, (-e, -f, -g, -h)))
    whole = math.sin(angle)
    p, q = 1.0 - share, share
    if whole > 1e-9:
        p, q = math.sin(p * angle) / whole, math.sin(q * angle) / whole
    x, y, z, w = p * a + q * e, p * b + q * f, p * c + q * g, p * d + q * h
    norm = math.sqrt(x * x + y * y + z * z + w * w)
    rotation_33 = matrix_of((x / norm, y / norm, z / norm, w / norm))
    p, q = 1.0 - share, share
    (a, b, c), (d, e, f) = before.translation_3.tolist(), after.translation_3.tolist()
    return Transform(rotation_33, np.array((p * a + q * d, p * b + q * e, p * c + q * f)))


class _Edge:
    """The history of one child in its parent; static where it has no times."""

    def __init__(self, parent: str) -> None:
        self.parent = parent
        self.static: Transform | None = None
        self.stamps: list[int] = []
        self.transforms: list[Transform] = []


class TransformBuffer:
    """Static and timed transforms with interpolation at a stamp.

    It never extrapolates: a stamp before the oldest or after the newest sample of a timed edge is an error, so
    that a stale pose cannot silently stand in for the right one.

    Args:
        cache_s: Seconds of history kept for each timed edge, counted back from its newest sample.
    """

    def __init__(self, cache_s: float = 10.0) -> None:
        self._cache_ns = int(cache_s * 1e9)
        self._edges: dict[str, _Edge] = {}

    def clear(self) -> None:
        """Forget the timed transforms; static ones stay, as in tf2."""
        self._edges = {c: e for c, e in self._edges.items() if e.static is not None}

    def set_static(self, parent: str, child: str, transform: Transform) -> None:
        """Set a transform that holds at every time."""
        self._edge(parent, child).static = transform

    def set(self, parent: str, child: str, stamp_ns: int, transform: Transform) -> None:
        """Add a sample of a moving frame. A second sample of the same stamp replaces the first."""
        edge = self._edge(parent, child)
        edge.static = None
        at = bisect.bisect_left(edge.stamps, stamp_ns)
        if at < len(edge.stamps) and edge.stamps[at] == stamp_ns:
            edge.transforms[at] = transform
            return
        edge.stamps.insert(at, stamp_ns)
        edge.transforms.insert(at, transform)
        keep = bisect.bisect_left(edge.stamps, edge.stamps[-1] - self._cache_ns)
        if keep > 0:
            del edge.stamps[:keep]
            del edge.transforms[:keep]

    def latest_stamp_ns(self, parent: str, child: str) -> int | None:
        """Stamp of the newest sample of one edge, or None where there is none."""
        edge = self._edges.get(child)
        if edge is None or edge.parent != parent or not edge.stamps:
            return None
        return edge.stamps[-1]

    def frames(self) -> list[str]:
        """Every frame that is known, sorted."""
        return sorted(self._edges.keys() | {e.parent for e in self._edges.values()})

    def lookup(self, target: str, source: str, stamp_ns: int) -> Transform:
        """``target_T_source`` at a stamp.

        Raises:
            TransformError: A frame is unknown, the two are not connected, or the stamp lies outside the history.
        """
        source_chain, target_chain = self._chain(source), self._chain(target)
        # The straight way first: in a loop another one might be found, too.
        if target in source_chain:
            return self._climb(source_chain, target, stamp_ns)
        if source in target_chain:
            return self._climb(target_chain, source, stamp_ns).inverse()
        common = next((frame for frame in source_chain if frame in target_chain), None)
        if common is None:
            self._refuse_loop(source_chain, target_chain)
            known = ", ".join(self.frames()) or "none"
            raise TransformError(
                f"no transform from '{source}' to '{target}': the two are not connected",
                where=f"known frames: {known}",
                mend="publish the missing transform, or set the camera_mount and frame parameters",
            )
        up_source = self._climb(source_chain, common, stamp_ns)
        up_target = self._climb(target_chain, common, stamp_ns)
        return up_target.inverse() @ up_source

    def _edge(self, parent: str, child: str) -> _Edge:
        if not parent or not child or parent == child:
            raise TransformError(f"a transform from '{child}' to '{parent}' has no meaning")
        edge = self._edges.get(child)
        if edge is None or edge.parent != parent:
            edge = _Edge(parent)
            self._edges[child] = edge
        return edge

    def _chain(self, frame: str) -> list[str]:
        """A frame, its parent and so on to the root; a loop ends where it begins anew."""
        chain = [frame]
        while (edge := self._edges.get(chain[-1])) is not None and edge.parent not in chain:
            chain.append(edge.parent)
        return chain

    def _refuse_loop(self, *chains: list[str]) -> None:
        """Where two frames meet below it, a loop does not matter; where they do not, it is why."""
        for chain in chains:
            edge = self._edges.get(chain[-1])
            if edge is not None:
                raise TransformError(f"the transform tree has a loop at '{edge.parent}'")

    def _climb(self, chain: list[str], top: str, stamp_ns: int) -> Transform:
        """``top_T_chain[0]``."""
        result: Transform | None = None
        for child in chain[: chain.index(top)]:
            sample = self._sample(child, stamp_ns)
            result = sample if result is None else sample @ result
        return Transform.identity() if result is None else result

    def _sample(self, child: str, stamp_ns: int) -> Transform:
        edge = self._edges[child]
        if edge.static is not None:
            return edge.static
        stamps = edge.stamps
        if not stamps or stamp_ns < stamps[0] or stamp_ns > stamps[-1]:
            raise TransformError(
                f"no transform from '{child}' to '{edge.parent}' at {stamp_ns / 1e9:.3f} s",
                where=f"history {stamps[0] / 1e9:.3f} to {stamps[-1] / 1e9:.3f} s"
                if stamps
                else "no samples",
                mend="wait for the transform, or check that its clock and the camera's agree",
            )
        at = bisect.bisect_left(stamps, stamp_ns)
        if stamps[at] == stamp_ns:
            return edge.transforms[at]
        span = stamps[at] - stamps[at - 1]
        share = (stamp_ns - stamps[at - 1]) / span
        return interpolate(edge.transforms[at - 1], edge.transforms[at], share)


def camera_mount(x: float, y: float, z: float, roll: float, pitch: float, yaw: float) -> Transform:
    """``base_T_optical`` of a camera whose link (x forward) is mounted at a pose in the base frame."""
    link = Transform.from_rpy(roll, pitch, yaw, (x, y, z))
    return link @ Transform.from_quaternion(OPTICAL_QUATERNION_XYZW)
