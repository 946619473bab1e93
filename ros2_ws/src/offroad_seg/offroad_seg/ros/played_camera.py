# SPDX-License-Identifier: Apache-2.0
"""One camera of a bag as the player publishes it: image, calibration and depth, below the namespace of its name."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from offroad_seg.ros.messages import header_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray
    from rclpy.qos import QoSProfile

    from offroad_seg.camera import CameraModel
    from offroad_seg.replay.bag import BagMessage
    from offroad_seg.replay.frames import BagFrame
    from offroad_seg.replay.topics import CameraTopics


class PlayedCamera:
    """The publishers of one camera, and what the node was told of its calibration.

    Args:
        make: Makes a publisher of a type, a topic and a QoS.
        topics: The camera's.
        prefix: Goes before the topics' names: ``left/``; empty where there is one camera.
        few: QoS of images.
        many: QoS of calibrations.
        with_depth: Whether the node maps by depth.

    Attributes:
        inputs: All publishers.
    """

    def __init__(
        self,
        make: Callable[[Any, str, QoSProfile], Any],
        topics: CameraTopics,
        prefix: str,
        *,
        few: QoSProfile,
        many: QoSProfile,
        with_depth: bool,
    ) -> None:
        self._topics = topics
        kind, name = (CompressedImage, "image/compressed") if topics.compressed else (Image, "image")
        self._image, self._info = (
            make(kind, prefix + name, few),
            make(CameraInfo, f"{prefix}camera_info", many),
        )
        self._depth = make(Image, f"{prefix}depth", few) if with_depth else None
        self.inputs = [p for p in (self._image, self._info, self._depth) if p is not None]
        self._last_info = b""
        self._told: CameraModel | None = None

    def copy(self, message: BagMessage) -> None:
        """Publish a message of the bag, if it is this camera's calibration."""
        topic = self._topics.camera_info
        if topic is not None and message.topic == topic.name:
            self._info.publish(bytes(message.data))

    def calibration_changed(self, messages: Iterable[BagMessage]) -> bool:
        """Whether these hold a CameraInfo that says something new: the node must have it before the image."""
        changed = False
        topic = self._topics.camera_info
        for message in messages:
            if topic is not None and message.topic == topic.name:
                # Behind the CDR header and the stamp.
                content = bytes(message.data[12:])
                changed, self._last_info = changed or content != self._last_info, content
        return changed

    def tell_calibration(self, item: BagFrame) -> bool:
        """Publish what the bag does not say before the image: a calibration that comes later, or from a file."""
        camera = item.frame.camera
        if self._last_info or camera is None or camera == self._told:
            return False
        self._told = camera
        self._info.publish(
            CameraInfo(
                header=header_message(item.frame.stamp_ns, item.frame.frame_id),
                height=camera.height,
                width=camera.width,
                distortion_model=camera.model,
                d=list(camera.D),
                k=[float(v) for v in camera.K_33.ravel()],
            )
        )
        return True

    def send(self, item: BagFrame) -> None:
        """Publish an image, and its depth before it."""
        depth_HW = item.frame.depth_HW
        if self._depth is not None and depth_HW is not None:
            self._depth.publish(_depth_message(depth_HW, item))
        self._image.publish(bytes(item.message.data))


def _depth_message(depth_HW: NDArray[np.float32] | NDArray[np.uint16], item: BagFrame) -> Image:
    """As ``Frame.depth_HW`` has it: float32 metres or uint16 millimetres."""
    height, width = depth_HW.shape
    wire, encoding = ("<u2", "16UC1") if depth_HW.dtype == np.uint16 else ("<f4", "32FC1")
    return Image(
        header=header_message(item.frame.stamp_ns, item.frame.frame_id),
        height=height,
        width=width,
        encoding=encoding,
        step=depth_HW.dtype.itemsize * width,
        data=array("B", depth_HW.astype(wire, copy=False).tobytes()),
    )
