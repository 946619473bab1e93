# SPDX-License-Identifier: Apache-2.0
"""The messages of ``annotated.mcap``: standard types, as rosbags serialises them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from offroad_seg.mapping.doubt import ood_share
from offroad_seg.replay.topics import CAMERA_INFO, COMPRESSED, GRID, IMAGE, TF
from offroad_seg.sensor_messages import split_ns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel
    from offroad_seg.transforms import Transform
    from offroad_seg.types import Costmap, Perception

JPEG_QUALITY = 85
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"
LABEL_INFO = "vision_msgs/msg/LabelInfo"
OK, WARN, ERROR = 0, 1, 2
"""diagnostic_msgs/DiagnosticStatus levels."""

Status = tuple[str, int, str, dict[str, str]]
"""Component, level, message, key → value."""

# vision_msgs is no part of rosbags' own store.
_VISION = {
    "vision_msgs/msg/VisionClass": "uint16 class_id\nstring class_name\n",
    LABEL_INFO: "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n",
}


def message_store() -> Any:
    """The types that are written."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    for name, text in _VISION.items():
        if name not in store.fielddefs:
            store.register(get_types_from_msg(text, name))
    return store


def encode_jpeg(image_HWC: NDArray[np.uint8], quality: int) -> bytes:
    """RGB (H, W, 3) as JPEG."""
    bgr = cv2.cvtColor(image_HWC, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


class Messages:
    """Builds messages.

    Args:
        store: From ``message_store``.
    """

    def __init__(self, store: Any) -> None:
        self._types = store.types

    def header(self, stamp_ns: int, frame_id: str) -> Any:
        """std_msgs/Header."""
        seconds, rest = split_ns(stamp_ns)
        time = self._types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=rest)
        return self._types["std_msgs/msg/Header"](stamp=time, frame_id=frame_id)

    def mono8(self, image_HW: NDArray[np.uint8], header: Any) -> Any:
        """sensor_msgs/Image."""
        height, width = image_HW.shape
        return self._types[IMAGE](
            header=header,
            height=height,
            width=width,
            encoding="mono8",
            is_bigendian=0,
            step=width,
            data=np.ascontiguousarray(image_HW).ravel(),
        )

    def jpeg(self, image_HWC: NDArray[np.uint8], header: Any) -> Any:
        """sensor_msgs/CompressedImage of RGB pixels."""
        data = np.frombuffer(encode_jpeg(image_HWC, JPEG_QUALITY), np.uint8)
        return self._types[COMPRESSED](header=header, format="jpeg", data=data)

    def grid(self, costmap: Costmap) -> Any:
        """nav_msgs/OccupancyGrid."""
        types, grid = self._types, costmap.grid
        header = self.header(costmap.stamp_ns, costmap.frame_id)
        pose = types["geometry_msgs/msg/Pose"](
            position=types["geometry_msgs/msg/Point"](x=grid.origin_x, y=grid.origin_y, z=0.0),
            orientation=types["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0),
        )
        info = types["nav_msgs/msg/MapMetaData"](
            map_load_time=header.stamp,
            resolution=grid.resolution,
            width=grid.width,
            height=grid.height,
            origin=pose,
        )
        data = np.ascontiguousarray(costmap.cost_HW, np.int8).ravel()
        return types[GRID](header=header, info=info, data=data)

    def transforms(self, stamp_ns: int, poses: Iterable[tuple[str, str, Transform]]) -> Any:
        """tf2_msgs/TFMessage of (parent, child, parent_T_child)."""
        types = self._types
        stamped = []
        for parent, child, pose in poses:
            x, y, z = (float(v) for v in pose.translation_3)
            qx, qy, qz, qw = (float(v) for v in pose.quaternion_xyzw())
            stamped.append(
                types["geometry_msgs/msg/TransformStamped"](
                    header=self.header(stamp_ns, parent),
                    child_frame_id=child,
                    transform=types["geometry_msgs/msg/Transform"](
                        translation=types["geometry_msgs/msg/Vector3"](x=x, y=y, z=z),
                        rotation=types["geometry_msgs/msg/Quaternion"](x=qx, y=qy, z=qz, w=qw),
                    ),
                )
            )
        return types[TF](transforms=stamped)

    def camera_info(self, camera: CameraModel, header: Any) -> Any:
        """sensor_msgs/CameraInfo of a camera that fits its image."""
        roi = self._types["sensor_msgs/msg/RegionOfInterest"](
            x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        )
        k = np.array(camera.K_33, np.float64)
        return self._types[CAMERA_INFO](
            header=header,
            height=camera.height,
            width=camera.width,
            distortion_model=camera.model,
            d=np.array(camera.D or (0.0,) * 5, np.float64),
            k=k.ravel(),
            r=np.eye(3).ravel(),
            p=np.hstack([k, np.zeros((3, 1))]).ravel(),
            binning_x=0,
            binning_y=0,
            roi=roi,
        )

    def label_info(self, names: list[str], header: Any) -> Any:
        """vision_msgs/LabelInfo: what the values in ``labels`` are called."""
        make = self._types["vision_msgs/msg/VisionClass"]
        classes = [make(class_id=number, class_name=name) for number, name in enumerate(names)]
        return self._types[LABEL_INFO](header=header, class_map=classes, threshold=0.0)

    def diagnostics(self, stamp_ns: int, statuses: Iterable[Status]) -> Any:
        """diagnostic_msgs/DiagnosticArray."""
        make, pair = (
            self._types["diagnostic_msgs/msg/DiagnosticStatus"],
            self._types["diagnostic_msgs/msg/KeyValue"],
        )
        return self._types[DIAGNOSTICS](
            header=self.header(stamp_ns, ""),
            status=[
                make(
                    level=level,
                    name=f"replay: {component}",
                    message=message,
                    hardware_id="",
                    values=[pair(key=key, value=value) for key, value in values.items()],
                )
                for component, level, message, values in statuses
            ],
        )


def told_of(camera: str, perception: Perception) -> list[Status]:
    """What diagnostics say of a frame: the components that the node has too."""
    result = perception.segmentation
    inference = {f"{stage}_ms": f"{value:.2f}" for stage, value in perception.timings_ms.items()}
    inference["mean_confidence"] = f"{result.mean_confidence:.4f}"
    if (share := ood_share(result)) is not None:
        inference["ood_share"] = f"{share:.4f}"
    costmap = perception.costmap
    known = {} if costmap is None else {"known_share": f"{float(np.mean(costmap.cost_HW >= 0)):.4f}"}
    return [
        (f"camera {camera}", OK, "ok", {}),
        ("inference", OK, "ok", inference),
        ("costmap", WARN if costmap is None else OK, perception.costmap_reason or "ok", known),
    ]
