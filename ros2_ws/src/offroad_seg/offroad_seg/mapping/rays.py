# SPDX-License-Identifier: Apache-2.0
"""The directions of all pixels of an image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.native.cloud import NODE_STEP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel

    F32 = NDArray[np.float32]
    F64 = NDArray[np.float64]

NODE_TOLERANCE = 0.05
"""Pixels by which a straight line between nodes may miss the lens: a tenth of what a good calibration misses."""


@dataclass(frozen=True)
class RayTable:
    """The pixels' rays (x, y, 1) in the optical frame.

    Attributes:
        separate: x (1, W) and y (H, 1), float32, where x depends on the column alone and y on the row: without
            distortion.
        nodes: x and y, float32, at pixels (``NODE_STEP`` · row, ``NODE_STEP`` · column), the last of which lie
            beyond the image; between them they go straight, first down, then across. A sixtieth of the
            memory of all pixels, which would be read anew for each image. None for a lens too curved for that.
        camera: Whose rays they are.
    """

    camera: CameraModel
    separate: tuple[F32, F32] | None
    nodes: tuple[F32, F32] | None

    @classmethod
    def of(cls, camera: CameraModel) -> RayTable:
        """Of a camera, in the smallest form that is true enough."""
        if camera.D:
            return cls(camera, None, _nodes(camera))
        u, v = np.arange(camera.width, dtype=np.float64), np.arange(camera.height, dtype=np.float64)
        x_W, _ = _directions(camera, u, np.zeros_like(u))
        _, y_H = _directions(camera, np.zeros_like(v), v)
        return cls(camera, (x_W[None, :], y_H[:, None]), None)

    @cached_property
    def full(self) -> tuple[F32, F32]:
        """The rays' x and y: (H, W) each, or (1, W) and (H, 1) without distortion; NaN where there is no ray."""
        if self.separate is not None:
            return self.separate
        height, width = self.camera.height, self.camera.width
        if self.nodes is not None:
            x, y = (_between(node, height, width) for node in self.nodes)
            return x, y
        return _grid(self.camera, np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))

    @cached_property
    def limits(self) -> F32:
        """The least and most that x is, then those that y is in each row: of pixels, or of squares between nodes.

        NaN where some have no ray.
        """
        x, y = self.nodes or self.full
        least_H, most_H = y.min(axis=1), y.max(axis=1)
        if self.nodes is not None:
            least_H, most_H = np.minimum(least_H[:-1], least_H[1:]), np.maximum(most_H[:-1], most_H[1:])
        return np.concatenate([[x.min(), x.max()], np.stack([least_H, most_H], axis=1).ravel()]).astype(
            np.float32
        )


def _nodes(camera: CameraModel) -> tuple[F32, F32] | None:
    """The nodes, or None where lines between them miss the lens by too much, or some have no ray.

    A line is farthest from a smooth curve in the middle, so that it is enough to look there. Rays end at a circle:
    where a square's corners lie within, all of it does.
    """
    u, v = (np.arange((n - 1) // NODE_STEP + 2.0) * NODE_STEP for n in (camera.width, camera.height))
    found = _grid(camera, u, v)
    middle = _grid(camera, u[:-1] + NODE_STEP / 2, v[:-1] + NODE_STEP / 2)
    for node, true, focal in zip(found, middle, (camera.fx, camera.fy), strict=True):
        straight = (node[:-1, :-1] + node[1:, :-1] + node[:-1, 1:] + node[1:, 1:]) / 4
        # False for what is no number.
        if not (np.abs(straight - true).max() * focal <= NODE_TOLERANCE):
            return None
    return found


def _between(node: F32, height: int, width: int) -> F32:
    """Straight between nodes; in this order of operations, which the compiled kernel takes too."""
    down_S, across_S = (np.arange(NODE_STEP, dtype=np.float32) / NODE_STEP for _ in range(2))
    rows = node[:-1, None, :] + (node[1:] - node[:-1])[:, None, :] * down_S[:, None]
    rows = rows.reshape(-1, node.shape[1])[:height]
    found = rows[:, :-1, None] + (rows[:, 1:] - rows[:, :-1])[:, :, None] * across_S
    return np.ascontiguousarray(found.reshape(height, -1)[:, :width])


def _grid(camera: CameraModel, u_W: F64, v_H: F64) -> tuple[F32, F32]:
    u_HW, v_HW = np.meshgrid(u_W, v_H)
    x_N, y_N = _directions(camera, u_HW.ravel(), v_HW.ravel())
    return x_N.reshape(u_HW.shape), y_N.reshape(u_HW.shape)


def _directions(camera: CameraModel, u_N: F64, v_N: F64) -> tuple[F32, F32]:
    with np.errstate(invalid="ignore"):
        rays_N3 = camera.rays(np.stack([u_N, v_N], axis=1))
        x_N, y_N = rays_N3[:, 0] / rays_N3[:, 2], rays_N3[:, 1] / rays_N3[:, 2]
    return x_N.astype(np.float32), y_N.astype(np.float32)
