# SPDX-License-Identifier: Apache-2.0
"""Kernels for what a camera above a plane can see at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.native.library import function, pointer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.buffers import Scratch
    from offroad_seg.mapping.level import GroundView
    from offroad_seg.types import GridSpec

    Index = NDArray[np.intp]


def part_in_view(
    rays_N2: NDArray[np.float64], view: GroundView, grid: GridSpec, max_range: float, scratch: Scratch
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Rows and columns of a window that rays along the image's border enclose; None without the kernel.

    Args:
        rays_N2: float64 x / z and y / z in the optical frame.
        view: Where the camera is.
        grid: The window.
        max_range: Metres from the camera's foot.
        scratch: Kept memory; the name ``kernel_part`` is used.
    """
    kernel = function("plane_part", "pipdddiidp")
    if kernel is None:
        return None
    out = scratch.get("kernel_part", (4,), np.int64)
    kernel(
        pointer(rays_N2, np.float64, (len(rays_N2), 2)), len(rays_N2), pointer(view.numbers_12, np.float64, (12,)),
        view.x - grid.origin_x, view.y - grid.origin_y, grid.resolution, grid.width, grid.height, max_range,
        pointer(out, np.int64),
    )  # fmt: skip
    j0, j1, i0, i1 = out.tolist()
    return (j0, j1), (i0, i1)


def ground_region(
    nodes_RC3: NDArray[np.float32],
    v_R: Index,
    u_C: Index,
    view: GroundView,
    max_range: float,
    scratch: Scratch,
) -> tuple[int, int, int, int] | None:
    """First row, end row, first column, end column of an image that show ground in range; None without the kernel.

    Args:
        nodes_RC3: float32 directions of the nodes of a lattice over the image, with z = 1.
        v_R: The lattice's rows in the image.
        u_C: Its columns.
        view: Where the camera is.
        max_range: Metres from the camera's foot.
        scratch: Kept memory; the name ``kernel_part`` is used.

    Returns:
        All 0 where no node sees ground.
    """
    kernel = function("plane_region", "pppiipdp")
    if kernel is None:
        return None
    out = scratch.get("kernel_part", (4,), np.int64)
    kernel(
        pointer(nodes_RC3, np.float32, (v_R.size, u_C.size, 3)), pointer(v_R, np.int64), pointer(u_C, np.int64),
        v_R.size, u_C.size, pointer(view.numbers_12, np.float64, (12,)), max_range, pointer(out, np.int64),
    )  # fmt: skip
    v0, v1, u0, u1 = out.tolist()
    return v0, v1, u0, u1
