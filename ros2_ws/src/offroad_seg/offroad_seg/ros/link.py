# SPDX-License-Identifier: Apache-2.0
"""The DDS side of ``replay --via-ros``: publishers of the bag's messages, and the two ways to pace them."""

from __future__ import annotations

import heapq
import queue
import threading
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import rclpy
from nav_msgs.msg import Odometry
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from offroad_seg.errors import EngineError
from offroad_seg.replay.frames import BagFrame, Drop
from offroad_seg.ros.messages import header_message, time_message
from offroad_seg.ros.player import ANSWER_S, COSTMAP_S, MAX_SILENT, SETTLE_S
from offroad_seg.ros.recorder import Answer, Recorder
from offroad_seg.transforms import OPTICAL_QUATERNION_XYZW, Transform

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from offroad_seg.replay.bag import BagMessage
    from offroad_seg.replay.frames import FrameSource
    from offroad_seg.ros.replay_node import ReplayNode
    from offroad_seg.types import Perception

    Items = Iterable[BagFrame | Drop]
    Result = tuple[BagFrame, Perception] | Drop
    Results = Iterator[Result]

_CLOCK_STEP_S = 0.01
_LATE_S = 3.0
_QUEUED = 1000


def has_tf() -> bool:
    """Whether tf2_msgs is installed, so that /tf can be played and is read by the node."""
    return find_spec("tf2_msgs") is not None


def mount_parameters(base_T_optical: Transform) -> dict[str, float]:
    """``camera_mount.*`` of a camera whose optical frame is there."""
    link = base_T_optical @ Transform.from_quaternion(OPTICAL_QUATERNION_XYZW).inverse()
    names = ("x", "y", "z", "roll", "pitch", "yaw")
    values = (*(float(v) for v in link.translation_3), *link.roll_pitch_yaw())
    return {f"camera_mount.{name}": value for name, value in zip(names, values)}  # noqa: B905 – both are six


class Link:
    """This process's ROS node: publishes what the bag holds and records what comes back.

    Args:
        source: The bag's topics.
        namespace: Of the node that is evaluated.
        domain: ROS domain.
        node: Its process, to notice its end.
    """

    def __init__(self, source: FrameSource, namespace: str, domain: int, node: ReplayNode) -> None:
        self._source, self._namespace, self._process = source, namespace, node
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain)
        self._node = rclpy.create_node("replay", context=self._context, namespace=namespace)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.recorder = Recorder(self._node, namespace)
        many = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE)
        latched = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=100,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        few = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE)
        make, topics = self._node.create_publisher, source.topics
        compressed = topics.compressed
        self._clock = make(Clock, "clock", few)
        self._image = make(
            CompressedImage if compressed else Image, "image/compressed" if compressed else "image", few
        )
        self._info, self._odometry = make(CameraInfo, "camera_info", many), make(Odometry, "odom", many)
        self._copies = {
            t.name: p for t, p in ((topics.camera_info, self._info), (topics.odometry, self._odometry)) if t
        }
        if has_tf():
            from tf2_msgs.msg import TFMessage

            self._copies |= {
                "/tf": make(TFMessage, "tf", many),
                "/tf_static": make(TFMessage, "tf_static", latched),
            }
        self._pose_is_told = topics.odometry is not None or (has_tf() and "/tf" in source.bag.topics)
        self._last_info = b""

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

    def spin_until(self, done: Any, seconds: float) -> bool:
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
        inputs = [self._clock, self._image, self._info, self._odometry]

        def connected() -> bool:
            labels = self._node.count_publishers(f"/{self._namespace}/labels")
            return bool(labels) and all(p.get_subscription_count() > 0 for p in inputs)

        if not self.spin_until(connected, deadline - time.monotonic()):
            raise EngineError(
                "the node and the player do not find each other over DDS",
                mend="check that the loopback interface is up and no firewall blocks UDP on it; offroad-seg doctor",
            )
        self.spin_until(lambda: "node" in self.recorder.diagnostics, 3.0)
        for message in self._source.statics():
            self.copy(message)
        self.spin_for(SETTLE_S)

    def tell_time(self, at_ns: int) -> None:
        """Set the node's clock."""
        self._clock.publish(Clock(clock=time_message(at_ns)))

    def copy(self, message: BagMessage) -> None:
        """Publish one of the bag's calibrations or poses."""
        publisher = self._copies.get(message.topic)
        if publisher is not None:
            publisher.publish(bytes(message.data))

    def calibration_changed(self, messages: Iterable[BagMessage]) -> bool:
        """Whether these hold a CameraInfo that says something new: the node must have it before the image."""
        changed = False
        topic = self._source.topics.camera_info
        for message in messages:
            if topic is not None and message.topic == topic.name:
                # Behind the CDR header and the stamp.
                content = bytes(message.data[12:])
                changed, self._last_info = changed or content != self._last_info, content
        return changed

    def send(self, item: BagFrame) -> Answer:
        """Publish an image; its answers are collected from now on."""
        if not self._pose_is_told and item.odom_T_base is not None:
            self._odometry.publish(self._odometry_of(item))
        answer = self.recorder.answers[item.frame.stamp_ns] = Answer(time.monotonic())
        self._image.publish(bytes(item.message.data))
        return answer

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


