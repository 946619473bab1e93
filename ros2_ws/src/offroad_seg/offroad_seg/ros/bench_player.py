# SPDX-License-Identifier: Apache-2.0
"""``bench --level ros``: a camera that publishes at a fixed rate, the real node, and whoever waits for its labels."""

from __future__ import annotations

import array
import struct
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rclpy
from rclpy.context import Context
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image

from offroad_seg.bench.playing import Run, frames_of
from offroad_seg.bench.workloads import MOUNT, focal_length
from offroad_seg.errors import EngineError
from offroad_seg.ros.dds import use_large_image_profile
from offroad_seg.ros.executor import FrameExecutor
from offroad_seg.ros.messages import header_message
from offroad_seg.ros.replay_node import NAMESPACE, ReplayNode, own_domain
from offroad_seg.ros.waits import ANSWER_S, SETTLE_S
from offroad_seg.sensor_messages import joined_ns, split_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

_FRAME = "camera_optical"
_LAST_S = 1.0  # for the answers to the last frames of a run
# Behind the four bytes of the encapsulation, a header begins with seconds and nanoseconds (CDR, little-endian).
_STAMP = struct.Struct("<iI")
_STAMP_AT = 4


class NodePlayer:
    """The node in a process and on a domain of its own; latency is from publishing an image to receiving its labels.

    Images go out, and labels come in, as bytes: what rclpy takes to make messages of them, or bytes of messages, would
    be this camera's time, not the node's. Calibrations follow their images, as from image_transport's CameraPublisher.

    The costmap is made in the base frame, so that no odometry has to be played.

    Args:
        bundle: The bundle's folder.
        images: uint8 RGB (H, W, 3), of one size.
        values: Parameters of the node.

    Attributes:
        pid: The node's process.
    """

    pid: int | None = None

    def __init__(self, bundle: Path, images: Sequence[NDArray[np.uint8]], values: dict[str, Any]) -> None:
        names = ("x", "y", "z", "roll", "pitch", "yaw")
        self._parameters = {
            **values,
            **{f"camera_mount.{name}": value for name, value in zip(names, MOUNT, strict=True)},
            "bundle": str(bundle.resolve()),
            "costmap_frame": "base_link",
            "autostart": True,
        }
        self._images = [bytearray(serialize_message(_message(image))) for image in images]
        self._info = _calibration(images[0].shape[1], images[0].shape[0])
        self._stack = ExitStack()
        self._received_s: dict[int, float] = {}

    def __enter__(self) -> NodePlayer:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def typical_hz(self, seconds: float) -> float:
        """See ``bench.plan.Player``: image for image, the next when the labels of the last have come."""
        taken: list[float] = []
        deadline = time.perf_counter() + seconds
        while len(taken) < 3 or time.perf_counter() < deadline:
            stamp, sent_s = self._publish(len(taken))
            self._spin_until(lambda stamp=stamp: stamp in self._received_s, ANSWER_S)  # type: ignore[misc]
            if stamp not in self._received_s:
                raise EngineError(
                    "the node does not answer", where="bench --level ros", mend="offroad-seg doctor"
                )
            taken.append(self._received_s[stamp] - sent_s)
        return 1.0 / sorted(taken)[len(taken) // 2]

    def play(self, rate_hz: float, seconds: float) -> Run:
        """See ``bench.plan.Player``."""
        count = frames_of(rate_hz, seconds)
        run = Run(rate_hz)
        stamps: dict[int, int] = {}
        begin = time.perf_counter() + 1.0 / rate_hz
        for number in range(count):
            due_s = begin + number / rate_hz
            self._spin_until(lambda: False, due_s - time.perf_counter())
            stamp, sent_s = self._publish(number)
            stamps[stamp] = number
            run.sent_s.append(sent_s)
        self._spin_until(lambda: all(s in self._received_s for s in stamps), _LAST_S)
        run.done_s = {stamps[s]: t for s, t in sorted(self._received_s.items()) if s in stamps}
        return run

    def _start(self) -> None:
        domain = self._stack.enter_context(own_domain())
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="offroad_seg_bench_")))
        use_large_image_profile()
        process = self._stack.enter_context(ReplayNode(self._parameters, domain, folder))
        self.pid = process.pid
        context = Context()
        rclpy.init(context=context, domain_id=domain)
        self._stack.callback(lambda: rclpy.try_shutdown(context=context))
        node = rclpy.create_node("bench", context=context, namespace=NAMESPACE)
        self._stack.callback(node.destroy_node)
        self._executor = FrameExecutor(context=context)
        self._stack.callback(self._executor.shutdown)
        self._executor.add_node(node)
        few = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE)
        self._image = node.create_publisher(Image, "image", qos_profile_sensor_data)
        self._calibration = node.create_publisher(CameraInfo, "camera_info", few)
        labels = node.create_subscription(Image, "labels", self._take, few, raw=True)
        self._executor.quick = lambda: (labels,)
        process.wait_until_configured()

        def connected() -> bool:
            labels = node.count_publishers(f"/{NAMESPACE}/labels")
            return bool(labels) and self._image.get_subscription_count() > 0

        if not self._spin_until(connected, ANSWER_S):
            raise EngineError(
                "the node and the camera do not find each other over DDS", mend="offroad-seg doctor"
            )
        self._publish(0)
        self._spin_until(lambda: False, SETTLE_S)

    def _publish(self, number: int) -> tuple[int, float]:
        """Send an image; its stamp, and when."""
        data = self._images[number % len(self._images)]
        stamp = time.time_ns()
        _STAMP.pack_into(data, _STAMP_AT, *split_ns(stamp))
        message = bytes(data)
        self._info.header = header_message(stamp, _FRAME)
        sent_s = time.perf_counter()
        self._image.publish(message)
        self._calibration.publish(self._info)
        return stamp, sent_s

    def _take(self, data: bytes) -> None:
        received_s = time.perf_counter()
        self._received_s[joined_ns(*_STAMP.unpack_from(data, _STAMP_AT))] = received_s

    def _spin_until(self, done: Callable[[], bool], seconds: float) -> bool:
        deadline = time.perf_counter() + seconds
        while not done():
            remaining = deadline - time.perf_counter()
            if remaining <= 0:
                return False
            self._executor.spin_once(timeout_sec=min(remaining, 0.2))
        return True


def _message(image_HWC: NDArray[np.uint8]) -> Image:
    height, width = image_HWC.shape[:2]
    data = array.array("B", image_HWC.tobytes())
    return Image(
        header=header_message(0, _FRAME),
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=data,
    )


def _calibration(width: int, height: int) -> CameraInfo:
    f, cx, cy = focal_length(width), (width - 1) / 2, (height - 1) / 2
    return CameraInfo(
        width=width,
        height=height,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=[f, 0.0, cx, 0.0, f, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[f, 0.0, cx, 0.0, 0.0, f, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )
