# SPDX-License-Identifier: Apache-2.0
"""A bag of real frames: ORFD images with calibration and depth, as a vehicle would have recorded them."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from offroad_seg.transforms import OPTICAL_QUATERNION_XYZW, Transform

# Fitted to the dense depth of the road ahead (plane within 8 cm, below row 480, nearer than 25 m), median of six frames.
CAMERA_HEIGHT_M = 1.9
CAMERA_PITCH_RAD = math.radians(7.1)
CAMERA_ROLL_RAD = math.radians(1.6)


def orfd_frames(folder: Path) -> list[int]:
    """Stamps of the frames, in milliseconds, in order."""
    return sorted(int(path.stem) for path in (folder / "image_data").glob("*.png"))


def read_calibration(folder: Path, stamp_ms: int) -> list[float]:
    """The nine numbers of K."""
    text = (folder / "calib" / f"{stamp_ms}.txt").read_text()
    line = next(line for line in text.splitlines() if line.startswith("cam_K"))
    return [float(word) for word in line.split()[1:]]


def write_orfd_bag(folder: Path, out: Path) -> Path:
    """Write image, camera_info, depth (32FC1 metres) and tf_static; there is no odometry in the data.

    Args:
        folder: The ``orfd_sequence`` folder.
        out: The bag's folder to make.
    """
    store = get_typestore(Stores.ROS2_JAZZY)
    types = store.types
    header, stamp_type = types["std_msgs/msg/Header"], types["builtin_interfaces/msg/Time"]
    image_type, info_type = types["sensor_msgs/msg/Image"], types["sensor_msgs/msg/CameraInfo"]

    def head(ns: int, frame: str):
        return header(stamp=stamp_type(sec=ns // 10**9, nanosec=ns % 10**9), frame_id=frame)

    with Writer(out, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {
            "/camera/image": "sensor_msgs/msg/Image",
            "/camera/camera_info": "sensor_msgs/msg/CameraInfo",
            "/camera/depth": "sensor_msgs/msg/Image",
            "/tf_static": "tf2_msgs/msg/TFMessage",
        }
        connections = {t: writer.add_connection(t, kind, typestore=store) for t, kind in topics.items()}

        def write(topic: str, ns: int, message) -> None:
            writer.write(connections[topic], ns, store.serialize_cdr(message, topics[topic]))

        stamps = orfd_frames(folder)
        write("/tf_static", stamps[0] * 10**6, _mount(types, head(stamps[0] * 10**6, "base_link")))
        for ms in stamps:
            ns = ms * 10**6
            image = cv2.cvtColor(cv2.imread(str(folder / "image_data" / f"{ms}.png")), cv2.COLOR_BGR2RGB)
            raw = cv2.imread(str(folder / "dense_depth" / f"{ms}.png"), cv2.IMREAD_UNCHANGED)
            depth = np.where(raw > 0, raw.astype(np.float32) / 256, np.nan).astype(np.float32)
            h, w = image.shape[:2]
            k = read_calibration(folder, ms)
            p = [k[0], 0, k[2], 0, 0, k[4], k[5], 0, 0, 0, 1, 0]
            write("/camera/camera_info", ns, info_type(
                header=head(ns, "camera_optical_frame"), height=h, width=w, distortion_model="plumb_bob",
                d=np.zeros(5), k=np.array(k), r=np.eye(3).ravel(), p=np.array(p, float), binning_x=0, binning_y=0,
                roi=types["sensor_msgs/msg/RegionOfInterest"](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
            ))  # fmt: skip
            for topic, encoding, array in (
                ("/camera/image", "rgb8", image),
                ("/camera/depth", "32FC1", depth),
            ):
                write(topic, ns, image_type(
                    header=head(ns, "camera_optical_frame"), height=h, width=w, encoding=encoding, is_bigendian=0,
                    step=array.strides[0], data=np.ascontiguousarray(array).view(np.uint8).ravel(),
                ))  # fmt: skip
    return out


def _mount(types, header):
    link = Transform.from_rpy(CAMERA_ROLL_RAD, CAMERA_PITCH_RAD, 0.0)
    poses = [
        ("base_link", "camera_link", (0.0, 0.0, CAMERA_HEIGHT_M), link.quaternion_xyzw()),
        ("camera_link", "camera_optical_frame", (0.0, 0.0, 0.0), OPTICAL_QUATERNION_XYZW),
    ]
    vector, quaternion = types["geometry_msgs/msg/Vector3"], types["geometry_msgs/msg/Quaternion"]
    transform, stamped = types["geometry_msgs/msg/Transform"], types["geometry_msgs/msg/TransformStamped"]
    return types["tf2_msgs/msg/TFMessage"](
        transforms=[
            stamped(
                header=type(header)(stamp=header.stamp, frame_id=parent),
                child_frame_id=child,
                transform=transform(
                    translation=vector(x=t[0], y=t[1], z=t[2]),
                    rotation=quaternion(x=float(q[0]), y=float(q[1]), z=float(q[2]), w=float(q[3])),
                ),
            )
            for parent, child, t, q in poses
        ]
    )
