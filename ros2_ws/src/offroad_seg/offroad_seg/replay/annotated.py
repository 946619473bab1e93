# SPDX-License-Identifier: Apache-2.0
"""``annotated.mcap``: the drive with what the network saw, in standard types, for Foxglove and ``ros2 bag play``."""

from __future__ import annotations

import heapq
import shutil
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from offroad_seg.overlay import overlay_image
from offroad_seg.replay.frames import LOOK_AHEAD_NS
from offroad_seg.replay.topics import COMPRESSED, GRID, IMAGE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg.replay.bag import Bag, BagMessage
    from offroad_seg.replay.frames import BagFrame
    from offroad_seg.replay.topics import Topics
    from offroad_seg.types import Costmap, Perception

JPEG_QUALITY = 85
NAME = "annotated.mcap"
_NS = 1_000_000_000


class AnnotatedWriter:
    """Writes the bag while the replay runs; memory stays at one chunk.

    Args:
        folder: Where ``annotated.mcap`` shall be.
        bag: Gives the types of the messages that are copied.
        ontology: Colours of the overlay.
        topics: The cameras; a JPEG goes to ``<image topic>/compressed``. The labels of one camera go to ``/labels``,
            those of several to ``/<camera>/labels``, and so on.
    """

    def __init__(self, folder: Path, bag: Bag, ontology: Ontology, topics: Topics) -> None:
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
        from rosbags.typesys import Stores, get_typestore

        self._folder, self._bag, self._ontology = folder, bag, ontology
        self._images = {
            c.name: c.image.name.removesuffix("/compressed") + "/compressed" for c in topics.cameras
        }
        self._prefixes = {name: f"/{name}" if len(topics.names) > 1 else "" for name in topics.names}
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._connections: dict[str, Any] = {}
        self._waiting: list[tuple[int, int, str, str, bytes]] = []
        self._sequence = 0
        self._work = folder / NAME.removesuffix(".mcap")
        self._writer = Writer(self._work, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()

    def copy(self, messages: tuple[BagMessage, ...] | list[BagMessage]) -> None:
        """Messages of the bag as they are."""
        for message in messages:
            self._push(message.log_time_ns, message.topic, message.msgtype, message.data)

    def add(self, bag_frame: BagFrame, perception: Perception) -> None:
        """One frame: the image as JPEG, labels, confidence, overlay, costmap, and the bag's own poses."""
        self.copy(bag_frame.others)
        at, frame, result = bag_frame.message.log_time_ns, bag_frame.frame, perception.segmentation
        header = self._header(frame.stamp_ns, frame.frame_id)
        image, prefix = self._images[bag_frame.camera], self._prefixes[bag_frame.camera]
        if bag_frame.message.msgtype == COMPRESSED:
            self._push(at, image, COMPRESSED, bag_frame.message.data)
        else:
            self._push_message(at, image, self._jpeg(frame.image_HWC, header))
        self._push_message(at, f"{prefix}/labels", self._mono8(result.labels_HW, header))
        self._push_message(at, f"{prefix}/confidence", self._mono8(result.confidence_HW, header))
        overlay = overlay_image(frame.image_HWC, result.labels_HW, self._ontology)
        self._push_message(at, f"{prefix}/overlay/compressed", self._jpeg(overlay, header))
        if bag_frame.truth_HW is not None:
            self._push_message(at, f"{prefix}/labels_truth", self._mono8(bag_frame.truth_HW, header))
        if perception.costmap is not None:
            self._push_message(at, "/costmap", self._grid(perception.costmap))
        self._flush(at - LOOK_AHEAD_NS)

    def close(self) -> Path:
        """Finish the file; its path."""
        self._flush(None)
        self._writer.close()
        path = self._folder / NAME
        next(self._work.glob("*.mcap")).rename(path)
        shutil.rmtree(self._work)
        return path

    def _push_message(self, at: int, topic: str, message: Any) -> None:
        data = self._store.serialize_cdr(message, message.__msgtype__)
        self._push(at, topic, message.__msgtype__, data)

    def _push(self, at: int, topic: str, msgtype: str, data: bytes) -> None:
        self._sequence += 1
        heapq.heappush(self._waiting, (at, self._sequence, topic, msgtype, data))

    def _flush(self, until: int | None) -> None:
        # Poses are read ahead of their frame: they wait here, so that the file is in order of time.
        while self._waiting and (until is None or self._waiting[0][0] <= until):
            at, _, topic, msgtype, data = heapq.heappop(self._waiting)
            self._writer.write(self._connection(topic, msgtype), at, data)

    def _connection(self, topic: str, msgtype: str) -> Any:
        if topic not in self._connections:
            store = self._store if msgtype in self._store.fielddefs else self._bag.typestore
            latched = topic == "/tf_static" or msgtype == GRID
            self._connections[topic] = self._writer.add_connection(
                topic, msgtype, typestore=store, offered_qos_profiles=[_latched()] if latched else []
            )
        return self._connections[topic]

    def _header(self, stamp: int, frame_id: str) -> Any:
        types = self._store.types
        time = types["builtin_interfaces/msg/Time"](sec=stamp // _NS, nanosec=stamp % _NS)
        return types["std_msgs/msg/Header"](stamp=time, frame_id=frame_id)

    def _mono8(self, image_HW: NDArray[np.uint8], header: Any) -> Any:
        height, width = image_HW.shape
        return self._store.types[IMAGE](
            header=header,
            height=height,
            width=width,
            encoding="mono8",
            is_bigendian=0,
            step=width,
            data=np.ascontiguousarray(image_HW).ravel(),
        )

    def _jpeg(self, image_HWC: NDArray[np.uint8], header: Any) -> Any:
        data = encode_jpeg(image_HWC, JPEG_QUALITY)
        return self._store.types[COMPRESSED](header=header, format="jpeg", data=np.frombuffer(data, np.uint8))

    def _grid(self, costmap: Costmap) -> Any:
        types, grid = self._store.types, costmap.grid
        header = self._header(costmap.stamp_ns, costmap.frame_id)
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


def encode_jpeg(image_HWC: NDArray[np.uint8], quality: int) -> bytes:
    """RGB (H, W, 3) as JPEG."""
    bgr = cv2.cvtColor(image_HWC, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def _latched() -> Any:
    from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

    never = QosTime(0, 0)
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=1,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL,
        deadline=never,
        lifespan=never,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=never,
        avoid_ros_namespace_conventions=False,
    )
