# SPDX-License-Identifier: Apache-2.0
"""One ground point for each labelled pixel: what consumers that expect a depth camera's aligned cloud can use."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.errors import CameraError
from offroad_seg.mapping.buffers import message_array
from offroad_seg.mapping.cloud_bands import GROUND, SIDE_COLUMNS, SIDE_ROWS, STANDING, CloudBands, GroundPlane
from offroad_seg.mapping.level import ground_view
from offroad_seg.mapping.rays import RayTable
from offroad_seg.native.cloud import CloudKernel
from offroad_seg.spread import spread_between
from offroad_seg.types import UNLABELLED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel
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
        kinds = np.where(ontology.standing_256, STANDING, GROUND)
        self._kind_256 = np.where(known_256, kinds, 0).astype(np.uint8)
        self._least = math.ceil(min_confidence * 255)
        self._max_range = max_range
        self._ground_height = ground_height
        self._camera: CameraModel | None = None
        self._bands: CloudBands | None = None
        self._kernel: CloudKernel | None = None
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
        plane = GroundPlane.of(view)
        if self._native(said, spread, plane):
            return self._points_HW
        if self._bands is None:
            self._bands = CloudBands(self._rays, self._kind_256, self._least, self._max_range)
        self._bands.fill(self._points_HW, said, spread, view, plane)
        return self._points_HW

    def _prepare(self, camera: CameraModel) -> None:
        if self._camera == camera:
            return
        self._rays = RayTable.of(camera)
        self._bands, self._kernel = None, None
        self._points_HW = message_array((camera.height, camera.width), POINT)
        self._camera = camera

    def _native(self, said: Segmentation, spread: Spread, plane: GroundPlane) -> bool:
        """The same in compiled code; False where there is none."""
        if self._kernel is None or self._kernel.spread is not spread:
            aside = (SIDE_ROWS, SIDE_COLUMNS)
            self._kernel = CloudKernel(
                self._kind_256, self._least, spread, self._rays, aside, self._points_HW
            )
        numbers = (*plane.normal_3, *plane.up_3, plane.drop, self._max_range**2)
        return self._kernel.fill(said.labels_HW, said.confidence_HW, numbers)
