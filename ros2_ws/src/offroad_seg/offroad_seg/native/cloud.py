# SPDX-License-Identifier: Apache-2.0
"""Kernels for clouds of points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.native.library import function, pointer
from offroad_seg.native.spread import WORD_BLOCK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.buffers import Scratch
    from offroad_seg.mapping.rays import RayTable
    from offroad_seg.spread import Spread

    F32 = NDArray[np.float32]
    U8 = NDArray[np.uint8]

NODE_STEP = 8
"""Pixels between nodes of a table of rays, along rows and columns; as in ``rays.h``."""
_ALIGNED, _ROWS, _MOST_SURE = 16, 4, 255
_ONE_EACH, _TABLED, _NODES = range(3)


def ground_cloud(
    said: tuple[U8, U8],
    kind_256: U8,
    least: int,
    spread: Spread,
    rays: RayTable,
    plane_8: F32,
    aside: tuple[int, int],
    scratch: Scratch,
    points_HW: NDArray[Any],
) -> bool:
    """The points of one image; False without the kernel, and for what it does not take: memory at an odd place.

    Args:
        said: Labels and confidence as the network gave them, (h, w).
        kind_256: What each label shows: 0, 1 ground, 2 what stands.
        least: Confidence from which a label counts.
        spread: From (h, w) to the image's size.
        rays: Of the image's pixels.
        plane_8: float32: the ground's normal, the vertical, the drop, the range squared.
        aside: Rows below and columns beside a foot at which nothing may stand.
        scratch: Kept memory.
        points_HW: ``mapping.cloud.POINT``: where they go.
    """
    kernel = function("ground_cloud", "pppiiippppppppiipiipppipii")
    to = pointer(points_HW, points_HW.dtype, spread.target)
    if kernel is None or to % _ALIGNED or not all(array.flags.c_contiguous for array in said):
        return False
    if not 0 <= least <= _MOST_SURE:  # a byte to the kernel: more would come round to less
        return False
    (h, w), (height, width) = spread.source, spread.target
    kind, (x, y) = _rays(rays)
    nodes = x.shape[1] if kind == _NODES else 0
    # Whole squares between nodes.
    pitch = width - width % -NODE_STEP
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
        *spread.tables.word_blocks,
        pointer(x, np.float32),
        pointer(y, np.float32),
        pointer(rays.limits, np.float32, (2 + 2 * (len(y) - (kind == _NODES)),)),
        kind,
        nodes,
        pointer(plane_8, np.float32, (8,)),
        *aside,
        scratch.at("mask", h * w, np.uint8),
        scratch.at("words", w + width + WORD_BLOCK, np.uint32),
        scratch.at("rows", _ROWS * pitch),
        pitch,
        to,
        height,
        width,
    )
    return True


def _rays(rays: RayTable) -> tuple[int, tuple[F32, F32]]:
    """How the kernel is to read them; it trusts their sizes."""
    height, width = rays.camera.height, rays.camera.width
    if rays.nodes is not None:
        shape = (height - 1) // NODE_STEP + 2, (width - 1) // NODE_STEP + 2
        kind, tables, shapes = _NODES, rays.nodes, (shape, shape)
    elif rays.separate is not None:
        kind, tables, shapes = _ONE_EACH, rays.separate, ((1, width), (height, 1))
    else:
        kind, tables, shapes = _TABLED, rays.full, ((height, width),) * 2
    for table, shape in zip(tables, shapes, strict=True):
        pointer(table, np.float32, shape)
    return kind, tables
