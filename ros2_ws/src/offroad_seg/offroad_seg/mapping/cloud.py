# SPDX-License-Identifier: Apache-2.0
"""One ground point for each labelled pixel: what consumers that expect a depth camera's aligned cloud can use."""

from __future__ import annotations

import array
import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from offroad_seg.errors import CameraError
from offroad_seg.mapping.level import ground_view
from offroad_seg.types import UNLABELLED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel
    from offroad_seg.ontology import Ontology
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

_BLOCK_ROWS = 16
"""Rows that are worked on at once, so that they stay in the processor's cache from step to step."""
_SIDE_ROWS, _SIDE_COLUMNS = 3, 2
_GROUND, _STANDING = 1, 2


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
        self._x_HW = self._y_HW = self._square_HW = np.empty((0, 0), np.float32)
        self._points_HW: NDArray[Any] = np.empty((0, 0), POINT)

    def points(
        self,
        segmentation: Segmentation,
        camera: CameraModel,
        base_T_camera: Transform,
        odom_T_base: Transform | None = None,
        ground_up_3: NDArray[np.float64] | None = None,
    ) -> NDArray[Any]:
        """The cloud of one image, ``POINT`` (H, W), aligned with its labels; a kept buffer, until the next call.

        Args:
            segmentation: Labels and confidence.
            camera: Calibration at the labels' size.
            base_T_camera: Pose of the optical frame in the base frame.
            odom_T_base: Pose of the base, for its attitude; None is a vehicle that stands level.
            ground_up_3: The ground's normal, as for ``Projector.project``.

        Raises:
            CameraError: The camera does not fit the labels.
            TransformError: The pose leaves no ground to look at.
        """
        labels_HW, confidence_HW = segmentation.labels_HW, segmentation.confidence_HW
        if labels_HW.shape != (camera.height, camera.width):
            raise CameraError(
                f"the camera is {camera.width}×{camera.height}, the labels {labels_HW.shape[1]}×{labels_HW.shape[0]}",
                mend="use the CameraInfo of the image that was segmented",
            )
        view = ground_view(
            base_T_camera, odom_T_base, ground_height=self._ground_height, ground_up_3=ground_up_3
        )
        self._prepare(camera)
        # The plane in the optical frame: normal · p = drop.
        normal_3 = view.camera_R_grid @ np.array([-view.slope_x, -view.slope_y, 1.0])
        up_3 = view.camera_R_grid[:, 2]
        kind_HW, ground_HW = self._masks(labels_HW, confidence_HW)
        for top in range(0, camera.height, _BLOCK_ROWS):
            rows = slice(top, min(top + _BLOCK_ROWS, camera.height))
            planes = self._meet(rows, ground_HW[rows], normal_3, up_3, view.drop)
            self._write(rows, planes, labels_HW[rows], confidence_HW[rows])
        # A foot gets the point of the ground below: its own ray passes over the thing's base.
        flat_N4 = self._points_HW.view(np.float32).reshape(-1, 4)
        feet_N = _feet(kind_HW, ground_HW, confidence_HW >= self._min_confidence)
        flat_N4[feet_N, :3] = flat_N4[feet_N + camera.width, :3]
        return self._points_HW

    def _prepare(self, camera: CameraModel) -> None:
        if self._camera == camera:
            return
        height, width = camera.height, camera.width
        v, u = np.mgrid[:height, :width]
        with np.errstate(invalid="ignore"):
            rays_N3 = camera.rays(np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float64))
            flat_2N = (rays_N3[:, :2] / rays_N3[:, 2:]).T.astype(np.float32)
            self._x_HW, self._y_HW = (np.ascontiguousarray(each).reshape(height, width) for each in flat_2N)
            self._square_HW = self._x_HW**2 + self._y_HW**2 + np.float32(1.0)
        # An array.array: a message takes it as it is, without a copy.
        data = array.array("B", bytes(height * width * POINT.itemsize))
        self._points_HW = np.frombuffer(data, POINT).reshape(height, width)
        self._camera = camera

    def _masks(self, labels_HW: U8, confidence_HW: U8) -> tuple[U8, U8]:
        """What pixels show (``_GROUND``, ``_STANDING``), and, not 0, where it is ground that can be believed."""
        kind_HW = cv2.LUT(labels_HW, self._kind_256)
        sure_HW = cv2.compare(confidence_HW, self._min_confidence, cv2.CMP_GE)
        ground_HW = cv2.bitwise_and(kind_HW, cv2.bitwise_and(sure_HW, _GROUND))
        return np.asarray(kind_HW, np.uint8), np.asarray(ground_HW, np.uint8)

    def _meet(
        self, rows: slice, ground_HW: U8, normal_3: NDArray[Any], up_3: NDArray[Any], drop: float
    ) -> tuple[F32, F32, F32] | None:
        """x, y, z where the rays of some rows meet the plane on ground; NaN elsewhere, None if nowhere."""
        if not ground_HW.any():
            return None
        x, y = self._x_HW[rows], self._y_HW[rows]
        along = cv2.addWeighted(x, float(normal_3[0]), y, float(normal_3[1]), float(normal_3[2]))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            depth = np.float32(drop) / along
            # Along the ground: what of the ray is not vertical.
            rise = cv2.addWeighted(x, float(up_3[0]), y, float(up_3[1]), float(up_3[2]))
            np.multiply(rise, rise, out=rise)
            np.subtract(self._square_HW[rows], rise, out=rise)
            np.multiply(rise, depth, out=rise)
            np.multiply(rise, depth, out=rise)
            good = (rise <= np.float32(self._max_range**2)) & (depth > 0) & (ground_HW != 0)
            if not good.any():
                return None
            np.copyto(depth, np.float32(np.nan), where=~good)
            return x * depth, y * depth, depth

    def _write(
        self, rows: slice, planes: tuple[F32, F32, F32] | None, labels_HW: U8, confidence_HW: U8
    ) -> None:
        """Into the points: three numbers, the label and the confidence."""
        shape = labels_HW.shape
        if planes is None:
            nothing = np.full(shape, np.nan, np.float32)
            planes = (nothing, nothing, nothing)
        zero = np.zeros(shape, np.uint8)
        said = cv2.merge([labels_HW, confidence_HW, zero, zero]).view(np.float32).reshape(shape)
        cv2.merge([*planes, said], self._points_HW[rows].view(np.float32).reshape(*shape, 4))


def _feet(kind_HW: U8, ground_HW: U8, sure_HW: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The feet of what stands, as places in the flat image: its lowest pixels, above ground that can be believed.

    The sides of a thing, which leans outwards in the image, are none: beside such a pixel the thing goes on below, and
    the ground that is seen past it is far behind.
    """
    height, width = kind_HW.shape
    standing_HW = kind_HW == _STANDING
    feet = np.flatnonzero(standing_HW[:-1] & (ground_HW[1:] != 0) & sure_HW[:-1])
    rows, columns = np.divmod(feet, width)
    keep = np.ones(len(feet), np.bool_)
    below = np.minimum(rows + _SIDE_ROWS, height - 1)
    for step in range(1, _SIDE_COLUMNS + 1):
        for aside in (columns - step, columns + step):
            inside = (rows + _SIDE_ROWS < height) & (aside >= 0) & (aside < width)
            keep &= ~(inside & standing_HW[below, np.clip(aside, 0, width - 1)])
    return np.asarray(feet[keep])
