# SPDX-License-Identifier: Apache-2.0
"""An exact world with relief: convex solids, ray-cast through any camera model, with depth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel
    from offroad_seg.transforms import Transform

    F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Solid:
    """All points p with normal · p ≤ offset for each of its planes; metres, in odom."""

    label: int
    planes_K4: tuple[tuple[float, float, float, float], ...]

    def cut(self, *planes: tuple[float, float, float, float]) -> Solid:
        """What of it lies within more planes."""
        return Solid(self.label, self.planes_K4 + planes)


def below(label: int, height: float = 0.0, slope_deg: float = 0.0, x0: float = 0.0) -> Solid:
    """Everything under a plane that has a height at x0 and rises along x."""
    rise = math.tan(math.radians(slope_deg))
    return Solid(label, ((-rise, 0.0, 1.0, height - rise * x0),))


def between_x(solid: Solid, x0: float = -100.0, x1: float = 100.0) -> Solid:
    """The part of a solid between two places along x."""
    return solid.cut((-1.0, 0.0, 0.0, -x0), (1.0, 0.0, 0.0, x1))


def block(label: int, x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> Solid:
    """A box, aligned with odom."""
    return between_x(
        Solid(label, ((0, 1, 0, y[1]), (0, -1, 0, -y[0]), (0, 0, 1, z[1]), (0, 0, -1, -z[0]))), *x
    )


def look(
    solids: list[Solid], camera: CameraModel, odom_T_camera: Transform, sky: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Labels (H, W) and depth along the optical axis (H, W), metres; NaN in the sky."""
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = camera.rays(np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float64))
    direction, origin = rays @ odom_T_camera.rotation_33.T, odom_T_camera.translation_3
    nearest, labels = np.full(len(rays), np.inf), np.full(len(rays), sky, np.uint8)
    for solid in solids:
        enter, leave = np.zeros(len(rays)), np.full(len(rays), np.inf)
        for *normal, offset in solid.planes_K4:
            along, gap = direction @ np.array(normal, float), offset - float(np.dot(normal, origin))
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                t = gap / along
            enter = np.where(along < 0, np.maximum(enter, t), enter)
            leave = np.where(along > 0, np.minimum(leave, t), leave)
            leave = np.where((along == 0) & (gap < 0), -np.inf, leave)
        hit = (enter < leave) & (enter > 0) & (enter < nearest)
        nearest[hit], labels[hit] = enter[hit], solid.label
    depth = np.where(np.isfinite(nearest), nearest * rays[:, 2], np.nan).astype(np.float32)
    shape = (camera.height, camera.width)
    return labels.reshape(shape), depth.reshape(shape)
