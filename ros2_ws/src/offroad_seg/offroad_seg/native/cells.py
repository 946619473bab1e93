# SPDX-License-Identifier: Apache-2.0
"""The kernel for what the cells of a window see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.native.library import function, pointer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.buffers import Scratch
    from offroad_seg.mapping.cells import Placement
    from offroad_seg.mapping.foot_range import Feet
    from offroad_seg.mapping.looks import Cells

    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]

_KINDS = "pp" + "ii" + "pp" + "iiii" + "pii" + "pppp" + "pppppp" + "pppi"
_MOST_PIXELS = 2**31 - 1


def fill_cells(
    labels_HW: U8,
    confidence_HW: U8,
    placed: Placement,
    ground_256: U8,
    min_confidence: int,
    numbers_9: tuple[float, ...],
    nearest_B: F32 | None,
    feet: Feet | None,
    scratch: Scratch,
    out: Cells,
) -> bool:
    """Fill the cells in view with what their own pixels say, and with what may stand on them; False without the kernel.

    Args:
        labels_HW: uint8 class ids, C-contiguous.
        confidence_HW: Likewise.
        placed: The cells.
        ground_256: uint8, which labels say something about the ground they are seen on.
        min_confidence: 0–255.
        numbers_9: Corner of the window in x and y, metres from the camera's foot; resolution; greatest range;
            ``cover_of``; ``spread_of``; the camera's height; greatest slope of the ground against the plane, and
            1 / its standard deviation (tangents; any numbers without feet).
        nearest_B: float32 metres from which cells in each direction are hidden; None hides nothing.
        feet: What may stand in each direction.
        scratch: Kept memory; names starting with ``kernel`` are used.
        out: The cleared window.
    """
    kernel = function("plane_cells", _KINDS)
    if kernel is None or labels_HW.size > _MOST_PIXELS:
        return False
    lens, at = placed.lens, scratch.at
    (j0, j1), (i0, i1) = placed.rows, placed.columns
    h, w, shape = j1 - j0, i1 - i0, out.labels_HW.shape
    if not (0 <= j0 <= j1 <= shape[0] and 0 <= i0 <= i1 <= shape[1]):
        raise ValueError(f"rows {placed.rows} and columns {placed.columns} are not in a window of {shape}")
    numbers_18 = scratch.get("kernel_numbers", (18,), np.float64)
    numbers_18[:9] = placed.rows_33.ravel()
    numbers_18[9:] = numbers_9
    count = lens.directions_around
    first = j0 * shape[1] + i0
    kernel(
        pointer(labels_HW, np.uint8), pointer(confidence_HW, np.uint8, labels_HW.shape), *labels_HW.shape,
        pointer(lens.numbers_14, np.float64, (14,)), pointer(numbers_18, np.float64), i0, j0, w, h,
        pointer(ground_256, np.uint8, (256,)), min_confidence, count,
        0 if nearest_B is None else pointer(nearest_B, np.float32, (count,)),
        0 if feet is None else pointer(feet.fall_B, np.float32, (count,)),
        0 if feet is None else pointer(feet.labels_B, np.uint8, (count,)),
        0 if feet is None else pointer(feet.confidence_B, np.uint8, (count,)),
        at("kernel_at", h * w, np.int32),
        at("kernel_depth", h * w),
        at("kernel_spans", h * 4, np.int64),
        at("kernel_floats", 11 * (w + 1)),
        at("kernel_directions", 2 * (w + 1), np.int32),
        at("kernel_bytes", 7 * (w + 33), np.uint8),
        pointer(out.labels_HW, np.uint8) + first, pointer(out.evidence_HW, np.float32, shape) + 4 * first,
        pointer(out.confidence_HW, np.uint8, shape) + first, shape[1],
    )  # fmt: skip
    return True
