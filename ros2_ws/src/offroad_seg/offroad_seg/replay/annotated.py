# SPDX-License-Identifier: Apache-2.0
"""``annotated.mcap``: the drive with what the network saw, in standard types, for Foxglove and ``ros2 bag play``."""

from __future__ import annotations

import heapq
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.overlay import overlay_image
from offroad_seg.replay.annotated_messages import (
    ERROR,
    LABEL_INFO,
    Messages,
    encode_jpeg,
    message_store,
    told_of,
)
from offroad_seg.replay.topics import COMPRESSED, GRID
from offroad_seg.replay.waiting import LOOK_AHEAD_NS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg.replay.annotated_messages import Status
    from offroad_seg.replay.bag import BagMessage
    from offroad_seg.replay.frames import BagFrame, Drop, FrameSource
    from offroad_seg.types import Perception

__all__ = ["AnnotatedWriter", "encode_jpeg"]

NAME = "annotated.mcap"
ZSTD_LEVEL = -1


class AnnotatedWriter:
    """Writes the bag while the replay runs; memory stays at one chunk.

    Labels of one camera go to ``/labels``, those of several to ``/<camera>/labels``, and so on.

    Args:
        folder: Where ``annotated.mcap`` shall be.
        source: The bag: its topics, its frames, and the types of the messages that are copied.
        ontology: Names and colours.
    """

    def __init__(self, folder: Path, source: FrameSource, ontology: Ontology) -> None:
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
        from zstandard import ZstdCompressor

        self._folder, self._bag, self._ontology = folder, source.bag, ontology
        names = source.topics.names
        self._cameras = {camera.name: camera for camera in source.topics.cameras}
        self._prefixes = {name: f"/{name}" if len(names) > 1 else "" for name in names}
        self._frames = (source.base_frame, source.odom_frame)
        self._has_transforms = any(
            name in source.bag.topics and source.bag.topics[name].count for name in ("/tf", "/tf_static")
        )
        self._described: set[str] = set()
        self._newest_ns = 0
        self._store = message_store()
        self._make = Messages(self._store)
        self._connections: dict[str, Any] = {}
        self._waiting: list[tuple[int, int, str, str, bytes]] = []
        self._sequence = 0
        self._overlay_HWC: NDArray[np.uint8] = np.empty((0, 0, 3), np.uint8)
        self._work = folder / NAME.removesuffix(".mcap")
        # Version 9 writes QoS policies as words, which rosbag2 of Humble and Iron cannot read; Jazzy reads both.
        self._writer = Writer(self._work, version=8, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        # rosbags has no word for the level. It is a tenth larger than with its own, in half the time.
        self._writer.storage.compressor = ZstdCompressor(level=ZSTD_LEVEL).compress

    def copy(self, messages: tuple[BagMessage, ...] | list[BagMessage]) -> None:
        """Messages of the bag as they are."""
        for message in messages:
            self._push(message.log_time_ns, message.topic, message.msgtype, message.data)

    def add(self, bag_frame: BagFrame, perception: Perception) -> None:
        """One frame: the image as JPEG, all that was worked out of it, and the bag's own poses."""
        self.copy(bag_frame.others)
        at, frame, result = bag_frame.message.log_time_ns, bag_frame.frame, perception.segmentation
        header = self._make.header(frame.stamp_ns, frame.frame_id)
        camera, prefix = self._cameras[bag_frame.camera], self._prefixes[bag_frame.camera]
        image = camera.image.name.removesuffix("/compressed") + "/compressed"
        if bag_frame.message.msgtype == COMPRESSED:
            self._push(at, image, COMPRESSED, bag_frame.message.data)
        else:
            self._push_message(at, image, self._make.jpeg(frame.image_HWC, header))
        self._describe(at, bag_frame, header)
        self._push_message(at, f"{prefix}/labels", self._make.mono8(result.labels_HW, header))
        self._push_message(at, f"{prefix}/confidence", self._make.mono8(result.confidence_HW, header))
        if result.ood_HW is not None:
            self._push_message(at, f"{prefix}/ood", self._make.mono8(result.ood_HW, header))
        if self._overlay_HWC.shape != frame.image_HWC.shape:
            self._overlay_HWC = np.empty_like(frame.image_HWC)
        overlay_image(frame.image_HWC, result.labels_HW, self._ontology, out=self._overlay_HWC)
        self._push_message(at, f"{prefix}/overlay/compressed", self._make.jpeg(self._overlay_HWC, header))
        if bag_frame.truth_HW is not None:
            self._push_message(at, f"{prefix}/labels_truth", self._make.mono8(bag_frame.truth_HW, header))
        if perception.costmap is not None:
            self._push_message(at, "/costmap", self._make.grid(perception.costmap))
        told = told_of(bag_frame.camera, perception)
        self._push_message(at, "/diagnostics", self._make.diagnostics(frame.stamp_ns, told))
        self._flush(at - LOOK_AHEAD_NS)

    def drop(self, drop: Drop) -> None:
        """An image that gave nothing: diagnostics say why."""
        self.copy(drop.others)
        words = f"dropped ({drop.cause}): {drop.reason}"
        told: list[Status] = [(f"camera {drop.camera}", ERROR, words, {})]
        at = self._newest_ns or drop.stamp_ns
        self._push_message(at, "/diagnostics", self._make.diagnostics(drop.stamp_ns, told))

    def _describe(self, at: int, bag_frame: BagFrame, header: Any) -> None:
        """What the bag itself does not hold: names of the labels, a calibration from a file, poses as transforms."""
        frame, camera, name = bag_frame.frame, self._cameras[bag_frame.camera], bag_frame.camera
        first = name not in self._described
        self._described.add(name)
        self._newest_ns = max(at, self._newest_ns)
        if first:
            info = self._make.label_info(self._ontology.names, header)
            self._push_message(at, f"{self._prefixes[name]}/label_info", info)
        if camera.calibration is not None and frame.camera is not None:
            topic = camera.image.name.removesuffix("/compressed").rpartition("/")[0] + "/camera_info"
            self._push_message(at, topic, self._make.camera_info(frame.camera, header))
        if self._has_transforms:
            return
        base, odom = self._frames
        if bag_frame.odom_T_base is not None:
            pose = [(odom, base, bag_frame.odom_T_base)]
            self._push_message(at, "/tf", self._make.transforms(frame.stamp_ns, pose))
        if first and bag_frame.base_T_camera is not None and frame.frame_id:
            mount = [(base, frame.frame_id, bag_frame.base_T_camera)]
            self._push_message(at, "/tf_static", self._make.transforms(frame.stamp_ns, mount))

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
            latched = topic == "/tf_static" or msgtype in (GRID, LABEL_INFO)
            self._connections[topic] = self._writer.add_connection(
                topic, msgtype, typestore=store, offered_qos_profiles=[_latched()] if latched else []
            )
        return self._connections[topic]


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
