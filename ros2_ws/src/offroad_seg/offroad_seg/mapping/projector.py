# SPDX-License-Identifier: Apache-2.0
"""What every projector does: from the pixels of one image to the cells of a window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel
    from offroad_seg.transforms import Transform
    from offroad_seg.types import GridObservation, Segmentation

    Depth = NDArray[np.float32] | NDArray[np.uint16]


class Projector(Protocol):
    """Turns a segmentation into a grid observation.

    Attributes:
        needs_depth: Whether it maps only frames that have depth.
    """

    needs_depth: bool

    @property
    def contact_slope(self) -> float:
        """Degrees by which the ground is thought to rise or fall up to the foot of something lethal; 0: not at all."""
        ...

    def reset(self) -> None:
        """Forget the past, if it has one."""
        ...

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
        """What the image says about the ground around the vehicle.

        Args:
            segmentation: Labels and confidence at the camera's size.
            camera: Calibration of that image.
            base_T_camera: Pose of the optical frame in the base frame.
            odom_T_base: Pose of the base at the image's stamp, or None without odometry.
            in_base_frame: Put the grid into the levelled base frame, not into odom. Always so without odometry.
            ground_up_3: The ground's normal in odom (without odometry in the base frame); None is the vertical.
            depth_HW: As ``Frame.depth_HW``; heeded only by a projector that needs it.

        Raises:
            CameraError: The camera does not fit the image.
            DepthError: Depth is needed, and there is none, or no pixel of it was measured.
            TransformError: The pose leaves no ground to look at.
        """
        ...
