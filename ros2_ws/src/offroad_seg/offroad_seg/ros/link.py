# SPDX-License-Identifier: Apache-2.0
"""The DDS side of ``replay --via-ros``: publishes what the bag holds, and waits for what comes back."""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

import rclpy
from lifecycle_msgs.srv import GetState
from nav_msgs.msg import Odometry
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from offroad_seg.errors import EngineError
from offroad_seg.ros.messages import header_message, time_message
from offroad_seg.ros.played_camera import PlayedCamera
from offroad_seg.ros.recorder import Answer, Recorder
from offroad_seg.ros.rules import plain_name
from offroad_seg.ros.settings import AXES, MOUNT_PREFIX
from offroad_seg.ros.waits import COSTMAP_S, SETTLE_S
from offroad_seg.transforms import OPTICAL_QUATERNION_XYZW, Transform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from offroad_seg.replay.bag import BagMessage
    from offroad_seg.replay.frames import BagFrame, FrameSource
    from offroad_seg.ros.replay_node import ReplayNode


def has_tf() -> bool:
    """Whether tf2_msgs is installed, so that /tf can be played and is read by the node."""
    return find_spec("tf2_msgs") is not None


def mount_parameters(base_T_optical: Transform, camera: str = "") -> dict[str, float]:
    """``camera_mount.*`` of a camera whose optical frame is there, ``camera_mount.<camera>.*`` of one of several."""
    prefix = MOUNT_PREFIX + (f"{plain_name(camera)}." if camera else "")
    link = base_T_optical @ Transform.from_quaternion(OPTICAL_QUATERNION_XYZW).inverse()
    values = (*(float(v) for v in link.translation_3), *link.roll_pitch_yaw())
    return {prefix + axis: value for axis, value in zip(AXES, values)}  # noqa: B905 – both are six


def namespaces(source: FrameSource) -> dict[str, str]:
    """Camera → its topics' prefix at the node: none where there is one camera."""
    names = source.topics.names
    return {name: f"{name}/" if len(names) > 1 else "" for name in names}


