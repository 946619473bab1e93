# SPDX-License-Identifier: Apache-2.0
"""The directions of all pixels of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel

    F32 = NDArray[np.float32]
    F64 = NDArray[np.float64]


def ray_tables(camera: CameraModel) -> tuple[F32, F32]:
    """The pixels' rays (x, y, 1) in the optical frame: x and y, NaN where there is none.

    Returns:
        float32, (1, W) and (H, 1) without distortion, where x depends on the column alone and y on the row; else both
        (H, W).
    """
    u, v = np.arange(camera.width, dtype=np.float64), np.arange(camera.height, dtype=np.float64)
    if not camera.D:
        x_W, _ = _directions(camera, u, np.zeros_like(u))
        _, y_H = _directions(camera, np.zeros_like(v), v)
        return x_W[None, :], y_H[:, None]
    u_HW, v_HW = np.meshgrid(u, v)
    x_N, y_N = _directions(camera, u_HW.ravel(), v_HW.ravel())
    return x_N.reshape(u_HW.shape), y_N.reshape(u_HW.shape)


def _directions(camera: CameraModel, u_N: F64, v_N: F64) -> tuple[F32, F32]:
    with np.errstate(invalid="ignore"):
        rays_N3 = camera.rays(np.stack([u_N, v_N], axis=1))
        x_N, y_N = rays_N3[:, 0] / rays_N3[:, 2], rays_N3[:, 1] / rays_N3[:, 2]
    return x_N.astype(np.float32), y_N.astype(np.float32)
