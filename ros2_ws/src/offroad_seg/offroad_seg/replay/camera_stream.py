# SPDX-License-Identifier: Apache-2.0
"""One camera of a bag: its images in order, with calibration, depth and true labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.errors import BagError, CameraError, ImageError
from offroad_seg.replay.calibrations import Calibrations
from offroad_seg.replay.camera_file import read_camera_file
from offroad_seg.replay.true_masks import TrueMasks
from offroad_seg.sensor_messages import (
    camera_from_info,
    compressed_to_rgb,
    depth_to_metres,
    image_to_rgb,
    stamp_ns,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg.replay.bag import Bag, BagMessage
    from offroad_seg.replay.topics import CameraTopics

TIME_RAN_BACK_NS = 1_000_000_000
_KEPT = 128


class CameraStream:
    """Keeps what the bag says of one camera until the image that it belongs to is asked for.

    Args:
        bag: The open bag.
        topics: The camera's.
        ontology: Reads true labels from files, where ``topics`` names a folder of them.

    Attributes:
        problem: Why a depth image could not be used, the first one.
    """

    def __init__(self, bag: Bag, topics: CameraTopics, ontology: Ontology | None = None) -> None:
        self.topics = topics
        self._bag = bag
        self._masks = TrueMasks(topics.masks, ontology) if topics.masks and ontology else None
        self._fixed = None if topics.calibration is None else read_camera_file(topics.calibration)
        self.problem = ""
        self.restart()

    def restart(self) -> None:
        """Begin before the first message again."""
        self.calibrations = Calibrations(self._fixed)
        self._truths: dict[int, BagMessage] = {}
        self._depths: dict[int, BagMessage] = {}
        self._last_ns: int | None = None

    def check_calibration(self) -> None:
        """Look at the first CameraInfo before the work begins.

        Raises:
            CameraError: It cannot be used.
        """
        topic = self.topics.camera_info
        first = None if topic is None else self._bag.first(topic.name)
        if topic is None or first is None:
            return
        try:
            camera_from_info(first)
        except CameraError as error:
            where = ", ".join(w for w in (f"topic {topic.name}", error.where) if w)
            mend = f"{error.mend}; or replay without a costmap: --camera-info none"
            raise CameraError(error.what, where=where, mend=mend.lstrip("; ")) from None

    def beside(self) -> set[str]:
        """The topics that are read beside the images."""
        t = self.topics
        return {topic.name for topic in (t.camera_info, t.truth, t.depth) if topic is not None}

    def keep(self, message: BagMessage) -> bool:
        """Take a message of ``beside``; False where it is not this camera's, or a calibration.

        A calibration is copied to the results too, and so is told apart.
        """
        topics = self.topics
        for topic, kept in ((topics.truth, self._truths), (topics.depth, self._depths)):
            if topic is not None and message.topic == topic.name:
                kept[stamp_ns(self._bag.deserialize(message).header)] = message
                if len(kept) > _KEPT:
                    del kept[next(iter(kept))]
                return True
        return False

    def stamp(self, message: BagMessage) -> int | None:
        """An image's stamp; None where it cannot be read."""
        try:
            return stamp_ns(self._bag.deserialize(message).header)
        except BagError:
            return None

    def order(self, stamp: int, newest_ns: int | None) -> tuple[bool, str]:
        """Where a stamp lies after the one before.

        Args:
            stamp: Of an image.
            newest_ns: The newest stamp of all cameras.

        Returns:
            Whether time ran back; or why the image is out of order.
        """
        last = self._last_ns
        late = (last is not None and last - TIME_RAN_BACK_NS < stamp <= last) or (
            newest_ns is not None and newest_ns - TIME_RAN_BACK_NS < stamp < newest_ns
        )
        if late:
            return False, "its stamp is not newer than the one before"
        self._last_ns = stamp
        return newest_ns is not None and stamp < newest_ns, ""

    def forget_time(self) -> None:
        """Another camera's time ran back: whatever stamp comes next is in order."""
        self._last_ns = None

    def image(self, decoded: Any) -> NDArray[np.uint8]:
        """RGB (H, W, 3) of an image message.

        Raises:
            ImageError: It cannot be used.
        """
        return compressed_to_rgb(decoded) if self.topics.compressed else image_to_rgb(decoded)

    def depth(self, stamp: int, size: tuple[int, int]) -> NDArray[np.float32] | None:
        """The depth image of that stamp in metres, if there is one of the image's size."""
        message = _take(self._depths, stamp)
        if message is None:
            return None
        try:
            depth_HW = depth_to_metres(self._bag.deserialize(message))
        except (BagError, ImageError) as error:
            self.problem = self.problem or error.one_line()
            return None
        if depth_HW.shape != size:
            self.problem = self.problem or (
                f"the depth is {depth_HW.shape[1]}×{depth_HW.shape[0]}, its image {size[1]}×{size[0]}"
            )
            return None
        return depth_HW

    def truth(self, stamp: int, size: tuple[int, int]) -> NDArray[np.uint8] | None:
        """True class ids of the image of that stamp, or None.

        Raises:
            BagError: It is not mono8 of the image's size.
        """
        if self._masks is not None:
            return self._masks.at(stamp, size)
        message = _take(self._truths, stamp)
        if message is None:
            return None
        decoded = self._bag.deserialize(message)
        truth = np.asarray(decoded.data, np.uint8)
        if decoded.encoding not in ("mono8", "8UC1") or (decoded.height, decoded.width) != size:
            raise BagError(
                f"the truth is {decoded.encoding} {decoded.width}×{decoded.height}, not mono8 {size[1]}×{size[0]}",
                where=f"topic {message.topic}",
                mend="record class ids as mono8 at the image's size, or --truth none",
            )
        rows: NDArray[np.uint8] = truth.reshape(decoded.height, decoded.step)[:, : decoded.width]
        return rows


def _take(kept: dict[int, BagMessage], stamp: int) -> BagMessage | None:
    """The message of that stamp; it and those before it are forgotten."""
    found = kept.get(stamp)
    for old in [s for s in kept if s <= stamp]:
        del kept[old]
    return found
