# SPDX-License-Identifier: Apache-2.0
"""Projection by depth: every measured pixel is a point, and says something about its cell."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.errors import CameraError, DepthError
from offroad_seg.mapping.buffers import Scratch
from offroad_seg.mapping.depth_points import PointCaster
from offroad_seg.mapping.lens import Lens
from offroad_seg.mapping.level import ground_view
from offroad_seg.types import UNLABELLED, GridObservation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel
    from offroad_seg.mapping.grid import GridSize
    from offroad_seg.mapping.projector import Depth
    from offroad_seg.ontology import Ontology
    from offroad_seg.transforms import Transform
    from offroad_seg.types import Segmentation


class DepthProjector:
    """Puts labelled pixels where depth says that they are."""

    needs_depth = True

    def __init__(
        self,
        ontology: Ontology,
        size: GridSize,
        *,
        max_range: float = 15.0,
        min_confidence: float = 0.0,
        ground_height: float = 0.0,
        max_step: float = 0.25,
        max_slope: float = 30.0,
        clearance: float = 2.0,
        min_standing_px: int = 2,
        keep_unlabelled: bool = False,
    ) -> None:
        self._size = size
        self._ground_height = ground_height
        self._min_confidence = math.ceil(min_confidence * 255)
        self._clearance = clearance
        self._ground_256 = (ontology.costs_256 >= 0) & ~ontology.standing_256
        self._standing_256 = (ontology.costs_256 >= 0) & ontology.standing_256
        self._caster = PointCaster(max_range)
        self._lens: Lens | None = None

    def project(
        self,
        segmentation: Segmentation,
        camera: CameraModel,
        base_T_camera: Transform,
        odom_T_base: Transform | None = None,
        *,
        in_base_frame: bool = False,
        ground_up_3: NDArray[np.float64] | None = None,
        depth_HW: Depth | None = None,
    ) -> GridObservation:
        """See ``Projector.project``."""
        if depth_HW is None:
            raise DepthError("no_depth: there is no depth image for this frame", where="depth")
        labels_HW, confidence_HW = segmentation.labels_HW, segmentation.confidence_HW
        if labels_HW.shape != (camera.height, camera.width):
            raise CameraError(
                f"the camera is {camera.width}×{camera.height}, the labels {labels_HW.shape[1]}×{labels_HW.shape[0]}",
                mend="use the CameraInfo of the image that was segmented",
            )
        view = ground_view(
            base_T_camera,
            odom_T_base,
            ground_height=self._ground_height,
            ground_up_3=ground_up_3,
            in_base_frame=in_base_frame,
        )
        if self._lens is None or self._lens.camera != camera:
            self._lens = Lens(camera, Scratch())
        grid = self._size.around(view.base_x, view.base_y)
        points = self._caster.cast(depth_HW, self._lens, view)
        column = np.floor((points.x_N + (view.x - grid.origin_x)) / grid.resolution).astype(np.intp)
        row = np.floor((points.y_N + (view.y - grid.origin_y)) / grid.resolution).astype(np.intp)
        labels_N = labels_HW.ravel()[points.pixel_N]
        confidence_N = confidence_HW.ravel()[points.pixel_N]
        keep = (column >= 0) & (column < grid.width) & (row >= 0) & (row < grid.height)
        keep &= (points.up_N < self._clearance) & (confidence_N >= self._min_confidence)
        out_labels = np.full((grid.height, grid.width), UNLABELLED, np.uint8)
        out_evidence = np.zeros((grid.height, grid.width), np.float32)
        for kind_256 in (self._ground_256, self._standing_256):
            some = np.flatnonzero(keep & kind_256[labels_N])
            at = row[some] * grid.width + column[some]
            out_labels.ravel()[at] = labels_N[some]
            out_evidence.ravel()[at] = confidence_N[some] / np.float32(255)
        return GridObservation(out_labels, out_evidence, grid, segmentation.stamp_ns)
