# SPDX-License-Identifier: Apache-2.0
"""A vehicle for the node under test: publishes camera and odometry, and keeps what comes back."""

from __future__ import annotations

import array
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from offroad_seg.sensor_messages import stamp_ns
from tests.helpers.ros_services import PATIENCE_S, Services

if TYPE_CHECKING:
    from collections.abc import Callable

    from offroad_seg.camera import CameraModel

OPTICAL = "camera_optical_frame"
RELIABLE = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(
    depth=20, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
_TOPICS = {"labels": Image, "confidence": Image, "overlay": Image}


class Client(Services):
    """Use as a context manager. Call its methods from one thread.

    Args:
        listen: Which of labels, confidence and overlay to subscribe to; costmap and diagnostics always.
        namespace: Of its topics.
    """

    def __init__(self, listen: tuple[str, ...] = ("labels", "confidence"), namespace: str = "") -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        super().__init__()
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

    def spin_until(self, condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> bool:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._executor.spin_once(timeout_sec=0.02)
        return True

    def until(self, send: Callable[[], Any], condition: Callable[[], bool], again_s: float = 0.2) -> None:
        """Send, and send again after each ``again_s``, until something holds: a busy machine loses messages."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            send()
            if self.spin_until(condition, again_s):
                return
            assert time.monotonic() < deadline, f"it never held; diagnostics: {self.status()}"

    def connect(self) -> None:
        """Wait until the active node listens."""
        publishers = (self.image, self.info, self.odom)
        assert self.spin_until(lambda: all(p.get_subscription_count() > 0 for p in publishers))

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
        return self.answered(lambda: self.send_frame(image_HWC, camera, x), topic)

    def answered(self, send: Callable[[], int], topic: str = "costmap", again_s: float = 0.5) -> Any:
        """Let ``send`` send frames until one is answered on ``topic``; returns that answer.

        Args:
            send: Sends a frame; returns its stamp.
            topic: Of the answer.
            again_s: After so long without an answer the next is sent.
        """
        return self.answers(send, topic, again_s=again_s)[topic]

    def answers(self, send: Callable[[], int], *topics: str, again_s: float = 0.5) -> dict[str, Any]:
        """As ``answered``, for one frame on several topics: topic → its answer."""
        sent: list[int] = []

        def all_of_one() -> dict[str, Any]:
            for stamp in sent:
                found = {topic: self.answer(topic, {stamp}) for topic in topics}
                if None not in found.values():
                    return found
            return {}

        self.until(lambda: sent.append(send()), lambda: bool(all_of_one()), again_s)
        return all_of_one()

    def refused(
        self,
        send: Callable[[], int],
        fence: Callable[[], Any],
        component: str,
        cause: str,
        words: str = "",
        *,
        more: int = 1,
        again_s: float = 5.0,
    ) -> tuple[set[int], tuple[int, str, dict[str, str]]]:
        """Let ``send`` send frames until they are counted as dropped, with a reason; none may give a costmap.

        Args:
            send: Sends such a frame; returns its stamp.
            fence: Returns when a good frame, sent now, has been mapped: those before it have had their time.
            component: Of the diagnostics.
            cause: Under which they are counted.
            words: In the reason of this cause, which is in the component's message.
            more: So many are dropped at least.
            again_s: Time between two of them.

        Returns:
            The stamps of what was sent, and the status that told of it.
        """
        before = self.drops_by_now(component, cause)
        sent: set[int] = set()
        told: list[tuple[int, str, dict[str, str]]] = []

        def counted() -> bool:
            level, message, values = self.status().get(component, (0, "", {}))
            reason = values.get(f"dropped.{cause}.reason", "")
            enough = int(values.get(f"dropped.{cause}", 0)) >= before + more
            if enough and level >= 1 and reason in message and words in reason:
                told.append((level, message, values))
            return bool(told)

        self.until(lambda: sent.add(send()), counted, again_s)
        fence()
        assert self.answer("costmap", sent) is None
        return sent, told[-1]

    def answer(self, topic: str, stamps: set[int]) -> Any:
        return next((m for m in self.got[topic] if stamp_ns(m.header) in stamps), None)

    def status(self, since_ns: int = 0) -> dict[str, tuple[int, str, dict[str, str]]]:
        """Component → level, message, values of the newest diagnostics of the node that are not older than a time."""
        for array_ in reversed(self.got["diagnostics"]):
            ours = [s for s in array_.status if s.name.startswith(self._told_as)]
            if ours and stamp_ns(array_.header) < since_ns:
                return {}
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
        self,
        component: str,
        condition: Callable[[int, str, dict[str, str]], bool],
        since_ns: int | None = None,
    ) -> tuple[int, str, dict[str, str]]:
        """Wait for diagnostics that fulfil a condition; returns that status.

        Args:
            component: Whose.
            condition: Takes level, message and values.
            since_ns: Diagnostics of before this time do not count; None = of before this call. In the node's time.
        """
        since_ns = time.time_ns() if since_ns is None else since_ns
        found: list[tuple[int, str, dict[str, str]]] = []

        def holds() -> bool:
            status = self.status(since_ns).get(component)
            if status is not None and condition(*status):
                found.append(status)
            return bool(found)

        assert self.spin_until(holds), f"{component}: {self.status().get(component)}"
        return found[-1]

    def drops(self, component: str, cause: str) -> int:
        """As the newest diagnostics tell."""
        return int(self.status().get(component, (0, "", {}))[2].get(f"dropped.{cause}", 0))

    def drops_by_now(self, component: str, cause: str) -> int:
        """As diagnostics tell that are made after this call."""
        return int(self.wait_status(component, lambda *_: True)[2].get(f"dropped.{cause}", 0))


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
