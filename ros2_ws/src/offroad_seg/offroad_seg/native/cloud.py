# SPDX-License-Identifier: Apache-2.0
"""Kernels for clouds of points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.native.library import function, pointer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.buffers import Scratch
    from offroad_seg.spread import Spread

    F32 = NDArray[np.float32]
    U8 = NDArray[np.uint8]

_SPARE, _ALIGNED = 4, 16


def ground_cloud(
    said: tuple[U8, U8],
    kind_256: U8,
    least: int,
    spread: Spread,
    rays: tuple[F32, F32],
    plane_8: F32,
    aside: tuple[int, int],
    scratch: Scratch,
    points_HW: NDArray[Any],
) -> bool:
    """The points of one image; False without the kernel, and where memory begins at an odd place.

    Args:
        said: Labels and confidence as the network gave them, (h, w).
        kind_256: What each label shows: 0, 1 ground, 2 what stands.
        least: Confidence from which a label counts.
        spread: From (h, w) to the image's size.
        rays: x and y where z is 1: (1, W) and (H, 1), or both (H, W); NaN where there is no ray.
        plane_8: float32: the ground's normal, the vertical, the drop, the range squared.
        aside: Rows below and columns beside a foot at which nothing may stand.
        scratch: Kept memory.
        points_HW: ``mapping.cloud.POINT``: where they go.
    """
    kernel = function("ground_cloud", "pppiiipppppipiippppii")
    to = pointer(points_HW, points_HW.dtype, spread.target)
    if kernel is None or to % _ALIGNED or not all(array.flags.c_contiguous for array in said):
        return False
    (h, w), (height, width) = spread.source, spread.target
    tabled = rays[0].shape[0] != 1 or rays[1].shape[1] != 1
    kernel(
        pointer(said[0], np.uint8, (h, w)),
        pointer(said[1], np.uint8, (h, w)),
        pointer(kind_256, np.uint8, (256,)),
        least,
        h,
        w,
        spread.tables.rows,
        spread.tables.columns,
        spread.tables.first,
        pointer(rays[0], np.float32, (height if tabled else 1, width)),
        pointer(rays[1], np.float32, (height, width if tabled else 1)),
        int(tabled),
        pointer(plane_8, np.float32, (8,)),
        *aside,
        pointer(scratch.get("mask", (h, w), np.uint8), np.uint8),
        pointer(scratch.get("words", (w + width + _SPARE,), np.uint32), np.uint32),
        pointer(scratch.get("numbers", (3, width)), np.float32),
        to,
        height,
        width,
    )
    return True
