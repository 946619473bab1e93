# SPDX-License-Identifier: Apache-2.0
"""A vehicle that follows the trail: its pose over time, the camera on it, and views for single pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.transforms import Transform, camera_mount

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg_train.synthetic.terrain import Terrain
    from offroad_seg_train.synthetic.world import World

    F64 = NDArray[np.float64]

WHEELBASE = 1.8
TRACK = 1.3
# Stiff springs: the body follows the ground averaged over this time.
_SPRING_S = 0.24
MOUNT = (0.45, 0.0, 1.2, 0.0, 0.09, 0.0)
"""x, y, z (m), roll, pitch, yaw (rad) of camera_link in base_link: on the mast, tilted 5° down."""


def ground_pose(terrain: Terrain, x: F64, y: F64, yaw: F64) -> tuple[F64, F64, F64]:
    """Height, roll and pitch (N,) of a four-wheeled vehicle that stands at places with headings.

    REP-103: pitch is positive nose down, roll is positive right side down.
    """
    cos, sin = np.cos(yaw), np.sin(yaw)
    heights = {}
    for along in (-1, 1):
        for left in (-1, 1):
            dx, dy = along * WHEELBASE / 2, left * TRACK / 2
            heights[along, left] = terrain.height(x + cos * dx - sin * dy, y + sin * dx + cos * dy)
    front, rear = heights[1, 1] + heights[1, -1], heights[-1, 1] + heights[-1, -1]
    left, right = heights[1, 1] + heights[-1, 1], heights[1, -1] + heights[-1, -1]
    pitch = np.arctan2((rear - front) / 2, WHEELBASE)
    roll = np.arctan2((left - right) / 2, TRACK)
    return (front + rear) / 4, roll, pitch


@dataclass(frozen=True)
class Drive:
    """A lap, or several, along a world's trail.

    Attributes:
        terrain: The ground.
        start: Arc length at time 0, metres.
        speed: Mean speed, m/s.
    """

    terrain: Terrain
    start: float = 0.0
    speed: float = 2.5

    def _path(self, t_N: F64) -> tuple[F64, F64]:
        # Faster here, slower there, and never quite in the middle.
        s = self.start + self.speed * (t_N + 0.8 * np.sin(t_N * 0.45))
        xy, heading = self.terrain.trail.at(s)
        aside = 0.25 * np.sin(s * 0.21) + 0.10 * np.sin(s * 0.53)
        xy = xy + aside[:, None] * np.stack([-np.sin(heading), np.cos(heading)], -1)
        return xy[:, 0], xy[:, 1]

    def poses(self, t_N: F64) -> list[Transform]:
        """``world_T_base`` at times in seconds; base_link lies on the ground between the wheels."""
        t_N = np.asarray(t_N, np.float64)
        # The heading is that of the path over a third of a second, as steering has inertia.
        x0, y0 = self._path(t_N - 0.17)
        x1, y1 = self._path(t_N + 0.17)
        yaw = np.arctan2(y1 - y0, x1 - x0)
        x, y = self._path(t_N)
        z, roll, pitch = np.zeros(len(t_N)), np.zeros(len(t_N)), np.zeros(len(t_N))
        offsets = np.linspace(-_SPRING_S, _SPRING_S, 5)
        for dt in offsets:
            xs, ys = self._path(t_N + dt)
            h, r, p = ground_pose(self.terrain, xs, ys, yaw)
            z, roll, pitch = z + h / len(offsets), roll + r / len(offsets), pitch + p / len(offsets)
        return [
            Transform.from_rpy(
                float(roll[i]), float(pitch[i]), float(yaw[i]), (float(x[i]), float(y[i]), float(z[i]))
            )
            for i in range(len(t_N))
        ]


def base_T_link() -> Transform:
    """Mount of camera_link (x forward) in base_link."""
    x, y, z, roll, pitch, yaw = MOUNT
    return Transform.from_rpy(roll, pitch, yaw, (x, y, z))


def base_T_optical() -> Transform:
    """Mount of camera_optical_frame in base_link."""
    return camera_mount(*MOUNT)


def random_view(rng: np.random.Generator, world: World) -> Transform:
    """``world_T_optical`` of a picture for training: near the trail, any vehicle height, mostly looking along it.

    No view begins inside a thing or right before one.
    """
    terrain, things = world.terrain, world.things
    for _ in range(200):
        xy, heading = terrain.trail.at(rng.uniform(0, terrain.trail.length, 1))
        aside = float(np.clip(rng.normal(0, 1.0 if rng.random() < 0.55 else 4.5), -8, 8))
        x = xy[:, 0] - aside * np.sin(heading)
        y = xy[:, 1] + aside * np.cos(heading)
        yaw = heading + np.pi * (rng.random() < 0.5) + rng.normal(0, 0.30 if rng.random() < 0.7 else 1.2)
        gap = (
            np.hypot(things.obstacles_K3[:, 0] - x, things.obstacles_K3[:, 1] - y) - things.obstacles_K3[:, 2]
        )
        if gap.min() > 1.3:
            break
    z, roll, pitch = ground_pose(terrain, x, y, yaw)
    base = Transform.from_rpy(
        float(roll[0]) + rng.normal(0, 0.02),
        float(pitch[0]) + rng.normal(0, 0.03),
        float(yaw[0]),
        (float(x[0]), float(y[0]), float(z[0])),
    )
    return base @ camera_mount(
        0.0, 0.0, float(rng.uniform(0.8, 2.2)), 0.0, float(rng.uniform(-0.06, 0.20)), 0.0
    )
