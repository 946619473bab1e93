# SPDX-License-Identifier: Apache-2.0
"""Watching a running node: its topics over DDS to viewers over WebSocket, in a process of its own.

A topic is subscribed to only while somebody looks at it, because the node works out only what is subscribed to.
Pictures are asked for best effort and only the newest is kept: neither a slow viewer nor this process can hold up
the node.
"""

from __future__ import annotations

import signal
import threading
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from nav_msgs.msg import OccupancyGrid
from rcl_interfaces.srv import GetParameters
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, PointCloud2

from offroad_seg.errors import OffroadSegError
from offroad_seg.replay import live_messages as messages
from offroad_seg.replay.grid_message import costmap_of
from offroad_seg.ros.dds import use_large_image_profile
from offroad_seg.ros.live_decode import colors_of_bundle, points_of
from offroad_seg.ros.messages import stamped_transform
from offroad_seg.sensor_messages import compressed_to_rgb, image_to_rgb, stamp_ns

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from rclpy.node import Node

    from offroad_seg.replay.live_server import LiveServer

NEWEST = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
MOVING = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
STATICS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
FOLLOW_S = 0.25
SILENT_S = 3.0
_SPIN_S = 0.2
_IMAGES = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}


class LiveNode:
    """Follows what viewers want. All methods belong to the executor's thread.

    Args:
        node: Makes the subscriptions; in the namespace of the node that is watched.
        server: Where viewers are.
        image: The camera's topic.
        colors_2563: RGB of each class id; None asks the watched node for its bundle.
    """

    def __init__(
        self, node: Node, server: LiveServer, *, image: str, colors_2563: NDArray[np.uint8] | None
    ) -> None:
        self._node, self._server, self._image = node, server, image
        self._colors = messages.palette_256() if colors_2563 is None else colors_2563
        self._asking: Any = None
        self._client: Any = None
        if colors_2563 is None:
            self._client = node.create_client(GetParameters, "perception/get_parameters")
        self._subscriptions: dict[str, Any] = {}
        self._heard_s: dict[str, float] = {}
        self._warned: set[str] = set()
        self._statics: dict[str, Any] = {}
        self._takers: dict[str, tuple[Any, QoSProfile, Callable[[Any], None]]] = {
            "labels": (Image, NEWEST, self._on_labels),
            "overlay": (Image, NEWEST, lambda m: self._on_picture("overlay", m)),
            "confidence": (Image, NEWEST, self._on_confidence),
            "points": (PointCloud2, NEWEST, self._on_points),
            "costmap": (OccupancyGrid, LATCHED, self._on_costmap),
        }
        if find_spec("tf2_msgs") is not None:
            from tf2_msgs.msg import TFMessage

            node.create_subscription(TFMessage, "/tf_static", self._on_statics, STATICS)
            self._takers["tf"] = (TFMessage, MOVING, self._on_transforms)
        node.create_timer(FOLLOW_S, self.follow)

    def follow(self) -> None:
        """Subscribe to what is looked at, let go of the rest, and say what is silent."""
        self._ask_for_colors()
        for topic in ("image", *self._takers):
            wanted = self._server.wanted(topic)
            if wanted and topic not in self._subscriptions:
                self._subscribe(topic)
            elif not wanted and topic in self._subscriptions:
                self._node.destroy_subscription(self._subscriptions.pop(topic))
                self._say(topic, "")
            elif wanted:
                self._watch(topic)

    def _subscribe(self, topic: str) -> None:
        self._heard_s.setdefault(topic, time.monotonic())
        if topic == "image":
            kind = self._image_kind()
            if kind is None:
                self._watch(topic)
                return
            taker: Any = (kind, NEWEST, lambda m: self._on_picture("image", m))
        else:
            taker = self._takers[topic]
        self._heard_s[topic] = time.monotonic()
        name = {"image": self._image, "tf": "/tf"}.get(topic, topic)
        self._subscriptions[topic] = self._node.create_subscription(
            taker[0], name, lambda m: self._take(topic, taker[2], m), taker[1]
        )

    def _image_kind(self) -> Any:
        name = self._node.resolve_topic_name(self._image)
        kinds = {p.topic_type for p in self._node.get_publishers_info_by_topic(name)}
        return next((kind for text, kind in _IMAGES.items() if text in kinds), None)

    def _take(self, topic: str, take: Callable[[Any], None], message: Any) -> None:
        self._heard_s[topic] = time.monotonic()
        try:
            take(message)
        except OffroadSegError as error:
            self._say(topic, f"{topic}: {error.one_line()}")
        else:
            self._say(topic, "")

    def _watch(self, topic: str) -> None:
        # What is latched or static may rightly come only once.
        silent_s = time.monotonic() - self._heard_s[topic]
        if silent_s > SILENT_S and topic != "tf" and topic not in self._warned:
            name = self._node.resolve_topic_name({"image": self._image}.get(topic, topic))
            self._say(
                topic, f"nothing on {name} for {silent_s:.0f} s: what is shown is old, or nothing came yet"
            )

    def _say(self, topic: str, text: str) -> None:
        if text:
            self._warned.add(topic)
            self._server.warn(topic, text)
        elif topic in self._warned:
            self._warned.discard(topic)
            self._server.warn(topic, "")

    def _ask_for_colors(self) -> None:
        """Colours of the bundle that the node runs, where its folder can be read from here."""
        if self._client is None:
            return
        if self._asking is None and self._client.service_is_ready():
            self._asking = self._client.call_async(GetParameters.Request(names=["bundle"]))
        elif self._asking is not None and self._asking.done():
            answer = self._asking.result()
            path = answer.values[0].string_value if answer is not None and answer.values else ""
            found = colors_of_bundle(path)
            self._colors = self._colors if found is None else found
            self._node.destroy_client(self._client)
            self._client = None

    def _on_picture(self, topic: str, message: Any) -> None:
        rgb = compressed_to_rgb(message) if isinstance(message, CompressedImage) else image_to_rgb(message)
        at = stamp_ns(message.header)
        self._server.send(topic, messages.photo(rgb, at, message.header.frame_id), at)

    def _on_confidence(self, message: Any) -> None:
        at, grey_HW = stamp_ns(message.header), np.ascontiguousarray(image_to_rgb(message)[..., 0])
        self._server.send("confidence", messages.photo(grey_HW, at, message.header.frame_id), at)

    def _on_labels(self, message: Any) -> None:
        at, labels_HW = stamp_ns(message.header), np.ascontiguousarray(image_to_rgb(message)[..., 0])
        picture = messages.coloured(labels_HW, self._colors, at, message.header.frame_id)
        self._server.send("labels", picture, at)

    def _on_points(self, message: Any) -> None:
        at = stamp_ns(message.header)
        points_HW = points_of(message)
        self._server.send("points", messages.cloud(points_HW, self._colors, at, message.header.frame_id), at)

    def _on_costmap(self, message: Any) -> None:
        costmap = costmap_of(message, "costmap")
        self._server.send("costmap", messages.grid(costmap), costmap.stamp_ns)

    def _on_statics(self, message: Any) -> None:
        for one in message.transforms:
            self._statics[one.child_frame_id] = one

    def _on_transforms(self, message: Any) -> None:
        # A viewer that comes later has not heard the static ones: they go with the others each time.
        found = [stamped_transform(one) for one in (*self._statics.values(), *message.transforms)]
        self._server.send("tf", messages.transforms(found), max(stamp for _, _, stamp, _ in found))


def watch(
    server: LiveServer, *, namespace: str, image: str | None, colors_2563: NDArray[np.uint8] | None
) -> int:
    """Show a node until SIGINT or SIGTERM; the exit status.

    Args:
        server: Where viewers are.
        namespace: Of the node.
        image: The camera's topic; None is ``image`` below the namespace.
        colors_2563: RGB of each class id, or None.
    """
    use_large_image_profile()  # before rclpy is initialised: Fast DDS reads it once

    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    stop = threading.Event()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    executor = SingleThreadedExecutor()
    node = rclpy.create_node("offroad_seg_view", namespace=namespace)
    try:
        executor.add_node(node)
        LiveNode(node, server, image=image or "image", colors_2563=colors_2563)
        while not stop.is_set():
            executor.spin_once(timeout_sec=_SPIN_S)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0
