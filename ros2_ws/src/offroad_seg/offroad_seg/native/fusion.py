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


class Store:
    """Where the arrays of a window's store lie: they are kept, so this is asked once.

    Args:
        shape: Rows and columns of the window.
        evidence_NC: float32.
        sums_4N: float32.
        cost_N: int8.
        source_N: uint8.
    """

    def __init__(
        self, shape: tuple[int, int], evidence_NC: F32, sums_4N: F32, cost_N: I8, source_N: U8
    ) -> None:
        cells = shape[0] * shape[1]
        self.shape = shape
        self.n_channels = evidence_NC.shape[1]
        self.evidence = pointer(evidence_NC, np.float32, (cells, self.n_channels))
        self.sums = pointer(sums_4N, np.float32, (4, cells))
        self.cost = pointer(cost_N, np.int8, (cells,))
        self.source = pointer(source_N, np.uint8, (cells,))


class Tables:
    """Where the tables lie by which evidence is counted; it holds on to them.

    Args:
        channel_256: uint8, the channel of each label; each below C.
        weights_3C: float32, what each channel counts.
        doubt_256: float32, what is doubted of each confidence.
    """

    def __init__(self, channel_256: U8, weights_3C: F32, doubt_256: F32) -> None:
        self._kept = (channel_256, weights_3C, doubt_256)
        self.n_channels = weights_3C.shape[1]
        if int(channel_256.max()) >= self.n_channels:
            raise ValueError(f"there is no channel {channel_256.max()} of {self.n_channels}")
        self.at = (
            pointer(channel_256, np.uint8, (256,)),
            pointer(weights_3C, np.float32, (3, self.n_channels)),
            pointer(doubt_256, np.float32, (256,)),
        )


def fuse(
    labels_HW: U8,
    evidence_HW: F32,
    confidence_HW: U8 | None,
    part: tuple[int, int, int, int],
    slot: tuple[int, int],
    store: Store,
    tables: Tables,
    source: int,
    numbers: tuple[float, ...],
) -> bool:
    """Add a look to the cells of a window; False without the kernel.

    Args:
        labels_HW: uint8, C-contiguous, as the next two.
        evidence_HW: float32.
        confidence_HW: uint8, or None.
        part: First row, end, first column, end of those that count.
        slot: Row and column of the first one's slot.
        store: The window's.
        tables: For as many channels.
        source: 0–255.
        numbers: Scale, limit, lethal share, confidence that is sure, gain: each a float32.
    """
    kernel = function("fusion_add", "pppiiiiipppppppiiiiiifffff")
    if kernel is None or not (labels_HW.flags.c_contiguous and evidence_HW.flags.c_contiguous):
        return False
    if confidence_HW is not None and not confidence_HW.flags.c_contiguous:
        return False
    (rows, columns), (height, width), (top, bottom, left, right) = labels_HW.shape, store.shape, part
    # What the kernel reads and writes follows from these.
    inside = 0 <= top <= bottom <= rows and 0 <= left <= right <= columns
    fits = bottom - top <= height and right - left <= width and store.n_channels == tables.n_channels
    if not (inside and fits and _within(slot, store.shape)):
        raise ValueError(
            f"cells {part} of {(rows, columns)} do not fit a window of {store.shape} from slot {slot}"
        )
    kernel(
        pointer(labels_HW, np.uint8),
        pointer(evidence_HW, np.float32, labels_HW.shape),
        0 if confidence_HW is None else pointer(confidence_HW, np.uint8, labels_HW.shape),
        columns,
        *part,
        store.evidence,
        store.sums,
        store.cost,
        store.source,
        *tables.at,
        store.n_channels,
        height,
        width,
        *slot,
        source,
        *numbers,
    )
    return True


def clear(store: Store, axis: int, first: int, count: int) -> bool:
    """Take all evidence from rows (axis 0) or columns (axis 1), which may wrap around; False without the kernel."""
    kernel = function("fusion_clear", "ppiiiiiii")
    if kernel is None:
        return False
    if not (0 <= first < store.shape[axis] and 0 <= count <= store.shape[axis]):
        raise ValueError(f"there are no lines {first} + {count} in a window of {store.shape}")
    rows, columns = (
        [(first, count), (0, store.shape[1])] if axis == 0 else [(0, store.shape[0]), (first, count)]
    )
    kernel(
        store.evidence, store.sums, store.n_channels, *store.shape, rows[0], rows[1], columns[0], columns[1]
    )
    return True


def unroll(store: Store, slot: tuple[int, int], numbers: tuple[float, ...], out_HW: I8) -> bool:
    """Write what a window that wraps around says, row by row; False without the kernel.

    Args:
        store: The window's.
        slot: Row and column of the slot of cell (0, 0).
        numbers: How often lethal evidence counts on top, and how much makes a cell known: each a float32.
        out_HW: int8; −1 where a cell is not known.
    """
    kernel = function("fusion_grid", "pppiiiiff")
    if kernel is None:
        return False
    if not _within(slot, store.shape):
        raise ValueError(f"there is no slot {slot} in a window of {store.shape}")
    kernel(store.sums, store.cost, pointer(out_HW, np.int8, store.shape), *store.shape, *slot, *numbers)
    return True


def raw_costs(cost_HW: I8, out_HW: U8) -> bool:
    """An OccupancyGrid's costs in costmap_2d's units; False without the kernel.

    Args:
        cost_HW: int8; what is no cost becomes 255, no information.
        out_HW: uint8 of the same shape.
    """
    kernel = function("raw_costs", "ppi")
    if kernel is None or not cost_HW.flags.c_contiguous:
        return False
    kernel(pointer(cost_HW, np.int8), pointer(out_HW, np.uint8, cost_HW.shape), cost_HW.size)
    return True


def _within(slot: tuple[int, int], shape: tuple[int, ...]) -> bool:
    return 0 <= slot[0] < shape[0] and 0 <= slot[1] < shape[1]
