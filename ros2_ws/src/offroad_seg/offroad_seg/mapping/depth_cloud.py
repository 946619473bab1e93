# SPDX-License-Identifier: Apache-2.0
"""The measured point of each labelled pixel, where the projection is by depth."""

from __future__ import annotations

import array
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.errors import CameraError
from offroad_seg.mapping.cloud import POINT
from offroad_seg.mapping.depth_points import NEAREST, check_depth_of, nearest_pixels
from offroad_seg.types import UNLABELLED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel
    from offroad_seg.mapping.projector import Depth
    from offroad_seg.ontology import Ontology
    from offroad_seg.transforms import Transform
    from offroad_seg.types import Segmentation

    F32 = NDArray[np.float32]


class DepthCloud:
    """Puts labelled pixels where depth says that they are.

    A pixel has a point where depth was measured within ``max_range`` and its class says something about the ground with
    at least ``min_confidence``. All other points are NaN: no depth, sky, unlabelled or doubtful pixels. What stands has
    all its points, not only those at its foot, for here they lie where it stands.

    Args:
        ontology: The classes; those without a cost (sky) say nothing about the ground.
        max_range: Metres along the ground from the camera's foot.
        min_confidence: 0–1.
    """

    def __init__(self, ontology: Ontology, *, max_range: float, min_confidence: float) -> None:
        self._known_256 = ontology.costs_256 >= 0
        self._known_256[UNLABELLED] = False
        self._max_range = max_range
        self._min_confidence = math.ceil(min_confidence * 255)
        self._camera: CameraModel | None = None
        self._x_HW: F32 = np.empty((0, 0), np.float32)
        self._y_HW: F32 = self._x_HW
        self._points_HW: NDArray[Any] = np.empty((0, 0), POINT)

    def points(
        self,
        segmentation: Segmentation,
        camera: CameraModel,
        depth_HW: Depth,
        base_T_camera: Transform,
        odom_T_base: Transform | None = None,
    ) -> NDArray[Any]:
        """The cloud of one image, ``POINT`` (H, W), aligned with its labels; a kept buffer, until the next call.

        Args:
            segmentation: Labels and confidence.
            camera: Calibration at the labels' size.
            depth_HW: As ``Frame.depth_HW``; at another resolution than the labels the nearest pixel counts.
            base_T_camera: Pose of the optical frame in the base frame.
            odom_T_base: Pose of the base, for what is level; None is a vehicle that stands level.

        Raises:
            CameraError: The camera does not fit the labels.
            DepthError: It is no depth image, or shows another view.
        """
        labels_HW = segmentation.labels_HW
        shape = (camera.height, camera.width)
        if labels_HW.shape != shape:
            raise CameraError(
                f"the camera is {camera.width}×{camera.height}, the labels {labels_HW.shape[1]}×{labels_HW.shape[0]}",
                mend="use the CameraInfo of the image that was segmented",
            )
        check_depth_of(depth_HW, camera)
        self._prepare(camera)
        z_HW = self._metres(depth_HW, shape)
        up_3 = (
            (odom_T_base @ base_T_camera if odom_T_base else base_T_camera).rotation_33[2].astype(np.float32)
        )
        with np.errstate(invalid="ignore", over="ignore"):
            x_HW, y_HW = self._x_HW * z_HW, self._y_HW * z_HW
            rise_HW = up_3[0] * x_HW + up_3[1] * y_HW + up_3[2] * z_HW
            along_HW = x_HW * x_HW + y_HW * y_HW + z_HW * z_HW - rise_HW * rise_HW
            # False for what was not measured, and for rays that are NaN.
            good_HW = (z_HW > np.float32(NEAREST)) & (along_HW <= np.float32(self._max_range**2))
        good_HW &= np.take(self._known_256, labels_HW)
        good_HW &= segmentation.confidence_HW >= self._min_confidence
        out = self._points_HW
        for name, values_HW in (("x", x_HW), ("y", y_HW), ("z", z_HW)):
            out[name] = np.where(good_HW, values_HW, np.float32(np.nan))
        out["label"], out["confidence"] = labels_HW, segmentation.confidence_HW
        return out

    def _prepare(self, camera: CameraModel) -> None:
        if self._camera == camera:
            return
        shape = (camera.height, camera.width)
        v, u = np.mgrid[: shape[0], : shape[1]]
        rays_N3 = camera.rays(np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float64))
        with np.errstate(invalid="ignore"):
            self._x_HW = (rays_N3[:, 0] / rays_N3[:, 2]).astype(np.float32).reshape(shape)
            self._y_HW = (rays_N3[:, 1] / rays_N3[:, 2]).astype(np.float32).reshape(shape)
        # An array.array: a message takes it as it is, without a copy.
        data = array.array("B", bytes(shape[0] * shape[1] * POINT.itemsize))
        self._points_HW = np.frombuffer(data, POINT).reshape(shape)
        self._camera = camera

    def _metres(self, depth_HW: Depth, shape: tuple[int, int]) -> F32:
        """Depth at the pixels of the labels, metres."""
        sampled: Any = depth_HW
        if depth_HW.shape != shape:
            rows, columns = nearest_pixels(depth_HW.shape, shape)
            sampled = depth_HW[rows[:, None], columns[None, :]]
        scale = np.float32(0.001) if sampled.dtype == np.uint16 else np.float32(1.0)
        return np.asarray(sampled.astype(np.float32) * scale)