def play_in_step(link: Link, items: Items) -> Results:
    """Each image when the node has answered the one before."""
    silent = missed_costmaps = 0
    for item in items:
        if isinstance(item, Drop):
            yield item
            continue
        if item.time_ran_back:
            link.tell_time(item.frame.stamp_ns)
            link.spin_for(SETTLE_S)
        wait = link.calibration_changed(item.others)
        for message in item.others:
            link.copy(message)
        link.tell_time(item.frame.stamp_ns)
        if wait:
            link.spin_for(SETTLE_S)
        answer = link.send(item)
        if not link.spin_until(lambda a=answer: a.has_labels, ANSWER_S if silent == 0 else 2.0):
            silent += 1
            if silent >= MAX_SILENT:
                raise EngineError(f"the node has answered none of {silent} frames in a row")
            del link.recorder.answers[item.frame.stamp_ns]
            yield Drop(item.index, item.frame.stamp_ns, "no_answer", f"no labels within {ANSWER_S:g} s")
            continue
        silent = 0
        expected = item.frame.camera is not None and item.base_T_camera is not None
        limit = COSTMAP_S if expected and missed_costmaps < MAX_SILENT else 0.05
        came = link.spin_until(lambda a=answer: "costmap" in a.messages, limit)
        missed_costmaps = 0 if came or not expected else missed_costmaps + 1
        del link.recorder.answers[item.frame.stamp_ns]
        yield item, answer.perception(_no_costmap(item))


def play_in_time(link: Link, items: Items, rate: float) -> Results:
    """The bag's own times; what the node does not answer is dropped.

    A thread plays and records, so that evaluating a frame never delays the next.
    """
    results: queue.Queue[Result | BaseException | None] = queue.Queue(maxsize=_QUEUED)
    stop = threading.Event()

    def play() -> None:
        try:
            _play(link, items, rate, results.put, stop)
            results.put(None)
        except BaseException as error:  # noqa: BLE001 – raised again below
            results.put(error)

    thread = threading.Thread(target=play, name="player", daemon=True)
    thread.start()
    try:
        while (result := results.get()) is not None:
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        stop.set()
        while thread.is_alive():
            while not results.empty():
                results.get_nowait()
            thread.join(0.05)


def _play(link: Link, items: Items, rate: float, put: Any, stop: threading.Event) -> None:
    events: list[tuple[int, int, BagMessage]] = []
    waiting: list[tuple[BagFrame, Answer]] = []
    start_s, start_ns, number = 0.0, 0, 0

    def pace(until_ns: int) -> None:
        # Poses were read ahead of the image; each goes out at its own time.
        while not stop.is_set():
            now_ns = start_ns + int((time.monotonic() - start_s) * rate * 1e9)
            while events and events[0][0] <= min(now_ns, until_ns):
                link.copy(heapq.heappop(events)[2])
            link.tell_time(min(now_ns, until_ns))
            if now_ns >= until_ns:
                return
            link.spin_for(min(_CLOCK_STEP_S, (until_ns - now_ns) / rate / 1e9))
            _settle(link, waiting, put)

    for item in items:
        if stop.is_set():
            return
        if isinstance(item, Drop):
            put(item)
            continue
        at_ns = item.message.log_time_ns
        if number == 0 or item.time_ran_back:
            start_s, start_ns = time.monotonic(), at_ns
            link.tell_time(at_ns)
            for message in item.others:
                link.copy(message)
            link.spin_for(SETTLE_S)
            start_s = time.monotonic()
        else:
            for message in item.others:
                number += 1
                heapq.heappush(events, (message.log_time_ns, number, message))
        number += 1
        pace(at_ns)
        waiting.append((item, link.send(item)))
    deadline = time.monotonic() + _LATE_S
    while waiting and time.monotonic() < deadline + _LATE_S and not stop.is_set():
        link.spin_for(_CLOCK_STEP_S)
        _settle(link, waiting, put)


def _settle(link: Link, waiting: list[tuple[BagFrame, Answer]], put: Any) -> None:
    """Hand on, in order, what is answered, and what will not be any more."""
    while waiting:
        item, answer = waiting[0]
        old = time.monotonic() - answer.sent_s > _LATE_S
        later = any(a.has_labels for _, a in waiting[1:])
        if not (old or later or (answer.has_labels and "costmap" in answer.messages)):
            return
        waiting.pop(0)
        del link.recorder.answers[item.frame.stamp_ns]
        if answer.has_labels:
            put((item, answer.perception(_no_costmap(item))))
        else:
            reason = "the node gave no labels for it: too slow at this rate, or it came too late; see `node.reasons`"
            put(Drop(item.index, item.frame.stamp_ns, "not_answered", reason))


def _no_costmap(item: BagFrame) -> str:
    return item.no_camera_reason or item.no_pose_reason or "the node published no costmap for it"