class Link:
    """This process's ROS node: publishes what the bag holds and records what comes back.

    Args:
        source: The bag's topics.
        namespace: Of the node that is evaluated.
        domain: ROS domain.
        node: Its process, to notice its end.
        with_depth: Whether the node maps by depth.
    """

    def __init__(
        self, source: FrameSource, namespace: str, domain: int, node: ReplayNode, *, with_depth: bool = False
    ) -> None:
        self._source, self._process = source, node
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain)
        self._node = rclpy.create_node("replay", context=self._context, namespace=namespace)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        prefixes = namespaces(source)
        self.recorder = Recorder(self._node, namespace, prefixes)
        many = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE)
        latched = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=100,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        few = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE)
        make, topics = self._node.create_publisher, source.topics
        self._clock, self._odometry = make(Clock, "clock", few), make(Odometry, "odom", many)
        self._cameras = {
            c.name: PlayedCamera(
                make, c, prefixes[c.name], few=few, many=many, with_depth=with_depth and c.depth is not None
            )
            for c in topics.cameras
        }
        self._labels = [f"/{namespace}/{prefix}labels" for prefix in prefixes.values()]
        self._copies = {topics.odometry.name: self._odometry} if topics.odometry else {}
        if has_tf():
            from tf2_msgs.msg import TFMessage

            self._copies |= {
                "/tf": make(TFMessage, "tf", many),
                "/tf_static": make(TFMessage, "tf_static", latched),
            }
        self._question = self._node.create_client(GetState, "perception/get_state")
        self._pose_is_told = topics.odometry is not None or (has_tf() and "/tf" in source.bag.topics)

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def spin_for(self, seconds: float) -> None:
        """Receive for some time."""
        deadline = time.monotonic() + seconds
        while (remaining := deadline - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=min(remaining, 0.05))

    def settle(self) -> None:
        """Receive for a moment, and until the node has answered a question: it takes what was published before."""
        self.spin_for(SETTLE_S)
        if self._question.service_is_ready():
            answer = self._question.call_async(GetState.Request())
            if not self.spin_until(answer.done, COSTMAP_S):
                self._question.remove_pending_request(answer)

    def hear_diagnostics(self) -> None:
        """Receive until the node has told twice how it is; the first may have been on its way already."""
        told = self.recorder.diagnostics
        for _ in range(2):
            before, deadline = told.get("node"), time.monotonic() + COSTMAP_S
            while told.get("node") is before and time.monotonic() < deadline:
                self.spin_for(0.05)

    def spin_until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Receive until ``done()``; False if it did not come in time.

        Raises:
            EngineError: The node ended.
        """
        deadline = time.monotonic() + seconds
        while not done():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            self._executor.spin_once(timeout_sec=min(remaining, 0.2))
            self._process.check_alive()
        return True

    def wait_until_connected(self, deadline: float) -> None:
        """Wait until both sides know each other, so that the first frame is not lost.

        Raises:
            EngineError: They do not find each other.
        """
        inputs = [self._clock, self._odometry, *(p for c in self._cameras.values() for p in c.inputs)]

        def connected() -> bool:
            answers = all(self._node.count_publishers(topic) for topic in self._labels)
            return answers and all(p.get_subscription_count() > 0 for p in inputs)

        if not self.spin_until(connected, deadline - time.monotonic()):
            raise EngineError(
                "the node and the player do not find each other over DDS",
                mend="check that the loopback interface is up and no firewall blocks UDP on it; offroad-seg doctor",
            )
        self.spin_until(lambda: "node" in self.recorder.diagnostics, 3.0)
        for message in self._source.statics():
            self.copy(message)
        self.settle()

    def tell_time(self, at_ns: int) -> None:
        """Set the node's clock."""
        self._clock.publish(Clock(clock=time_message(at_ns)))

    def copy(self, message: BagMessage) -> None:
        """Publish one of the bag's calibrations or poses."""
        publisher = self._copies.get(message.topic)
        if publisher is not None:
            publisher.publish(bytes(message.data))
        for camera in self._cameras.values():
            camera.copy(message)

    def calibration_changed(self, messages: Iterable[BagMessage]) -> bool:
        """Whether these hold a CameraInfo that says something new: the node must have it before the image."""
        messages = list(messages)
        # Every camera is asked: each remembers what it was told.
        changed = {name for name, camera in self._cameras.items() if camera.calibration_changed(messages)}
        return bool(changed)

    def tell_calibration(self, item: BagFrame) -> bool:
        """Publish the calibration of an image where the bag's own does not come before it."""
        return self._cameras[item.camera].tell_calibration(item)

    def send(self, item: BagFrame) -> Answer:
        """Publish an image; its answers are collected from now on."""
        if not self._pose_is_told and item.odom_T_base is not None:
            self._odometry.publish(self._odometry_of(item))
        answer = self.recorder.answers[_key(item)] = Answer(time.monotonic())
        self._cameras[item.camera].send(item)
        return answer

    def forget(self, item: BagFrame) -> None:
        """Collect no more answers to an image."""
        del self.recorder.answers[_key(item)]

    def _odometry_of(self, item: BagFrame) -> Odometry:
        pose = item.odom_T_base
        assert pose is not None
        message = Odometry(
            header=header_message(item.frame.stamp_ns, self._source.odom_frame),
            child_frame_id=self._source.base_frame,
        )
        place, turn = message.pose.pose.position, message.pose.pose.orientation
        place.x, place.y, place.z = (float(v) for v in pose.translation_3)
        turn.x, turn.y, turn.z, turn.w = (float(v) for v in pose.quaternion_xyzw())
        return message


def _key(item: BagFrame) -> tuple[str, int]:
    return item.camera, item.frame.stamp_ns
