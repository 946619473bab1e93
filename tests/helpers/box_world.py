# SPDX-License-Identifier: Apache-2.0
"""An exact world to hold the mapping against: a flat plane with boxes, ray-cast through any camera model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.types import UNLABELLED, Segmentation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel
    from offroad_seg.transforms import Transform
    from offroad_seg.types import GridSpec

    U8 = NDArray[np.uint8]
    F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Box:
    """Something that stands on the plane z = 0, aligned with odom; metres."""

    x0: float
    x1: float
    y0: float
    y1: float
    top: float
    label: int


@dataclass(frozen=True)
class View:
    """What a camera sees: labels, the points it hits in odom (NaN for sky), and which box (−1 for none)."""

    labels_HW: U8
    points_HW3: F64
    boxes_HW: NDArray[np.intp]


@dataclass
class Scene:
    """A plane of one ground class, with patches of others and boxes."""

    ground: int
    sky: int
    boxes: list[Box] = field(default_factory=list)
    patches: list[Box] = field(default_factory=list)

    def render(self, camera: CameraModel, odom_T_camera: Transform) -> View:
        """Cast one ray through the centre of every pixel."""
        u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
        rays = camera.rays(np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float64))
        direction = rays @ odom_T_camera.rotation_33.T
        origin = odom_T_camera.translation_3
        labels = np.full(len(rays), self.sky, np.uint8)
        which = np.full(len(rays), -1, np.intp)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.where(direction[:, 2] < 0, -origin[2] / direction[:, 2], np.inf)
            points = origin + distance[:, None] * direction
            labels[np.isfinite(distance)] = self.ground
            for patch in self.patches:
                labels[np.isfinite(distance) & _within(patch, points)] = patch.label
            for index, box in enumerate(self.boxes):
                low, high = np.array([box.x0, box.y0, 0.0]), np.array([box.x1, box.y1, box.top])
                t0, t1 = (low - origin) / direction, (high - origin) / direction
                enter, leave = np.minimum(t0, t1).max(axis=1), np.maximum(t0, t1).min(axis=1)
                hit = (enter <= leave) & (leave > 0) & (enter < distance)
                distance = np.where(hit, enter, distance)
                labels[hit] = box.label
                which[hit] = index
        points = origin + np.where(np.isfinite(distance), distance, np.nan)[:, None] * direction
        labels[~np.isfinite(rays).all(axis=1)] = UNLABELLED
        shape = (camera.height, camera.width)
        return View(labels.reshape(shape), points.reshape(*shape, 3), which.reshape(shape))

    def occupied(self, grid: GridSpec) -> NDArray[np.bool_]:
        """Cells that some box covers at least in part, shape (height, width)."""
        x = grid.origin_x + grid.resolution * np.arange(grid.width)
        y = grid.origin_y + grid.resolution * np.arange(grid.height)
        out = np.zeros((grid.height, grid.width), bool)
        for b in self.boxes:
            over_x = (x < b.x1) & (x + grid.resolution > b.x0)
            over_y = (y < b.y1) & (y + grid.resolution > b.y0)
            out |= over_y[:, None] & over_x[None, :]
        return out


def segmentation_of(labels_HW: U8, stamp_ns: int = 0, confidence: int = 255) -> Segmentation:
    """Labels as a segmentation with the same confidence everywhere."""
    return Segmentation(
        labels_HW, np.full(labels_HW.shape, confidence, np.uint8), stamp_ns, "camera", confidence / 255
    )


def _within(box: Box, points: F64) -> NDArray[np.bool_]:
    return (
        (points[:, 0] >= box.x0)
        & (points[:, 0] < box.x1)
        & (points[:, 1] >= box.y0)
        & (points[:, 1] < box.y1)
    )
