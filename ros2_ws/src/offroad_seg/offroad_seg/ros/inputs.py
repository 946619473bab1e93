# SPDX-License-Identifier: Apache-2.0
"""The node's subscriptions, from ``activate`` to ``deactivate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu

try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # the wheels do not have it: camera_mount.* and odometry stand in
    TFMessage = None

TF_INSTALLED = TFMessage is not None

if TYPE_CHECKING:
    from collections.abc import Callable

    from offroad_seg.ros.camera_source import CameraSource
    from offroad_seg.ros.session import Session


def _qos(depth: int, *, reliable: bool = False, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


class Inputs:
    """All subscriptions of an active node.

    Args:
        node: Owns them.
        session: Takes the messages.

    Attributes:
        subscriptions: Their callbacks take the message alone.
    """

    def __init__(self, node: Any, session: Session) -> None:
        self._node = node
        self.subscriptions: list[Any] = []
        self._compressed = node.get_parameter("image_transport").value == "compressed"
        for camera in session.cameras:
            self._subscribe_camera(session, camera)
        self._subscribe(Odometry, "odom", session.on_odometry, _qos(50))
        if node.get_parameter("attitude").value == "imu":
            self._subscribe(Imu, "imu", session.on_imu, _qos(50))
        if TFMessage is not None:
            transforms = _qos(100, reliable=True)
            latched = _qos(100, reliable=True, latched=True)
            self._keep(TFMessage, "/tf", lambda m: session.on_transforms(m, static=False), transforms)
            self._keep(TFMessage, "/tf_static", lambda m: session.on_transforms(m, static=True), latched)

    def destroy(self) -> None:
        """Unsubscribe."""
        for subscription in self.subscriptions:
            self._node.destroy_subscription(subscription)
        self.subscriptions = []

    def _subscribe_camera(self, session: Session, camera: CameraSource) -> None:
        prefix = f"{camera.name}/" if camera.name else ""
        topic, kind = f"{prefix}image", Image
        if self._compressed:
            # It follows a remapping of `image`.
            topic, kind = self._node.resolve_topic_name(topic) + "/compressed", CompressedImage
        self._subscribe(kind, topic, lambda m: session.on_image(camera, m), _qos(1))
        self._subscribe(CameraInfo, f"{prefix}camera_info", camera.calibration.put, _qos(1))
        if camera.pipeline.needs_depth:
            self._subscribe(Image, f"{prefix}depth", camera.put_depth, _qos(2))

    def _subscribe(self, kind: Any, topic: str, take: Callable[[Any], Any], qos: QoSProfile) -> None:
        self._keep(
            kind, topic, take, qos, qos_overriding_options=QoSOverridingOptions.with_default_policies()
        )

    def _keep(
        self, kind: Any, topic: str, take: Callable[[Any], Any], qos: QoSProfile, **options: Any
    ) -> None:
        self.subscriptions.append(self._node.create_subscription(kind, topic, take, qos, **options))
