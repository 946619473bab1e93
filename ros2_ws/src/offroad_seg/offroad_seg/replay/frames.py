# SPDX-License-Identifier: Apache-2.0
"""From a bag's messages to frames with calibration, poses and truth, in the order of the bag.

The reader runs a little ahead of the frame that it gives out, so that odometry and truth which were recorded after
the image are there when its poses are interpolated. Memory is bounded: a few undecoded images and ten seconds of poses.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.errors import BagError, CameraError, ImageError, TransformError
from offroad_seg.replay.calibrations import Calibrations
from offroad_seg.replay.poses import PoseHistory
from offroad_seg.replay.topics import TF, camera_name
from offroad_seg.sensor_messages import camera_from_info, compressed_to_rgb, image_to_rgb, stamp_ns
from offroad_seg.types import Costmap, Frame, GridSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from offroad_seg.replay.bag import Bag, BagMessage
    from offroad_seg.replay.topics import Topics
    from offroad_seg.transforms import Transform

LOOK_AHEAD_NS = 500_000_000
MAX_PENDING = 64
TIME_RAN_BACK_NS = 1_000_000_000
TF_TOPICS = ("/tf", "/tf_static")


@dataclass(frozen=True)
class BagFrame:
    """One image of the bag with all that belongs to it.

    Attributes:
        index: Number of the image message on its topic, from 0.
        frame: The decoded image.
        message: The image as it lies in the bag.
        base_T_camera: At the image's stamp, or None.
        odom_T_base: At the image's stamp, or None.
        no_pose_reason: Why one of them is None.
        truth_HW: True class ids (uint8, 255 unlabelled), or None.
        others: The bag's other messages (calibration, poses) that were read since the frame before.
        time_ran_back: The stamps jumped back: whatever was fused belongs to another time.
        no_camera_reason: Why there is no calibration.
        camera: Name of the camera.
    """

    index: int
    frame: Frame
    message: BagMessage
    base_T_camera: Transform | None
    odom_T_base: Transform | None
    no_pose_reason: str
    truth_HW: NDArray[np.uint8] | None
    others: tuple[BagMessage, ...] = ()
    time_ran_back: bool = False
    no_camera_reason: str = ""
    camera: str = ""


@dataclass(frozen=True)
class Drop:
    """An image that gave no result.

    Attributes:
        index: Number of the image message on its topic.
        stamp_ns: Its stamp, or its time of recording where it could not be read.
        cause: One word, for counting.
        reason: In words.
        camera: Name of the camera.
    """

    index: int
    stamp_ns: int
    cause: str
    reason: str
    camera: str = ""


@dataclass
class _Pending:
    index: int
    message: BagMessage
    others: list[BagMessage] = field(default_factory=list)


class FrameSource:
    """Gives the frames of a bag, one after the other.

    Args:
        bag: The open bag.
        topics: What to read.
        base_frame: The vehicle's frame; None takes the odometry's child frame, else base_link.
        odom_frame: None takes the odometry's frame, else odom.
        mount: ``base_T_camera`` where the bag's transforms shall not be asked.
    """

    def __init__(
        self,
        bag: Bag,
        topics: Topics,
        *,
        base_frame: str | None = None,
        odom_frame: str | None = None,
        mount: Transform | None = None,
    ) -> None:
        self.bag, self.topics = bag, topics
        odometry = bag.first(topics.odometry.name) if topics.odometry else None
        self.base_frame = (
            base_frame or (odometry.child_frame_id.lstrip("/") if odometry else "") or "base_link"
        )
        self.odom_frame = odom_frame or (odometry.header.frame_id.lstrip("/") if odometry else "") or "odom"
        self._mount = mount
        self._poses = PoseHistory()
        self.tail: list[BagMessage] = []
        self._camera = camera_name(topics.image.name)
        self._read_statics()
        self._calibrations = Calibrations()
        self._truths: dict[int, BagMessage] = {}
        self._last_ns: int | None = None

    def frames(self) -> Iterator[BagFrame | Drop]:
        """Every image of the topic, in order."""
        names = {t.name for t in (self.topics.image, self.topics.camera_info, self.topics.odometry) if t}
        truth = self.topics.truth.name if self.topics.truth else None
        names |= {name for name in TF_TOPICS if name in self.bag.topics} | ({truth} if truth else set())
        pending: deque[_Pending] = deque()
        others: list[BagMessage] = []
        index = 0
        for message in self.bag.messages(names):
            if message.topic == self.topics.image.name:
                pending.append(_Pending(index, message, others))
                others, index = [], index + 1
            elif message.topic == truth:
                self._truths[self._stamp(message)] = message
            else:
                decoded = self.bag.deserialize(message)
                if self._poses.jumps_back(decoded):
                    # What waits belongs to the time before the jump, and so do the poses.
                    while pending:
                        yield self._release(pending.popleft())
                    self._poses.clear()
                    self._calibrations.clear()
                self._feed(message, decoded)
                others.append(message)
            while pending and (
                message.log_time_ns > pending[0].message.log_time_ns + LOOK_AHEAD_NS
                or len(pending) > MAX_PENDING
            ):
                yield self._release(pending.popleft())
        while pending:
            yield self._release(pending.popleft())
        self.tail = others

    @property
    def has_odometry(self) -> bool:
        """Whether the bag may say where the vehicle was: by odometry, or by transforms that move."""
        tf = self.bag.topics.get("/tf")
        return self.topics.odometry is not None or (tf is not None and tf.count > 0)

    def statics(self) -> list[BagMessage]:
        """The messages of /tf_static."""
        return list(self.bag.messages(["/tf_static"]))

    def true_costmap(self) -> Costmap | None:
        """The world's true grid, or None."""
        if self.topics.grid is None:
            return None
        message = self.bag.first(self.topics.grid.name)
        info = message.info
        origin = info.origin
        if abs(origin.orientation.z) > 1e-6:
            raise BagError(
                "a true costmap that is turned cannot be scored", where=f"topic {self.topics.grid.name}"
            )
        grid = GridSpec(
            int(info.width),
            int(info.height),
            float(info.resolution),
            float(origin.position.x),
            float(origin.position.y),
        )
        cost_HW = np.asarray(message.data, np.int8).reshape(grid.height, grid.width)
        return Costmap(cost_HW, grid, message.header.frame_id.lstrip("/"), stamp_ns(message.header))

    def check_calibration(self) -> None:
        """Look at the first CameraInfo before the work begins.

        Raises:
            CameraError: It cannot be used.
        """
        if self.topics.camera_info is not None:
            try:
                camera_from_info(self.bag.first(self.topics.camera_info.name))
            except CameraError as error:
                where = ", ".join(w for w in (f"topic {self.topics.camera_info.name}", error.where) if w)
                mend = f"{error.mend}; or replay without a costmap: --camera-info none"
                raise CameraError(error.what, where=where, mend=mend.lstrip("; ")) from None

    def _read_statics(self) -> None:
        # Ahead of everything: a bag that was cut out of a longer one may hold them late.
        for message in self.statics():
            self._feed(message, self.bag.deserialize(message))

    def _stamp(self, message: BagMessage) -> int:
        return stamp_ns(self.bag.deserialize(message).header)

    def _feed(self, message: BagMessage, decoded: Any) -> None:
        if message.msgtype == TF:
            self._poses.add_transforms(decoded.transforms, static=message.topic == "/tf_static")
        elif self.topics.odometry and message.topic == self.topics.odometry.name:
            self._poses.add_odometry(decoded)
        else:
            self._calibrations.add(decoded)

    def _release(self, waiting: _Pending) -> BagFrame | Drop:
        message = waiting.message
        try:
            decoded = self.bag.deserialize(message)
            stamp = stamp_ns(decoded.header)
            back, drop = self._order(waiting.index, stamp)
            if drop:
                return drop
            image_HWC = compressed_to_rgb(decoded) if self.topics.compressed else image_to_rgb(decoded)
        except (ImageError, BagError) as error:
            return Drop(waiting.index, message.log_time_ns, "bad_image", error.one_line(), self._camera)
        frame_id = decoded.header.frame_id.lstrip("/")
        camera, no_camera = self._calibrations.at(stamp, *image_HWC.shape[:2])
        base_T_camera, odom_T_base, reason = self._look_up(frame_id, stamp)
        return BagFrame(
            index=waiting.index,
            frame=Frame(image_HWC, stamp, frame_id, camera),
            message=message,
            base_T_camera=base_T_camera,
            odom_T_base=odom_T_base,
            no_pose_reason=reason,
            truth_HW=self._truth(stamp, image_HWC.shape[:2]),
            others=tuple(waiting.others),
            time_ran_back=back,
            no_camera_reason=no_camera,
            camera=self._camera,
        )

    def _order(self, index: int, stamp: int) -> tuple[bool, Drop | None]:
        last = self._last_ns
        if last is not None and last - TIME_RAN_BACK_NS < stamp <= last:
            return False, Drop(
                index, stamp, "out_of_order", "its stamp is not newer than the one before", self._camera
            )
        self._last_ns = stamp
        return last is not None and stamp <= last, None

    def _look_up(self, camera_frame: str, stamp: int) -> tuple[Transform | None, Transform | None, str]:
        base_T_camera, odom_T_base, reasons = self._mount, None, []
        if base_T_camera is None:
            try:
                base_T_camera = self._poses.lookup(self.base_frame, camera_frame, stamp)
            except TransformError as error:
                reasons.append(error.one_line())
        try:
            odom_T_base = self._poses.lookup(self.odom_frame, self.base_frame, stamp)
        except TransformError as error:
            reasons.append(error.one_line())
        return base_T_camera, odom_T_base, "; ".join(reasons)

    def _truth(self, stamp: int, size: tuple[int, int]) -> NDArray[np.uint8] | None:
        message = self._truths.pop(stamp, None)
        for old in [s for s in self._truths if s < stamp]:
            del self._truths[old]
        if message is None:
            return None
        decoded = self.bag.deserialize(message)
        truth = np.asarray(decoded.data, np.uint8)
        if decoded.encoding not in ("mono8", "8UC1") or (decoded.height, decoded.width) != size:
            raise BagError(
                f"the truth is {decoded.encoding} {decoded.width}×{decoded.height}, not mono8 {size[1]}×{size[0]}",
                where=f"topic {message.topic}",
                mend="record class ids as mono8 at the image's size, or --truth none",
            )
        rows: NDArray[np.uint8] = truth.reshape(decoded.height, decoded.step)[:, : decoded.width]
        return rows
