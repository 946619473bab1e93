# SPDX-License-Identifier: Apache-2.0
"""ROS 2 messages (Jazzy) of a drive, without ROS: rosbags' dataclasses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rosbags.typesys import Stores, get_typestore

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel
    from offroad_seg.transforms import Transform
    from offroad_seg.types import Costmap

STORE = get_typestore(Stores.ROS2_JAZZY)
_T = STORE.types


def time(stamp_ns: int) -> Any:
    """builtin_interfaces/Time."""
    return _T["builtin_interfaces/msg/Time"](sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)


def header(stamp_ns: int, frame_id: str) -> Any:
    """std_msgs/Header."""
    return _T["std_msgs/msg/Header"](stamp=time(stamp_ns), frame_id=frame_id)


def image(stamp_ns: int, frame_id: str, pixels: NDArray[np.generic], encoding: str) -> Any:
    """sensor_msgs/Image of (H, W) or (H, W, 3)."""
    data = np.ascontiguousarray(pixels)
    return _T["sensor_msgs/msg/Image"](
        header=header(stamp_ns, frame_id),
        height=data.shape[0],
        width=data.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=data.strides[0],
        data=data.reshape(-1).view(np.uint8),
    )


def camera_info(stamp_ns: int, frame_id: str, camera: CameraModel) -> Any:
    """sensor_msgs/CameraInfo; P is K, as for a camera that is not rectified."""
    k = camera.K_33
    return _T["sensor_msgs/msg/CameraInfo"](
        header=header(stamp_ns, frame_id),
        height=camera.height,
        width=camera.width,
        distortion_model=camera.model,
        d=np.array(camera.D or (0.0,) * 5, np.float64),
        k=k.ravel().copy(),
        r=np.eye(3).ravel(),
        p=np.concatenate([k, np.zeros((3, 1))], 1).ravel(),
        binning_x=0,
        binning_y=0,
        roi=_T["sensor_msgs/msg/RegionOfInterest"](
            x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        ),
    )


def _vector(v: NDArray[np.float64]) -> Any:
    return _T["geometry_msgs/msg/Vector3"](x=float(v[0]), y=float(v[1]), z=float(v[2]))


def _point(v: NDArray[np.float64]) -> Any:
    return _T["geometry_msgs/msg/Point"](x=float(v[0]), y=float(v[1]), z=float(v[2]))


def _quaternion(q: NDArray[np.float64]) -> Any:
    return _T["geometry_msgs/msg/Quaternion"](x=float(q[0]), y=float(q[1]), z=float(q[2]), w=float(q[3]))


def transforms(stamp_ns: int, *edges: tuple[str, str, Transform]) -> Any:
    """tf2_msgs/TFMessage of (parent, child, parent_T_child)."""
    stamped = _T["geometry_msgs/msg/TransformStamped"]
    transform = _T["geometry_msgs/msg/Transform"]
    return _T["tf2_msgs/msg/TFMessage"](
        transforms=[
            stamped(
                header=header(stamp_ns, parent),
                child_frame_id=child,
                transform=transform(
                    translation=_vector(t.translation_3), rotation=_quaternion(t.quaternion_xyzw())
                ),
            )
            for parent, child, t in edges
        ]
    )


def odometry(
    stamp_ns: int, odom_T_base: Transform, linear_3: NDArray[np.float64], angular_3: NDArray[np.float64]
) -> Any:
    """nav_msgs/Odometry odom → base_link; velocities in base_link, m/s and rad/s; covariance zero: it is the truth."""
    pose = _T["geometry_msgs/msg/Pose"](
        position=_point(odom_T_base.translation_3), orientation=_quaternion(odom_T_base.quaternion_xyzw())
    )
    twist = _T["geometry_msgs/msg/Twist"](linear=_vector(linear_3), angular=_vector(angular_3))
    return _T["nav_msgs/msg/Odometry"](
        header=header(stamp_ns, "odom"),
        child_frame_id="base_link",
        pose=_T["geometry_msgs/msg/PoseWithCovariance"](pose=pose, covariance=np.zeros(36)),
        twist=_T["geometry_msgs/msg/TwistWithCovariance"](twist=twist, covariance=np.zeros(36)),
    )


def occupancy_grid(stamp_ns: int, costmap: Costmap) -> Any:
    """nav_msgs/OccupancyGrid."""
    grid = costmap.grid
    origin = _T["geometry_msgs/msg/Pose"](
        position=_point(np.array([grid.origin_x, grid.origin_y, 0.0])),
        orientation=_quaternion(np.array([0.0, 0.0, 0.0, 1.0])),
    )
    return _T["nav_msgs/msg/OccupancyGrid"](
        header=header(stamp_ns, costmap.frame_id),
        info=_T["nav_msgs/msg/MapMetaData"](
            map_load_time=time(stamp_ns),
            resolution=grid.resolution,
            width=grid.width,
            height=grid.height,
            origin=origin,
        ),
        data=costmap.cost_HW.ravel(),
    )
