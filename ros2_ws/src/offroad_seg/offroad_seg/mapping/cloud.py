# SPDX-License-Identifier: Apache-2.0
"""One ground point for each labelled pixel: what consumers that expect a depth camera's aligned cloud can use."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from offroad_seg.errors import CameraError
from offroad_seg.mapping.buffers import Scratch, message_array
from offroad_seg.mapping.level import ground_view
from offroad_seg.mapping.rays import ray_tables
from offroad_seg.native.cloud import ground_cloud
from offroad_seg.spread import spread_between
from offroad_seg.types import UNLABELLED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel
    from offroad_seg.mapping.level import GroundView
    from offroad_seg.ontology import Ontology
    from offroad_seg.spread import Spread
    from offroad_seg.transforms import Transform
    from offroad_seg.types import Segmentation

    F32 = NDArray[np.float32]
    U8 = NDArray[np.uint8]

POINT = np.dtype(
    {
        "names": ["x", "y", "z", "label", "confidence"],
        "formats": ["<f4", "<f4", "<f4", "u1", "u1"],
        "offsets": [0, 4, 8, 12, 13],
        "itemsize": 16,
    }
)
"""A point: x, y, z in metres in the optical frame (REP-103: z forward), class id, confidence 0–255."""

_BAND_PIXELS = 40_000
"""What is worked on at once stays in the processor's cache from step to step."""
_SIDE_ROWS, _SIDE_COLUMNS = 3, 2
_GROUND, _STANDING = 1, 2
_MARGIN = 1.001  # for float32


