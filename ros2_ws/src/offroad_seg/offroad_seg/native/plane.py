# SPDX-License-Identifier: Apache-2.0
"""The kernel for the whole projection on the ground plane: one call a frame."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.native.library import find, function, pointer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.lens import Lens
    from offroad_seg.mapping.level import GroundView
    from offroad_seg.mapping.looks import Cells
    from offroad_seg.types import GridSpec

    U8 = NDArray[np.uint8]
    Bool = NDArray[np.bool_]

_MOST_PIXELS = 2**31 - 1
_SIDES = {(1, 0): 1, (-1, 0): 2, (0, 1): 4, (0, -1): 8}
_POINTER, _INT, _DOUBLE = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
_EDGES = (
    ("edge_x", np.float32), ("edge_y", np.float32), ("edge_range", np.float32), ("edge_depth", np.float32),
    ("edge_labels", np.uint8), ("edge_confidence", np.uint8), ("edge_direction", np.int64), ("edge_touches", np.uint8),
)  # fmt: skip
_ROOM = (
    "scan_rows", "scan_pixels", "alone_B", "nearest_B", "farthest_B", "fall_alone_B", "fall_B", "which_B",
    "foot_labels_B", "foot_sure_B", "at_HW", "depth_HW", "spans_H4", "cell_floats", "cell_numbers", "cell_bytes",
    "best_HW",
)  # fmt: skip


def _fields(names: str, kind: Any) -> list[tuple[str, Any]]:
    return [(name, kind) for name in names.split()]


class _Plane(ctypes.Structure):
    """``plane_t`` in plane.c, field by field."""

    _fields_ = (
        *_fields("lens_14 table_N2 border_N2 nodes_NN3 nodes_v nodes_u", _POINTER),
        *_fields("n_border n_nodes image_height image_width directions", _INT),
        *_fields("focal", _DOUBLE),
        *_fields("standing_256 ground_256 known_256 rank_256 lethal_256", _POINTER),
        *_fields("casts_shadows min_confidence min_px most_px", _INT),
        *_fields("max_range slope_std spread_m foot_std foot_cut foot_farthest", _DOUBLE),
        *_fields("rows columns", _INT),
        *_fields("resolution", _DOUBLE),
        *_fields(" ".join(name for name, _ in _EDGES), _POINTER),
        *_fields(" ".join(_ROOM), _POINTER),
        *_fields("labels confidence view_12", _POINTER),
        *_fields("shift_x shift_y", _DOUBLE),
        *_fields("sides", _INT),
        *_fields("out_labels out_evidence out_confidence", _POINTER),
    )


@dataclass(frozen=True)
class PlaneRules:
    """What is looked for, and what counts.

    Attributes:
        standing_256: uint8, 1 for labels that stand.
        ground_256: uint8, 1 for labels that say something about the ground they are seen on.
        known_256: Which labels say something at all.
        rank_256: uint16, at most 254: how bad they are.
        lethal_256: Which are marked over the range where their foot may be; None where the plane alone says it.
        casts_shadows: Whether what lies behind standing things is hidden.
        min_confidence: 0–255.
        min_standing_px: Fewer standing pixels along the ray are noise; 1–4.
        most_px: Of more edge pixels only every n-th is looked at.
        max_range: Metres from the camera's foot.
        slope_std: Radians, for ``worth_of``; ``spread_m`` is what halves a cell's worth, metres.
        foot_farthest: How far a foot may seem to be, metres.
    """

    standing_256: U8
    ground_256: U8
    known_256: Bool
    rank_256: NDArray[np.uint16]
    lethal_256: Bool | None
    casts_shadows: bool
    min_confidence: int
    min_standing_px: int
    most_px: int
    max_range: float
    slope_std: float
    spread_m: float
    foot_farthest: float


class PlaneKernel:
    """Where everything lies that the kernel needs of one lens and one window: asked once, and held on to.

    Args:
        lens: The camera.
        rules: What is looked for.
        grid: A window of the size that all will have.
    """

    def __init__(self, lens: Lens, rules: PlaneRules, grid: GridSpec) -> None:
        library = find()[0]
        assert library is not None
        library.plane_size.restype = ctypes.c_int64
        if library.plane_size() != ctypes.sizeof(_Plane):
            raise ValueError(f"plane_t has {library.plane_size()} bytes, _Plane {ctypes.sizeof(_Plane)}")
        self._image = (lens.camera.height, lens.camera.width)
        self._window = (grid.height, grid.width)
        self._resolution = grid.resolution
        self._kept: list[NDArray[Any]] = []
        self._plane = _Plane()
        self._address = ctypes.addressof(self._plane)
        self._view_12 = np.zeros(12)
        self._plane.view_12 = self._at(self._view_12, np.float64, (12,))
        self._put_lens(lens)
        self._put_rules(rules)
        self._put_room(rules.most_px, lens.directions_around)

    def project(
        self,
        labels_HW: U8,
        confidence_HW: U8,
        view: GroundView,
        grid: GridSpec,
        sides: list[tuple[int, int]],
        foot_slope: tuple[float, float],
        out: Cells,
    ) -> None:
        """Fill a window with what an image shows.

        Args:
            labels_HW: uint8 class ids, C-contiguous, of the lens's image.
            confidence_HW: Likewise.
            view: Where the camera is.
            grid: The window.
            sides: Neighbours (du, dv) towards the camera's foot.
            foot_slope: Tangents of one standard deviation of the slope up to a foot, and of the greatest that is
                thought of.
            out: Its cells.

        Raises:
            ValueError: An array or the window is of another size: a fault of the caller.
        """
        if (grid.height, grid.width) != self._window or grid.resolution != self._resolution:
            raise ValueError(f"the window {grid} is not one of {self._window} cells of {self._resolution} m")
        kernel = function("plane_project", "p")
        assert kernel is not None
        plane = self._plane
        plane.labels = pointer(labels_HW, np.uint8, self._image)
        plane.confidence = pointer(confidence_HW, np.uint8, self._image)
        view.put_numbers(self._view_12)
        plane.shift_x = view.x - grid.origin_x
        plane.shift_y = view.y - grid.origin_y
        plane.foot_std, plane.foot_cut = foot_slope
        plane.sides = sum(_SIDES[side] for side in sides)
        plane.out_labels = pointer(out.labels_HW, np.uint8, self._window)
        plane.out_evidence = pointer(out.evidence_HW, np.float32, self._window)
        plane.out_confidence = pointer(out.confidence_HW, np.uint8, self._window)
        kernel(self._address)

    def _at(self, array: NDArray[Any], dtype: Any, shape: tuple[int, ...]) -> int:
        self._kept.append(array)
        return pointer(array, dtype, shape)

    def _put_lens(self, lens: Lens) -> None:
        plane, (height, width) = self._plane, self._image
        u, v, nodes_NN3 = lens.nodes()
        border_N2, table_N2 = lens.border(), lens.table_N2
        plane.lens_14 = self._at(lens.numbers_14, np.float64, (14,))
        plane.table_N2 = None if table_N2 is None else self._at(table_N2, np.float32, (height * width, 2))
        plane.border_N2 = self._at(border_N2, np.float64, (len(border_N2), 2))
        plane.nodes_NN3 = self._at(nodes_NN3, np.float32, (len(v), len(v), 3))
        plane.nodes_v = self._at(v, np.int64, (len(v),))
        plane.nodes_u = self._at(u, np.int64, (len(v),))
        plane.n_border, plane.n_nodes = len(border_N2), len(v)
        plane.image_height, plane.image_width = height, width
        plane.directions, plane.focal = lens.directions_around, lens.focal

    def _put_rules(self, rules: PlaneRules) -> None:
        plane = self._plane
        if not (1 <= rules.min_standing_px <= 4 and rules.most_px > 0 and 0 <= rules.min_confidence <= 255):
            raise ValueError(f"the kernel cannot look by {rules}")
        plane.standing_256 = self._at(rules.standing_256, np.uint8, (256,))
        plane.ground_256 = self._at(rules.ground_256, np.uint8, (256,))
        plane.known_256 = self._at(rules.known_256, np.bool_, (256,))
        plane.rank_256 = self._at(rules.rank_256, np.uint16, (256,))
        lethal_256 = rules.lethal_256
        plane.lethal_256 = None if lethal_256 is None else self._at(lethal_256, np.bool_, (256,))
        plane.casts_shadows, plane.min_confidence = rules.casts_shadows, rules.min_confidence
        plane.min_px, plane.most_px, plane.max_range = rules.min_standing_px, rules.most_px, rules.max_range
        plane.slope_std, plane.spread_m = rules.slope_std, rules.spread_m
        plane.foot_farthest = rules.foot_farthest
        plane.rows, plane.columns = self._window
        plane.resolution = self._resolution

    def _put_room(self, most_px: int, directions: int) -> None:
        """Memory for what the kernel works out on the way: as much as a window wholly in view takes."""
        (_, width), (rows, columns) = self._image, self._window
        sizes: dict[str, tuple[int, Any]] = {name: (most_px, dtype) for name, dtype in _EDGES}
        sizes["scan_rows"] = 5 * (width + 10), np.uint8
        sizes["scan_pixels"] = 2 * most_px, np.int32
        for name in ("alone_B", "nearest_B", "farthest_B", "fall_alone_B", "fall_B"):
            sizes[name] = directions, np.float32
        sizes["which_B"] = directions, np.int64
        sizes["foot_labels_B"] = sizes["foot_sure_B"] = directions, np.uint8
        sizes["at_HW"], sizes["depth_HW"] = (rows * columns, np.int32), (rows * columns, np.float32)
        sizes["spans_H4"] = 4 * rows, np.int64
        sizes["cell_floats"] = 11 * (columns + 1), np.float32
        sizes["cell_numbers"] = 2 * (columns + 1), np.int32
        sizes["cell_bytes"] = 7 * (columns + 33), np.uint8
        sizes["best_HW"] = rows * columns, np.uint16
        for name, (size, dtype) in sizes.items():
            setattr(self._plane, name, self._at(np.zeros(size, dtype), dtype, (size,)))


def fits(labels_HW: U8) -> bool:
    """Whether the kernel is there and can look at an image of that size."""
    return function("plane_project", "p") is not None and labels_HW.size <= _MOST_PIXELS
