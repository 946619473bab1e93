# SPDX-License-Identifier: Apache-2.0
"""Kernels for clouds of points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.native.library import function, pointer
from offroad_seg.native.spread import WORD_BLOCK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.rays import RayTable
    from offroad_seg.spread import Spread

    F32 = NDArray[np.float32]
    U8 = NDArray[np.uint8]

NODE_STEP = 8
"""Pixels between nodes of a table of rays, along rows and columns; as in ``rays.h``."""
_ALIGNED, _ROWS, _MOST_SURE = 16, 4, 255
_ONE_EACH, _TABLED, _NODES = range(3)


class CloudKernel:
    """Where everything lies that the kernel needs for images of one size: asked once, and held on to.

    Args:
        kind_256: uint8, what each label shows: 0, 1 ground, 2 what stands.
        least: Confidence from which a label counts.
        spread: From the size of what is said to the image's.
        rays: Of the image's pixels.
        aside: Rows below and columns beside a foot at which nothing may stand.
        points_HW: ``mapping.cloud.POINT``: where they go.

    Attributes:
        spread: As given.
    """

    def __init__(
        self,
        kind_256: U8,
        least: int,
        spread: Spread,
        rays: RayTable,
        aside: tuple[int, int],
        points_HW: NDArray[Any],
    ) -> None:
        self.spread = spread
        (h, w), (height, width) = spread.source, spread.target
        kind, (x, y), limits = *_rays(rays), rays.limits
        nodes = x.shape[1] if kind == _NODES else 0
        # Whole squares between nodes.
        pitch = width - width % -NODE_STEP
        self._plane_8 = np.empty(8, np.float32)
        mask, words = np.empty(h * w, np.uint8), np.empty(w + width + WORD_BLOCK, np.uint32)
        rows = np.empty(_ROWS * pitch, np.float32)
        # Whatever an address is kept of is held on to.
        self._kept = (kind_256, spread, x, y, limits, points_HW, mask, words, rows)
        to = pointer(points_HW, points_HW.dtype, spread.target)
        # The least confidence is a byte to the kernel: more would come round to less.
        self._usable = to % _ALIGNED == 0 and 0 <= least <= _MOST_SURE
        self._numbers = (
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
            pointer(limits, np.float32, (2 + 2 * (len(y) - (kind == _NODES)),)),
            kind,
            nodes,
            pointer(self._plane_8, np.float32),
            *aside,
            pointer(mask, np.uint8),
            pointer(words, np.uint32),
            pointer(rows, np.float32),
            pitch,
            to,
            height,
            width,
        )

    def fill(self, labels_hw: U8, confidence_hw: U8, plane_8: tuple[float, ...]) -> bool:
        """The points of one image; False without the kernel, and for what it does not take: memory at an odd place.

        Args:
            labels_hw: As the network gave them.
            confidence_hw: Likewise.
            plane_8: The ground's normal, the vertical, the drop, the range squared.
        """
        kernel = function("ground_cloud", "pppiiippppppppiipiipppipii")
        if kernel is None or not self._usable:
            return False
        if not (labels_hw.flags.c_contiguous and confidence_hw.flags.c_contiguous):
            return False
        self._plane_8[:] = plane_8
        source = self.spread.source
        labels, confidence = pointer(labels_hw, np.uint8, source), pointer(confidence_hw, np.uint8, source)
        kernel(labels, confidence, *self._numbers)
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