class GroundCloud:
    """Puts labelled pixels on the ground plane.

    A pixel has a point where its ray meets the plane within ``max_range`` and the pixel shows ground, or the foot of
    something that stands: its lowest pixel, above one of ground. All other points are NaN (REP-117 has no other word
    for "no measurement" in a cloud): sky, what stands above its foot, unlabelled or doubtful pixels. A tree's
    crown, put on the plane, would lie far behind the tree.

    Args:
        ontology: The classes; those without a cost (sky) say nothing about the ground.
        max_range: Metres along the ground from the camera's foot.
        min_confidence: 0–1.
        ground_height: Height of the base frame's origin above the ground, metres.
    """

    def __init__(
        self, ontology: Ontology, *, max_range: float, min_confidence: float, ground_height: float = 0.0
    ) -> None:
        known_256 = ontology.costs_256 >= 0
        known_256[UNLABELLED] = False
        kinds = np.where(ontology.standing_256, _STANDING, _GROUND)
        self._kind_256 = np.where(known_256, kinds, 0).astype(np.uint8)
        self._min_confidence = math.ceil(min_confidence * 255)
        self._max_range = max_range
        self._ground_height = ground_height
        self._camera: CameraModel | None = None
        # x and y of the rays (x, y, 1): (1, W) and (H, 1) without distortion, else both (H, W).
        self._rays: tuple[F32, F32] = (np.empty((0, 0), np.float32),) * 2
        self._band_rows = 1
        self._corners_B43 = np.empty((0, 4, 3))
        self._nothing_HW = np.empty((0, 0), np.float32)
        self._scratch = Scratch()
        self._points_HW: NDArray[Any] = np.empty((0, 0), POINT)

    def points(
        self,
        segmentation: Segmentation,
        camera: CameraModel,
        base_T_camera: Transform,
        odom_T_base: Transform | None = None,
        ground_up_3: NDArray[np.float64] | None = None,
        network: Segmentation | None = None,
    ) -> NDArray[Any]:
        """The cloud of one image, ``POINT`` (H, W), aligned with its labels; a kept buffer, until the next call.

        Args:
            segmentation: Labels and confidence.
            camera: Calibration at the labels' size.
            base_T_camera: Pose of the optical frame in the base frame.
            odom_T_base: Pose of the base, for its attitude; None is a vehicle that stands level.
            ground_up_3: The ground's normal, as for ``Projector.project``.
            network: What labels and confidence were spread from, where there is such a thing: it says the same in
                fewer pixels.

        Raises:
            CameraError: The camera does not fit the labels.
            TransformError: The pose leaves no ground to look at.
        """
        height, width = segmentation.labels_HW.shape
        if (height, width) != (camera.height, camera.width):
            raise CameraError(
                f"the camera is {camera.width}×{camera.height}, the labels {width}×{height}",
                mend="use the CameraInfo of the image that was segmented",
            )
        view = ground_view(
            base_T_camera, odom_T_base, ground_height=self._ground_height, ground_up_3=ground_up_3
        )
        self._prepare(camera)
        said = network or segmentation
        spread = spread_between(said.labels_HW.shape, (height, width))
        plane = _Plane.of(view)
        if self._native(said, spread, plane):
            return self._points_HW
        kind_hw, ground_hw, sure_hw = self._masks(said)
        drop_hW = spread.across(np.asarray(cv2.LUT(ground_hw, _ground_only(view.drop)), np.float32))
        zero = np.zeros_like(kind_hw)
        said_hw4 = cv2.merge([said.labels_HW, said.confidence_HW, zero, zero])
        said_hW = spread.across(said_hw4.view(np.float32).reshape(kind_hw.shape))
        has_ground_H = np.take(ground_hw.any(axis=1), spread.rows_H)
        some_B, all_B = self._in_range(view, plane)
        flat_HW4 = self._points_HW.view(np.float32).reshape(height, width, 4)
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
        feet_N = _feet(kind_hw == _STANDING, ground_hw, sure_hw, spread)
        foot_N4 = np.take(flat_N4, feet_N, axis=0)
        foot_N4[:, :3] = np.take(flat_N4, feet_N + width, axis=0)[:, :3]
        flat_N4[feet_N] = foot_N4
        return self._points_HW

    def _prepare(self, camera: CameraModel) -> None:
        if self._camera == camera:
            return
        height, width = camera.height, camera.width
        self._rays = ray_tables(camera)
        self._band_rows = max(1, _BAND_PIXELS // width)
        tops = range(0, height, self._band_rows)
        self._nothing_HW = np.full((self._band_rows, width), np.nan, np.float32)
        self._corners_B43 = np.array([self._corners(slice(top, top + self._band_rows)) for top in tops])
        self._points_HW = message_array((height, width), POINT)
        self._camera = camera

    def _native(self, said: Segmentation, spread: Spread, plane: _Plane) -> bool:
        """The same in compiled code; False where there is none."""
        numbers = (*plane.normal_3, *plane.up_3, plane.drop, self._max_range**2)
        return ground_cloud(
            (said.labels_HW, said.confidence_HW),
            self._kind_256,
            self._min_confidence,
            spread,
            self._rays,
            np.array(numbers, np.float32),
            (_SIDE_ROWS, _SIDE_COLUMNS),
            self._scratch,
            self._points_HW,
        )

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

    def _in_range(self, view: GroundView, plane: _Plane) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
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
        """What pixels show (``_GROUND``, ``_STANDING``); 1 where it is ground that can be believed; what can be."""
        kind = np.asarray(cv2.LUT(said.labels_HW, self._kind_256), np.uint8)
        sure = np.greater_equal(said.confidence_HW, self._min_confidence)
        ground = np.multiply(kind == _GROUND, sure.view(np.uint8))
        return kind, ground, sure

    def _meet(self, rows: slice, drop: F32, plane: _Plane, *, everywhere: bool) -> tuple[F32, F32, F32]:
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


@dataclass(frozen=True)
class _Plane:
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
    def of(cls, view: GroundView) -> _Plane:
        normal_3 = view.camera_R_grid @ np.array([-view.slope_x, -view.slope_y, 1.0])
        return cls(normal_3.tolist(), view.camera_R_grid[:, 2].tolist(), view.drop)


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
    row_starts = np.append(rows_H, [h] * _SIDE_ROWS) * (w + 1)
    source_columns = np.pad(columns_W, _SIDE_COLUMNS, constant_values=w)
    below = np.take(row_starts, rows + _SIDE_ROWS)
    goes_on = np.zeros(rows.size, np.bool_)
    for aside in range(2 * _SIDE_COLUMNS + 1):
        if aside != _SIDE_COLUMNS:
            goes_on |= np.take(stands, below + np.take(source_columns, columns + aside))
    return np.asarray((rows * width + columns)[~goes_on])
