# SPDX-License-Identifier: Apache-2.0
"""Where the camera is above which ground plane."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.errors import TransformError
from offroad_seg.transforms import Transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    F64 = NDArray[np.float64]

_MIN_HEIGHT = 0.02
_MAX_TILT_COS = math.cos(math.radians(60))


@dataclass(frozen=True)
class GroundView:
    """A camera above a plane, in the grid's frame (odom, or the levelled base frame without odometry).

    A ground point at (X, Y) metres from the camera's foot, along the grid's axes, lies ``drop + slope_x X +
    slope_y Y`` metres above the camera (so ``drop`` is negative).

    Attributes:
        camera_R_grid: float64 (3, 3): turns vectors of the grid's frame into the optical frame.
        x: Position of the camera in the grid's frame, metres; likewise y.
        base_x: Position of the base frame's origin in the grid's frame, metres; likewise base_y.
        drop: Height of the plane below the camera's foot, negative, metres.
        slope_x: Gradient of the plane along x; 0 for a levelled plane. Likewise slope_y.
    """

    camera_R_grid: F64
    x: float
    y: float
    base_x: float
    base_y: float
    drop: float
    slope_x: float
    slope_y: float

    def put_numbers(self, out_12: F64) -> None:
        """The turn, row by row, drop, slope_x and slope_y: what the compiled kernels are told."""
        out_12[:9] = self.camera_R_grid.ravel()
        out_12[9:] = self.drop, self.slope_x, self.slope_y

    @property
    def homography_33(self) -> F64:
        """Maps (X, Y, 1), metres from the camera's foot, to the ground point in the optical frame."""
        # No product of matrices: the library behind it may add in another order than native/plane.c.
        rows_33 = self.camera_R_grid * (1.0, 1.0, self.drop)
        rows_33[:, 0] += self.camera_R_grid[:, 2] * self.slope_x
        rows_33[:, 1] += self.camera_R_grid[:, 2] * self.slope_y
        return np.asarray(rows_33)


def ground_view(
    base_T_camera: Transform,
    odom_T_base: Transform | None,
    *,
    ground_height: float = 0.0,
    ground_up_3: F64 | None = None,
    in_base_frame: bool = False,
) -> GroundView:
    """Place the camera above the ground plane.

    Args:
        base_T_camera: Mount of the optical frame in the base frame.
        odom_T_base: Pose of the base; None is a vehicle that stands level, its base frame the grid's.
        ground_height: The base origin's height above the ground, metres.
        ground_up_3: Normal of the ground plane, in odom (without odometry in the base frame); None is the vertical.
        in_base_frame: The grid's axes and origin follow the base (its heading, not its tilt) instead of odom.

    Raises:
        TransformError: The camera would lie in or below the plane, or the vehicle on its side.
    """
    asked = (base_T_camera, odom_T_base, ground_height, ground_up_3, in_base_frame)
    known = _last[0]
    if known is not None and all(now is then for now, then in zip(asked, known[0], strict=True)):
        return known[1]
    view = _ground_view(*asked)
    _last[0] = asked, view
    return view


# Of the last question: projection and cloud of a frame ask the same one.
_last: list[tuple[tuple[Any, ...], GroundView] | None] = [None]


def _ground_view(
    base_T_camera: Transform,
    odom_T_base: Transform | None,
    ground_height: float,
    ground_up_3: F64 | None,
    in_base_frame: bool,
) -> GroundView:
    """The same, worked out."""
    pose = odom_T_base if odom_T_base is not None else Transform.identity()
    normal_3 = np.array([0.0, 0.0, 1.0]) if ground_up_3 is None else ground_up_3
    if in_base_frame or odom_T_base is None:
        heading = _heading(pose)
        pose = Transform(heading.rotation_33.T @ pose.rotation_33, np.zeros(3))
        normal_3 = heading.rotation_33.T @ normal_3
    # Plain numbers: numpy takes ten times as long for so few.
    normal_x, normal_y, normal_z = normal_3.tolist()
    rotation, mount_3 = pose.rotation_33.tolist(), base_T_camera.translation_3.tolist()
    if min(rotation[2][2], normal_z) < _MAX_TILT_COS:
        raise TransformError(
            "the vehicle leans by more than 60°: there is no ground plane to look at",
            where="odom_T_base",
            mend="check the odometry's orientation (REP-103: z up)",
        )
    base_x, base_y, _ = pose.translation_3.tolist()
    x, y, z = mount_3
    over_x, over_y, over_z = (a * x + b * y + c * z for a, b, c in rotation)
    slope_x, slope_y = -normal_x / normal_z, -normal_y / normal_z
    drop = (
        slope_x * (over_x + ground_height * normal_x)
        + slope_y * (over_y + ground_height * normal_y)
        - (over_z + ground_height * normal_z)
    )
    if not drop < -_MIN_HEIGHT:
        raise TransformError(
            f"the camera lies {-drop:.2f} m above the ground plane",
            where="camera mount and ground_height",
            mend="give the camera's height above base_link (camera_mount.z or tf), and ground_height, the height "
            "of base_link above the ground",
        )
    return GroundView(
        camera_R_grid=np.ascontiguousarray((pose.rotation_33 @ base_T_camera.rotation_33).T),
        x=base_x + over_x,
        y=base_y + over_y,
        base_x=base_x,
        base_y=base_y,
        drop=drop,
        slope_x=slope_x,
        slope_y=slope_y,
    )


def _heading(pose: Transform) -> Transform:
    """The pose's turn about the vertical alone."""
    return Transform.from_rpy(
        0.0, 0.0, math.atan2(float(pose.rotation_33[1, 0]), float(pose.rotation_33[0, 0]))
    )
