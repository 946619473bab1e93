# SPDX-License-Identifier: Apache-2.0
"""The cloud of ``cloud.py`` by numpy: where there are no kernels, and what they are held against."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from offroad_seg.mapping.buffers import Scratch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.level import GroundView
    from offroad_seg.mapping.rays import RayTable
    from offroad_seg.spread import Spread
    from offroad_seg.types import Segmentation

    F32 = NDArray[np.float32]
    U8 = NDArray[np.uint8]

GROUND, STANDING = 1, 2
"""What a label shows."""
SIDE_ROWS, SIDE_COLUMNS = 3, 2
"""Where nothing may stand beside and below a foot."""
_BAND_PIXELS = 40_000
"""What is worked on at once stays in the processor's cache from step to step."""
_MARGIN = 1.001  # for float32


@dataclass(frozen=True)
class GroundPlane:
    """The ground in the optical frame: normal · p = drop.

    Attributes:
        normal_3: Its normal, of vertical part 1.
        up_3: The vertical.
        drop: As in ``GroundView``.
    """

    normal_3: list[float]
    up_3: list[float]
    drop: float

    @classmethod
    def of(cls, view: GroundView) -> GroundPlane:
        """From where the camera looks at it."""
        # Plain numbers: numpy takes several times as long for so few.
        rows = view.camera_R_grid.tolist()
        normal_3 = [z - view.slope_x * x - view.slope_y * y for x, y, z in rows]
        return cls(normal_3, [row[2] for row in rows], view.drop)


