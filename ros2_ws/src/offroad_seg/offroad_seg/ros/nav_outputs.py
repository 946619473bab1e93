# SPDX-License-Identifier: Apache-2.0
"""What Nav2's layers and monitors take beside images and grid: names, calibration and points that fit ``labels``.

Each is worked out only while somebody subscribes. Those whose message package is not installed are off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sensor_msgs.msg import CameraInfo, PointCloud2

from offroad_seg.ros.cloud_message import CloudWriter
from offroad_seg.ros.messages import time_message

try:
    from vision_msgs.msg import LabelInfo, VisionClass
except ImportError:
    LabelInfo = VisionClass = None
try:
    from nav2_msgs.msg import Costmap as RawCostmap
except ImportError:
    RawCostmap = None

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from rclpy.qos import QoSProfile

RAW_COSTMAP: Any = RawCostmap
"""nav2_msgs/Costmap, or None where it is not installed."""

MISSING = tuple(
    f"{package}: {topic} is off"
    for package, topic, found in (
        ("vision_msgs", "label_info", LabelInfo),
        ("nav2_msgs", "costmap_raw", RawCostmap),
    )
    if found is None
)
"""Which optional topics are off here, and for want of which package; for the log and diagnostics."""


class NavOutputs:
    """Publishes ``label_info``, ``camera_info_out`` and ``points`` of one camera.

    Args:
        node: The lifecycle node that owns the publishers.
        prefix: Goes before the topics' names.
        newest: QoS of what goes with images.
        latched: QoS of what a late joiner must still get.
    """

    def __init__(self, node: Any, prefix: str, newest: QoSProfile, latched: QoSProfile) -> None:
        self._node = node
        make = node.create_lifecycle_publisher
        self._camera_info = make(CameraInfo, f"{prefix}camera_info_out", newest)
        self._points = make(PointCloud2, f"{prefix}points", newest)
        self._label_info = None if LabelInfo is None else make(LabelInfo, f"{prefix}label_info", latched)
        self._cloud = CloudWriter()

    def destroy(self) -> None:
        """Remove the publishers."""
        for publisher in (self._camera_info, self._points, self._label_info):
            if publisher is not None:
                self._node.destroy_lifecycle_publisher(publisher)

    def publish_names(self, names: list[str], frame_id: str, now_ns: int, threshold: float) -> None:
        """What the values in ``labels`` are called.

        Args:
            names: By class id.
            frame_id: Of the costmap; the message asks for one and gives it no meaning.
            now_ns: ROS time.
            threshold: Confidence (0–1) below which a label counts for nothing.
        """
        if self._label_info is None:
            return
        message = LabelInfo(threshold=threshold)
        message.header.stamp = time_message(now_ns)
        message.header.frame_id = frame_id
        message.class_map = [VisionClass(class_id=i, class_name=name) for i, name in enumerate(names)]
        self._label_info.publish(message)

    def publish_camera_info(self, make: Callable[[], CameraInfo | None]) -> None:
        """A calibration that fits ``labels``; ``make`` is called only while somebody subscribes."""
        if self._camera_info.get_subscription_count() > 0 and (message := make()) is not None:
            self._camera_info.publish(message)

    @property
    def wants_points(self) -> bool:
        """Whether somebody subscribes to ``points``."""
        return bool(self._points.get_subscription_count() > 0)

    def publish_points(self, points_HW: NDArray[np.void], header: Any) -> None:
        """The organised cloud of one image, with that image's header."""
        self._points.publish(self._cloud.message(points_HW, header))
