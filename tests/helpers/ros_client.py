# SPDX-License-Identifier: Apache-2.0
"""A vehicle for the node under test: publishes camera and odometry, and keeps what comes back."""

from __future__ import annotations

import array
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from nav_msgs.msg import OccupancyGrid, Odometry
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from offroad_seg.sensor_messages import stamp_ns

if TYPE_CHECKING:
    from collections.abc import Callable

    from offroad_seg.camera import CameraModel

OPTICAL = "camera_optical_frame"
RELIABLE = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(
    depth=20, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
_TOPICS = {"labels": Image, "confidence": Image, "overlay": Image}


class Client:
    """Use as a context manager. Call its methods from one thread.

    Args:
        listen: Which of labels, confidence and overlay to subscribe to; costmap and diagnostics always.
        namespace: Of its topics.
    """

    def __init__(self, listen: tuple[str, ...] = ("labels", "confidence"), namespace: str = "") -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node("test_vehicle", context=self._context, namespace=namespace)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.got: dict[str, list[Any]] = {name: [] for name in (*_TOPICS, "costmap", "diagnostics")}
        for name in listen:
            self.listen(name)
        self.node.create_subscription(OccupancyGrid, "costmap", self.got["costmap"].append, LATCHED)
        self.node.create_subscription(
            DiagnosticArray, "/diagnostics", self.got["diagnostics"].append, RELIABLE
        )
        self.image = self.node.create_publisher(Image, "image", RELIABLE)
        self.info = self.node.create_publisher(CameraInfo, "camera_info", RELIABLE)
        self.odom = self.node.create_publisher(Odometry, "odom", RELIABLE)
        self._last_ns = 0
        self._told_as = f"{namespace.strip('/')}/perception: ".lstrip("/")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def listen(self, name: str) -> Any:
        return self.node.create_subscription(_TOPICS[name], name, self.got[name].append, RELIABLE)

    def spin(self, seconds: float) -> None:
        self.spin_until(lambda: False, seconds)

    def spin_until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._executor.spin_once(timeout_sec=0.02)
        return True

    def connect(self) -> None:
        """Wait until the active node listens."""
        publishers = (self.image, self.info, self.odom)
        assert self.spin_until(lambda: all(p.get_subscription_count() > 0 for p in publishers), 15.0)

    def clear(self) -> None:
        for messages in self.got.values():
            messages.clear()

    def now_ns(self) -> int:
        """Now; never the same twice."""
        self._last_ns = max(time.time_ns(), self._last_ns + 1_000_000)
        return self._last_ns

    def send_info(self, camera: CameraModel, stamp: int | None = None, **changes: Any) -> None:
        message = CameraInfo(width=camera.width, height=camera.height, distortion_model=camera.model)
        message.d = [float(v) for v in camera.D]
        message.k = camera.K_33.ravel()
        set_header(message, stamp or self.now_ns(), OPTICAL)
        for name, value in changes.items():
            setattr(message, name, value)
        self.info.publish(message)

    def send_odometry(self, stamp: int, x: float = 0.0, y: float = 0.0, **changes: Any) -> None:
        message = Odometry(child_frame_id="base_link")
        set_header(message, stamp, "odom")
        message.pose.pose.position.x, message.pose.pose.position.y = x, y
        message.pose.pose.orientation.w = 1.0
        for name, value in changes.items():
            setattr(message, name, value)
        self.odom.publish(message)

    def send_image(self, image_HWC: np.ndarray, stamp: int | None = None, **changes: Any) -> int:
        stamp = self.now_ns() if stamp is None else stamp
        message = image_message(image_HWC, stamp)
        for name, value in changes.items():
            setattr(message, name, value)
        self.image.publish(message)
        return stamp

    def send_frame(self, image_HWC: np.ndarray, camera: CameraModel, x: float = 0.0, **changes: Any) -> int:
        """Camera info, odometry of the very stamp, and the image."""
        stamp = self.now_ns()
        self.send_info(camera, stamp)
        self.send_odometry(stamp, x)
        return self.send_image(image_HWC, stamp, **changes)

    def reply(self, image_HWC: np.ndarray, camera: CameraModel, topic: str = "labels", x: float = 0.0) -> Any:
        """Send frames until one is answered on ``topic``; returns that answer."""
        sent = set()
        for _ in range(50):
            sent.add(self.send_frame(image_HWC, camera, x))
            if self.spin_until(lambda: self.answer(topic, sent) is not None, 0.4):
                return self.answer(topic, sent)
        raise AssertionError(f"no {topic}; diagnostics: {self.status()}")

    def answer(self, topic: str, stamps: set[int]) -> Any:
        return next((m for m in self.got[topic] if stamp_ns(m.header) in stamps), None)

    def status(self) -> dict[str, tuple[int, str, dict[str, str]]]:
        """Component → level, message, values of the newest diagnostics of the node."""
        for array_ in reversed(self.got["diagnostics"]):
            ours = [s for s in array_.status if s.name.startswith(self._told_as)]
            if ours:
                return {
                    s.name.removeprefix(self._told_as): (
                        s.level[0],
                        s.message,
                        {v.key: v.value for v in s.values},
                    )
                    for s in ours
                }
        return {}

    def wait_status(
        self, component: str, condition: Callable[[int, str, dict[str, str]], bool], timeout_s: float = 5.0
    ):
        """Wait for diagnostics that fulfil a condition; returns that status."""

        def holds() -> bool:
            status = self.status().get(component)
            return status is not None and condition(*status)

        assert self.spin_until(holds, timeout_s), f"{component}: {self.status().get(component)}"
        return self.status()[component]

    def drops(self, component: str, cause: str) -> int:
        return int(self.status().get(component, (0, "", {}))[2].get(f"dropped.{cause}", 0))

    def set_parameter(self, name: str, value: Any) -> Any:
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        return self.call(SetParameters, "perception/set_parameters", request).results[0]

    def change_state(self, transition: int, timeout_s: float = 15.0) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        reply = self.call(ChangeState, "perception/change_state", request, timeout_s)
        return bool(reply.success)

    def state(self) -> str:
        return str(self.call(GetState, "perception/get_state", GetState.Request()).current_state.label)

    def call(self, kind: Any, name: str, request: Any, timeout_s: float = 10.0) -> Any:
        client = self.node.create_client(kind, name)
        try:
            assert self.spin_until(client.service_is_ready, timeout_s), f"no service {name}"
            future = client.call_async(request)
            if not self.spin_until(future.done, timeout_s):
                raise TimeoutError(f"{name} did not answer")
            return future.result()
        finally:
            self.node.destroy_client(client)


def set_header(message: Any, stamp: int, frame_id: str) -> None:
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 1_000_000_000)
    message.header.frame_id = frame_id


def image_message(image_HWC: np.ndarray, stamp: int, encoding: str = "rgb8") -> Image:
    height, width, channels = image_HWC.shape
    message = Image(height=height, width=width, encoding=encoding, step=width * channels)
    message.data = array.array("B", np.ascontiguousarray(image_HWC).tobytes())
    set_header(message, stamp, OPTICAL)
    return message


def pixels(message: Image) -> np.ndarray:
    """An output image as (H, W) or (H, W, 3)."""
    channels = {"mono8": 1, "rgb8": 3}[message.encoding]
    assert message.step == message.width * channels
    image = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, channels)
    return image[..., 0] if channels == 1 else image


def cells(message: OccupancyGrid) -> np.ndarray:
    """A grid as (H, W) int8."""
    return np.frombuffer(message.data, np.int8).reshape(message.info.height, message.info.width)
