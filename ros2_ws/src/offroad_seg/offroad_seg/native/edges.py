# SPDX-License-Identifier: Apache-2.0
"""Kernels for what stands: its edges, its shadow, and the cells that it marks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.native.library import function, head, pointer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.buffers import Scratch
    from offroad_seg.mapping.foot_range import Feet
    from offroad_seg.mapping.lens import Lens
    from offroad_seg.mapping.level import GroundView
    from offroad_seg.mapping.looks import Cells
    from offroad_seg.mapping.occlusion import Edges
    from offroad_seg.types import GridSpec

    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]
    Bool = NDArray[np.bool_]

_MOST_PIXELS = 2**31 - 1
_EDGES = (
    ("kernel_x", np.float32), ("kernel_y", np.float32), ("kernel_range", np.float32), ("kernel_depth", np.float32),
    ("kernel_labels", np.uint8), ("kernel_confidence", np.uint8), ("kernel_direction", np.int64),
    ("kernel_touches", np.bool_),
)  # fmt: skip
_SIDES = {(1, 0): 1, (-1, 0): 2, (0, 1): 4, (0, -1): 8}


def find_edges(
    labels_HW: U8,
    confidence_HW: U8,
    lens: Lens,
    view: GroundView,
    region: tuple[int, int, int, int],
    sides: list[tuple[int, int]],
    standing_256: U8,
    *,
    min_standing_px: int,
    most_px: int,
    resolution: float,
    max_range: float,
    scratch: Scratch,
) -> list[NDArray[Any]] | None:
    """Near edges of what stands: the fields of ``Edges``, or None without the kernel.

    Args:
        labels_HW: uint8 class ids, C-contiguous.
        confidence_HW: Likewise.
        lens: The camera.
        view: Where it is.
        region: First row, end row, first column, end column to look at.
        sides: Neighbours (du, dv) towards the camera's foot.
        standing_256: uint8, 1 for labels that stand.
        min_standing_px: Fewer standing pixels along the ray are noise.
        most_px: Of more edge pixels only every n-th is looked at.
        resolution: Metres a cell.
        max_range: Metres from the camera's foot.
        scratch: Kept memory, which holds the result; names starting with ``kernel`` are used.
    """
    kernel = function("plane_edges", "pp" + "ii" + "pp" + "iii" + "ppp" + "dddi" + "pp" + "pppppppp" + "p")
    height, width = labels_HW.shape
    v0, v1, u0, u1 = region
    if kernel is None or labels_HW.size > _MOST_PIXELS:
        return None
    if not (0 <= v0 < v1 <= height and 0 <= u0 < u1 <= width and 1 <= min_standing_px <= 4):
        raise ValueError(f"region {region} is not in an image of {height} × {width}")
    get, at = scratch.get, scratch.at
    region_4, found = get("kernel_region", (4,), np.int64), get("kernel_found", (1,), np.int64)
    region_4[:] = region
    table_N2 = lens.table_N2
    out = [get(name, (most_px,), dtype) for name, dtype in _EDGES]
    kernel(
        pointer(labels_HW, np.uint8), pointer(confidence_HW, np.uint8, (height, width)), height, width,
        pointer(region_4, np.int64), pointer(standing_256, np.uint8, (256,)), sum(_SIDES[side] for side in sides),
        min_standing_px, most_px, pointer(lens.numbers_14, np.float64, (14,)),
        0 if table_N2 is None else pointer(table_N2, np.float32, (height * width, 2)),
        pointer(view.numbers_12, np.float64, (12,)), lens.focal, resolution, max_range, lens.directions_around,
        at("kernel_rows", 5 * (u1 - u0 + 10), np.uint8),
        at("kernel_pixels", 2 * most_px, np.int32),
        *(pointer(array, dtype) for array, (_, dtype) in zip(out, _EDGES, strict=True)),
        pointer(found, np.int64),
    )  # fmt: skip
    n = int(found[0])
    return [head(array, n, dtype) for array, (_, dtype) in zip(out, _EDGES, strict=True)]


def cast_shadow(edges: Edges, slack: float, nearest_B: F32, farthest_B: F32, scratch: Scratch) -> bool:
    """Where each direction is hidden; takes what does not touch the ground by it out of ``edges.touches_N``.

    Args:
        edges: What stands.
        slack: Metres behind an edge that still belong to it.
        nearest_B: float32, is filled: the nearest of each direction and the two beside it.
        farthest_B: Likewise the farthest.
        scratch: Kept memory; names starting with ``kernel`` are used.

    Returns:
        False without the kernel.
    """
    kernel = function("plane_shadow", "ppiidpppp")
    if kernel is None:
        return False
    n, count = edges.range_N.size, nearest_B.size
    kernel(
        pointer(edges.range_N, np.float32), pointer(edges.direction_N, np.int64, (n,)), n, count, slack,
        scratch.at("kernel_alone", count), pointer(nearest_B, np.float32),
        pointer(farthest_B, np.float32, (count,)), pointer(edges.touches_N, np.bool_, (n,)),
    )  # fmt: skip
    return True


def find_feet(
    edges: Edges, lethal_256: Bool, min_confidence: int, height: float, feet: Feet, scratch: Scratch
) -> bool | None:
    """Fill in the nearest lethal foot of each direction; whether there is any, or None without the kernel.

    Args:
        edges: What stands.
        lethal_256: Which labels are lethal.
        min_confidence: 0–255.
        height: Of the camera above the ground, metres.
        feet: Is filled.
        scratch: Kept memory; names starting with ``kernel`` are used.
    """
    kernel = function("plane_feet", "pppppii" + "pid" + "pppppp")
    if kernel is None:
        return None
    n, count, at = edges.range_N.size, feet.fall_B.size, scratch.at
    found = scratch.get("kernel_found", (1,), np.int64)
    kernel(
        pointer(edges.range_N, np.float32), pointer(edges.direction_N, np.int64, (n,)),
        pointer(edges.labels_N, np.uint8, (n,)), pointer(edges.confidence_N, np.uint8, (n,)),
        pointer(edges.touches_N, np.bool_, (n,)), n, count, pointer(lethal_256, np.bool_, (256,)), min_confidence,
        height, at("kernel_fall", count),
        at("kernel_which", count, np.int64), pointer(feet.fall_B, np.float32),
        pointer(feet.labels_B, np.uint8, (count,)), pointer(feet.confidence_B, np.uint8, (count,)),
        pointer(found, np.int64),
    )  # fmt: skip
    return bool(found[0])


def mark_contacts(
    edges: Edges,
    known_256: Bool,
    rank_256: NDArray[np.uint16],
    min_confidence: int,
    max_range: float,
    view: GroundView,
    grid: GridSpec,
    cover: float,
    spread: float,
    best_HW: NDArray[np.uint16],
    out: Cells,
) -> bool:
    """Write the cells where something standing meets the ground; False without the kernel.

    Args:
        edges: What stands.
        known_256: Which labels say something.
        rank_256: uint16, at most 254: how bad they are.
        min_confidence: 0–255.
        max_range: Metres from the camera's foot.
        view: Where the camera is.
        grid: The window.
        cover: ``cover_of``.
        spread: ``spread_of``.
        best_HW: uint16 zeros, of the window's size; zeros again afterwards.
        out: The window.
    """
    kernel = function("plane_marks", "pppppppi" + "ppi" + "dddddd" + "ii" + "pppp")
    if kernel is None:
        return False
    n, shape = edges.range_N.size, (grid.height, grid.width)
    kernel(
        *(pointer(values_N, np.float32, (n,)) for values_N in (edges.x_N, edges.y_N, edges.range_N, edges.depth_N)),
        pointer(edges.labels_N, np.uint8, (n,)), pointer(edges.confidence_N, np.uint8, (n,)),
        pointer(edges.touches_N, np.bool_, (n,)), n, pointer(known_256, np.bool_, (256,)),
        pointer(rank_256, np.uint16, (256,)), min_confidence, max_range, view.x - grid.origin_x,
        view.y - grid.origin_y, grid.resolution, cover, spread, grid.width, grid.height,
        pointer(best_HW, np.uint16, shape), pointer(out.labels_HW, np.uint8, shape),
        pointer(out.evidence_HW, np.float32, shape), pointer(out.confidence_HW, np.uint8, shape),
    )  # fmt: skip
    return True
