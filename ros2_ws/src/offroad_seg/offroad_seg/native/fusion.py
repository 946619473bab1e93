# SPDX-License-Identifier: Apache-2.0
"""Kernels for the costmap's evidence: see ``mapping/evidence.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.native.library import function, pointer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    I8 = NDArray[np.int8]
    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]


def fuse(
    labels_HW: U8,
    evidence_HW: F32,
    confidence_HW: U8 | None,
    part: tuple[int, int, int, int],
    slot: tuple[int, int],
    store: tuple[F32, F32, I8, U8],
    tables: tuple[U8, F32, F32],
    shape: tuple[int, int],
    source: int,
    numbers: tuple[np.float32, ...],
) -> bool:
    """Add a look to the cells of a window; False without the kernel.

    Args:
        labels_HW: uint8, C-contiguous, as the next two.
        evidence_HW: float32.
        confidence_HW: uint8, or None.
        part: First row, end, first column, end of those that count.
        slot: Row and column of the first one's slot.
        store: float32 evidence (N, C), float32 sums (4, N), int8 costs (N,), uint8 sources (N,).
        tables: uint8 channel of each label, each below C; float32 weights (3, C); float32 doubt of each confidence.
        shape: Rows and columns of the window.
        source: 0–255.
        numbers: Scale, limit, lethal share, confidence that is sure, gain.
    """
    kernel = function("fusion_add", "pppiiiiipppppppiiiiiifffff")
    if kernel is None or not (labels_HW.flags.c_contiguous and evidence_HW.flags.c_contiguous):
        return False
    if confidence_HW is not None and not confidence_HW.flags.c_contiguous:
        return False
    (rows, columns), (height, width), (top, bottom, left, right) = labels_HW.shape, shape, part
    cells, n_channels = store[0].shape
    # What the kernel reads and writes follows from these.
    inside = 0 <= top <= bottom <= rows and 0 <= left <= right <= columns
    fits = bottom - top <= height and right - left <= width and cells == height * width
    if not (inside and fits and _within(slot, shape)):
        raise ValueError(f"cells {part} of {(rows, columns)} do not fit a window of {shape} from slot {slot}")
    kernel(
        pointer(labels_HW, np.uint8),
        pointer(evidence_HW, np.float32, labels_HW.shape),
        0 if confidence_HW is None else pointer(confidence_HW, np.uint8, labels_HW.shape),
        columns,
        *part,
        pointer(store[0], np.float32),
        pointer(store[1], np.float32, (4, cells)),
        pointer(store[2], np.int8, (cells,)),
        pointer(store[3], np.uint8, (cells,)),
        pointer(tables[0], np.uint8, (256,)),
        pointer(tables[1], np.float32, (3, n_channels)),
        pointer(tables[2], np.float32, (256,)),
        n_channels,
        *shape,
        *slot,
        source,
        *map(float, numbers),
    )
    return True


def unroll(
    sums_4N: F32, cost_N: I8, slot: tuple[int, int], numbers: tuple[np.float32, ...], out_HW: I8
) -> bool:
    """Write what a window that wraps around says, row by row; False without the kernel.

    Args:
        sums_4N: float32; the first row is evidence, the third lethal evidence.
        cost_N: int8.
        slot: Row and column of the slot of cell (0, 0).
        numbers: How often lethal evidence counts on top, and how much makes a cell known.
        out_HW: int8; −1 where a cell is not known.
    """
    kernel = function("fusion_grid", "pppiiiiff")
    if kernel is None:
        return False
    height, width = out_HW.shape
    if not _within(slot, out_HW.shape):
        raise ValueError(f"there is no slot {slot} in a window of {out_HW.shape}")
    kernel(
        pointer(sums_4N, np.float32, (4, height * width)),
        pointer(cost_N, np.int8, (height * width,)),
        pointer(out_HW, np.int8),
        height,
        width,
        *slot,
        *map(float, numbers),
    )
    return True


def _within(slot: tuple[int, int], shape: tuple[int, ...]) -> bool:
    return 0 <= slot[0] < shape[0] and 0 <= slot[1] < shape[1]
