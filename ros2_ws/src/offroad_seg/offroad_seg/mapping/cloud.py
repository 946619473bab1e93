# SPDX-License-Identifier: Apache-2.0
"""One ground point for each labelled pixel: what consumers that expect a depth camera's aligned cloud can use."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

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

POINT = np.dtype(
    {
        "names": ["x", "y", "z", "label", "confidence"],
        "formats": ["<f4", "<f4", "<f4", "u1", "u1"],
        "offsets": [0, 4, 8, 12, 13],
        "itemsize": 16,
    }
)
"""A point: x, y, z in metres in the optical frame (REP-103: z forward), class id, confidence 0–255."""

_BLOCK_ROWS = 64
_SIDE_ROWS, _SIDE_COLUMNS = 3, 2


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
        self._standing_256 = ontology.standing_256 & known_256
        self._ground_256 = known_256 & ~ontology.standing_256
        self._min_confidence = math.ceil(min_confidence * 255)
        self._max_range = max_range
        self._ground_height = ground_height
        self._camera: CameraModel | None = None
        self._rays_2HW: F32 = np.empty((2, 0, 0), np.float32)
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
        for top in range(0, camera.height, _BLOCK_ROWS):
            rows = slice(top, min(top + _BLOCK_ROWS, camera.height))
            self._meet(self._points_HW[rows], self._rays_2HW[:, rows], normal_3, up_3, view.drop)
        self._blank(labels_HW, confidence_HW)
        self._points_HW["label"] = labels_HW
        self._points_HW["confidence"] = confidence_HW
        return self._points_HW

    def _prepare(self, camera: CameraModel) -> None:
        if self._camera == camera:
            return
        v, u = np.mgrid[: camera.height, : camera.width]
        with np.errstate(invalid="ignore"):
            rays_N3 = camera.rays(np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float64))
            flat_2N = (rays_N3[:, :2] / rays_N3[:, 2:]).T.astype(np.float32)
        self._rays_2HW = np.ascontiguousarray(flat_2N).reshape(2, camera.height, camera.width)
        self._points_HW = np.zeros((camera.height, camera.width), POINT)
        self._camera = camera

    def _meet(
        self, out: NDArray[Any], rays_2HW: F32, normal_3: NDArray[Any], up_3: NDArray[Any], drop: float
    ) -> None:
        """Where the rays of some rows meet the plane; NaN where they do not, or too far away."""
        x, y = rays_2HW
        n_x, n_y, n_z = (float(v) for v in normal_3)
        depth = x * np.float32(n_x)
        depth += y * np.float32(n_y)
        depth += np.float32(n_z)
        with np.errstate(divide="ignore", invalid="ignore"):
            np.divide(np.float32(drop), depth, out=depth)
            # Along the ground: what of the ray is not vertical.
            rise = x * np.float32(up_3[0]) + y * np.float32(up_3[1]) + np.float32(up_3[2])
            flat_2 = (x * x + y * y + 1.0 - rise * rise) * depth * depth
            bad = ~((depth > 0) & (flat_2 <= np.float32(self._max_range**2)))
        depth[bad] = np.nan
        np.multiply(x, depth, out=out["x"])
        np.multiply(y, depth, out=out["y"])
        out["z"] = depth

    def _blank(self, labels_HW: NDArray[np.uint8], confidence_HW: NDArray[np.uint8]) -> None:
        """Leave points only of ground, and of the feet of what stands, which get the point of the ground below."""
        sure = confidence_HW >= self._min_confidence
        ground = self._ground_256[labels_HW] & sure
        standing = self._standing_256[labels_HW]
        foot = standing[:-1] & sure[:-1] & ground[1:]
        _clear_sides(foot, standing)
        points = self._points_HW
        for name in ("x", "y", "z"):
            values = points[name]
            # Rows are taken from below before anything is blanked: a foot's own ray passes over the thing's base.
            np.copyto(values[:-1], values[1:].copy(), where=foot)
        ground[:-1] |= foot
        np.copyto(points["z"], np.nan, where=~ground)
        for name in ("x", "y"):
            np.copyto(points[name], np.nan, where=np.isnan(points["z"]))


def _clear_sides(foot: NDArray[np.bool_], standing_HW: NDArray[np.bool_]) -> None:
    """Take out what is no foot but the side of a thing, which leans outwards in the image.

    Beside such a pixel the thing goes on below; the ground that is seen past a side is far behind it.
    """
    height, width = standing_HW.shape
    if height <= _SIDE_ROWS:
        return
    below = standing_HW[_SIDE_ROWS:]
    part = foot[: height - _SIDE_ROWS]
    for step in range(1, _SIDE_COLUMNS + 1):
        if step < width:
            part[:, step:] &= ~below[:, :-step]
            part[:, :-step] &= ~below[:, step:]