class CloudBands:
    """Works the cloud out, a band of rows after the other.

    Args:
        rays: Of the image's pixels.
        kind_256: What each label shows: ``GROUND``, ``STANDING`` or 0, nothing.
        least: Confidence from which a label counts, 0–255.
        max_range: Metres along the ground from the camera's foot.
    """

    def __init__(self, rays: RayTable, kind_256: U8, least: int, max_range: float) -> None:
        self._rays = rays.full
        self._kind_256, self._least, self._max_range = kind_256, least, max_range
        height, width = rays.camera.height, rays.camera.width
        self._band_rows = max(1, _BAND_PIXELS // width)
        tops = range(0, height, self._band_rows)
        self._nothing_HW = np.full((self._band_rows, width), np.nan, np.float32)
        self._corners_B43 = np.array([self._corners(slice(top, top + self._band_rows)) for top in tops])
        self._scratch = Scratch()

    def fill(
        self,
        points_HW: NDArray[Any],
        said: Segmentation,
        spread: Spread,
        view: GroundView,
        plane: GroundPlane,
    ) -> None:
        """The points of one image.

        Args:
            points_HW: ``mapping.cloud.POINT``: where they go.
            said: Labels and confidence as the network gave them.
            spread: From there to the image's size.
            view: Where the ground is.
            plane: The same in the optical frame.
        """
        height, width = spread.target
        kind_hw, ground_hw, sure_hw = self._masks(said)
        drop_hW = spread.across(np.asarray(cv2.LUT(ground_hw, _ground_only(view.drop)), np.float32))
        zero = np.zeros_like(kind_hw)
        said_hw4 = cv2.merge([said.labels_HW, said.confidence_HW, zero, zero])
        said_hW = spread.across(said_hw4.view(np.float32).reshape(kind_hw.shape))
        has_ground_H = np.take(ground_hw.any(axis=1), spread.rows_H)
        some_B, all_B = self._in_range(view, plane)
        flat_HW4 = points_HW.view(np.float32).reshape(height, width, 4)
        get = self._scratch.get
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for band, top in enumerate(range(0, height, self._band_rows)):
                rows = slice(top, min(top + self._band_rows, height))
                shape = (rows.stop - top, width)
                xyz = (self._nothing_HW[: shape[0]],) * 3
                if some_B[band] and has_ground_H[rows].any():
                    drop = spread.down(drop_hW, get("drop", shape), top)
                    xyz = self._meet(rows, drop, plane, everywhere=bool(all_B[band]))
                # Label and confidence are four bytes behind three numbers.
                cv2.merge([*xyz, spread.down(said_hW, get("said", shape), top)], flat_HW4[rows])
        # A foot gets the point of the ground below: its own ray passes over the thing's base.
        flat_N4 = flat_HW4.reshape(-1, 4)
        feet_N = _feet(kind_hw == STANDING, ground_hw, sure_hw, spread)
        foot_N4 = np.take(flat_N4, feet_N, axis=0)
        foot_N4[:, :3] = np.take(flat_N4, feet_N + width, axis=0)[:, :3]
        flat_N4[feet_N] = foot_N4

    def _rays_of(self, rows: slice) -> tuple[F32, F32]:
        x, y = self._rays
        return x[rows] if x.shape[0] > 1 else x, y[rows]

    def _corners(self, rows: slice) -> list[tuple[float, float, float]]:
        """What holds the directions (x, y, 1) of some rows: a rectangle's four corners; NaN where there is none."""
        x, y = np.broadcast_arrays(*self._rays_of(rows))
        seen = np.isfinite(x) & np.isfinite(y)
        if not seen.any():
            return [(np.nan, np.nan, np.nan)] * 4
        sides = [(float(values[seen].min()), float(values[seen].max())) for values in (x, y)]
        return [(u, v, 1.0) for u in sides[0] for v in sides[1]]

    def _in_range(self, view: GroundView, plane: GroundPlane) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """For each band of rows: whether any, and whether every pixel of it can meet the plane within range.

        Both err on the safe side: "any" is true too often, "every" too seldom.
        """
        x, y = self._corners_B43[..., 0], self._corners_B43[..., 1]
        with np.errstate(invalid="ignore", divide="ignore"):
            fall_B4 = -(self._corners_B43 @ np.array(plane.normal_3))
            least, most = fall_B4.min(axis=1), fall_B4.max(axis=1)
            longest = (x**2 + y**2).max(axis=1) + 1.0
            nearest_x = np.maximum(0.0, np.maximum(x.min(axis=1), -x.max(axis=1)))
            nearest_y = np.maximum(0.0, np.maximum(y.min(axis=1), -y.max(axis=1)))
            shortest = nearest_x**2 + nearest_y**2 + 1.0
            # Along the sight ray: at most as far as the range along the ground and the height there allow.
            height = -view.drop + math.hypot(view.slope_x, view.slope_y) * self._max_range
            reach_2 = (self._max_range**2 + height**2) * _MARGIN
            some_B = (most > 0) & (shortest * (view.drop / most) ** 2 <= reach_2)
            all_B = (least > 0) & (longest * (view.drop / least) ** 2 * _MARGIN <= self._max_range**2)
        return some_B, all_B

    def _masks(self, said: Segmentation) -> tuple[U8, U8, NDArray[np.bool_]]:
        """What pixels show (``GROUND``, ``STANDING``); 1 where it is ground that can be believed; what can be."""
        kind = np.asarray(cv2.LUT(said.labels_HW, self._kind_256), np.uint8)
        sure = np.greater_equal(said.confidence_HW, self._least)
        ground = np.multiply(kind == GROUND, sure.view(np.uint8))
        return kind, ground, sure

    def _meet(self, rows: slice, drop: F32, plane: GroundPlane, *, everywhere: bool) -> tuple[F32, F32, F32]:
        """x, y, z where the rays of some rows meet the plane on ground; NaN elsewhere.

        Args:
            rows: Of the image.
            drop: Of these rows, NaN where there is no ground; used up.
            plane: The ground.
            everywhere: They are in range.
        """
        get = self._scratch.get
        x, y = self._rays_of(rows)
        n_3, up_3 = plane.normal_3, plane.up_3
        along = np.add(x * n_3[0], y * n_3[1] + n_3[2], out=get("along", drop.shape))
        depth = np.divide(drop, along, out=drop)
        if not everywhere:
            # Along the ground: what of the ray is not vertical.
            rise = np.add(x * up_3[0], y * up_3[1] + up_3[2], out=get("x", drop.shape))
            reach = np.add(x * x, y * y + np.float32(1.0), out=get("reach", drop.shape))
            reach -= np.multiply(rise, rise, out=rise)
            reach *= depth
            reach *= depth
            good = np.less_equal(reach, np.float32(self._max_range**2), out=get("good", drop.shape, np.bool_))
            good &= depth > 0
            np.copyto(depth, np.float32(np.nan), where=~good)
        return (
            np.multiply(x, depth, out=get("x", drop.shape)),
            np.multiply(y, depth, out=along),
            depth,
        )


def _ground_only(drop: float) -> F32:
    """Of a mask's values, 0 and 1: NaN and the number."""
    table_256 = np.full(256, drop, np.float32)
    table_256[0] = np.nan
    return table_256


def _feet(
    standing_hw: NDArray[np.bool_], ground_hw: U8, sure_hw: NDArray[np.bool_], spread: Spread
) -> NDArray[np.intp]:
    """The feet of what stands, as places in the flat image: its lowest pixels, above ground that can be believed.

    The sides of a thing, which leans outwards in the image, are none: beside such a pixel the thing goes on below, and
    the ground that is seen past it is far behind.

    Args:
        standing_hw: Where something stands, as the network said it.
        ground_hw: Not 0 where there is ground that can be believed.
        sure_hw: Which pixels can be believed.
        spread: To the image's size, at which the feet are looked for.
    """
    width = spread.target[1]
    rows_H, columns_W = spread.rows_H, spread.columns_W
    # Rows of the image below which another row of the source begins.
    last = np.flatnonzero(rows_H[1:] != rows_H[:-1])
    above = np.take(standing_hw & sure_hw, rows_H[last], axis=0)
    edge = np.flatnonzero(above & np.take(ground_hw, rows_H[last + 1], axis=0).view(np.bool_))
    at, edge_columns = np.divmod(edge, standing_hw.shape[1])
    first = spread.tables.first_w
    counts = np.diff(first)[edge_columns]
    rows = np.repeat(last[at], counts)
    starts = np.repeat(first[edge_columns] - np.cumsum(counts) + counts, counts)
    columns = starts + np.arange(rows.size)
    # Outside the image nothing stands: one more row and column of the source say so.
    h, w = standing_hw.shape
    stands = np.zeros((h + 1, w + 1), np.bool_)
    stands[:h, :w] = standing_hw
    row_starts = np.append(rows_H, [h] * SIDE_ROWS) * (w + 1)
    source_columns = np.pad(columns_W, SIDE_COLUMNS, constant_values=w)
    below = np.take(row_starts, rows + SIDE_ROWS)
    goes_on = np.zeros(rows.size, np.bool_)
    for aside in range(2 * SIDE_COLUMNS + 1):
        if aside != SIDE_COLUMNS:
            goes_on |= np.take(stands, below + np.take(source_columns, columns + aside))
    return np.asarray((rows * width + columns)[~goes_on])
