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

from offroad_seg.errors import BagError, ImageError, TransformError
from offroad_seg.replay.camera_stream import CameraStream
from offroad_seg.replay.poses import PoseHistory
from offroad_seg.replay.topics import TF
from offroad_seg.sensor_messages import stamp_ns
from offroad_seg.types import Costmap, Frame, GridSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg.replay.bag import Bag, BagMessage
    from offroad_seg.replay.topics import Topics
    from offroad_seg.transforms import Transform

LOOK_AHEAD_NS = 500_000_000
MAX_PENDING = 64
TF_TOPICS = ("/tf", "/tf_static")


@dataclass(frozen=True)
class BagFrame:
    """One image of the bag with all that belongs to it.

    Attributes:
        index: Number of the image message among those of all cameras, in the order of the bag, from 0.
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
        other_HW: Class ids that another bundle gives the image (uint8, 255 unlabelled), or None.
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
    other_HW: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Drop:
    """An image that gave no result.

    Attributes:
        index: Number of the image message among those of all cameras.
        stamp_ns: Its stamp, or its time of recording where it could not be read.
        cause: One word, for counting.
        reason: In words.
        camera: Name of the camera.
        others: The bag's other messages that were read since the frame before.
    """

    index: int
    stamp_ns: int
    cause: str
    reason: str
    camera: str = ""
    others: tuple[BagMessage, ...] = ()


@dataclass(eq=False)
class _Pending:
    index: int
    stream: CameraStream
    message: BagMessage
    stamp_ns: int | None
    others: list[BagMessage] = field(default_factory=list)


class FrameSource:
    """Gives the frames of a bag, one after the other; those of several cameras in the order of their stamps.

    Args:
        bag: The open bag.
        topics: What to read.
        base_frame: The vehicle's frame; None takes the odometry's child frame, else base_link.
        odom_frame: None takes the odometry's frame, else odom.
        mount: ``base_T_camera`` where the bag's transforms shall not be asked.
        ontology: Reads true masks from files, where ``topics`` names a folder of them.
    """

    def __init__(
        self,
        bag: Bag,
        topics: Topics,
        *,
        base_frame: str | None = None,
        odom_frame: str | None = None,
        mount: Transform | None = None,
        ontology: Ontology | None = None,
    ) -> None:
        self.bag, self.topics = bag, topics
        odometry = bag.first(topics.odometry.name) if topics.odometry else None
        self.base_frame = (
            base_frame or (odometry.child_frame_id.lstrip("/") if odometry else "") or "base_link"
        )
        self.odom_frame = odom_frame or (odometry.header.frame_id.lstrip("/") if odometry else "") or "odom"
        self._mount = mount
        self.tail: list[BagMessage] = []
        self._streams = {camera.image.name: CameraStream(bag, camera, ontology) for camera in topics.cameras}
        self._restart()

    def _restart(self) -> None:
        self._poses = PoseHistory()
        self._newest_ns: int | None = None
        for stream in self._streams.values():
            stream.restart()
        # Ahead of everything: a bag that was cut out of a longer one may hold them late.
        for message in self.statics():
            self._feed(message, self.bag.deserialize(message))

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[BagFrame | Drop]:
        """The images of the cameras, in order; each call begins anew.

        Args:
            start: Number of the first image that is given; those before it are read but not decoded.
            stop: Number of the image before which to end; None for all.
        """
        self._restart()
        streams = list(self._streams.values())
        names = {name for stream in streams for name in stream.beside()} | set(self._streams)
        names |= {self.topics.odometry.name} if self.topics.odometry else set()
        names |= {name for name in TF_TOPICS if name in self.bag.topics}
        pending: deque[_Pending] = deque()
        others: list[BagMessage] = []
        index = 0
        for message in self.bag.messages(names):
            stream = self._streams.get(message.topic)
            if stream is not None:
                if stop is None or index < stop:
                    pending.append(_Pending(index, stream, message, stream.stamp(message), others))
                    others, index = [], index + 1
            elif not any(s.keep(message) for s in streams):
                decoded = self.bag.deserialize(message)
                if self._poses.jumps_back(decoded):
                    # What waits belongs to the time before the jump, and so do the poses.
                    while pending:
                        yield from self._release(pending, start)
                    self._poses.clear()
                    for s in streams:
                        s.calibrations.clear()
                self._feed(message, decoded)
                others.append(message)
            while pending and (
                message.log_time_ns > pending[0].message.log_time_ns + LOOK_AHEAD_NS
                or len(pending) > MAX_PENDING
            ):
                yield from self._release(pending, start)
            if stop is not None and index >= stop and not pending:
                break
        while pending:
            yield from self._release(pending, start)
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
        """The world's true grid, or None where there is none or its message is lost."""
        if self.topics.grid is None:
            return None
        message = self.bag.first(self.topics.grid.name)
        if message is None:
            return None
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
        """Look at the first CameraInfo of each camera before the work begins.

        Raises:
            CameraError: It cannot be used.
        """
        for stream in self._streams.values():
            stream.check_calibration()

    @property
    def problems(self) -> list[str]:
        """What could not be used beside the images, in words."""
        found = ((s.topics.name, s.problem) for s in self._streams.values())
        return [f"the depth of camera {name} is not used: {problem}" for name, problem in found if problem]

    def _feed(self, message: BagMessage, decoded: Any) -> None:
        if message.msgtype == TF:
            self._poses.add_transforms(decoded.transforms, static=message.topic == "/tf_static")
        elif self.topics.odometry and message.topic == self.topics.odometry.name:
            self._poses.add_odometry(decoded)
        for stream in self._streams.values():
            if stream.topics.camera_info and message.topic == stream.topics.camera_info.name:
                stream.calibrations.add(decoded)

    def _release(self, pending: deque[_Pending], start: int) -> Iterator[BagFrame | Drop]:
        """The next image; of several cameras the one whose turn it is by its stamp."""
        first = waiting = pending[0]
        if len(self._streams) > 1:
            # Each camera's own images stay in the order of the bag, so that time that runs back is seen.
            heads = {p.stream.topics.name: p for p in reversed(pending)}
            waiting = min(heads.values(), key=lambda p: (p.stamp_ns or 0, p.index))
        if waiting is not first:
            waiting.others, first.others = first.others + waiting.others, []
        pending.remove(waiting)
        result = self._frame(waiting, decode=waiting.index >= start)
        if result is not None:
            yield result

    def _frame(self, waiting: _Pending, *, decode: bool) -> BagFrame | Drop | None:
        message, stream = waiting.message, waiting.stream
        name, stamp = stream.topics.name, waiting.stamp_ns
        back, late = (False, "") if stamp is None else self._order(stream, stamp)
        if not decode:
            return None
        others = tuple(waiting.others)
        if late:
            return Drop(waiting.index, stamp or 0, "out_of_order", late, name, others)
        try:
            decoded = self.bag.deserialize(message)
            stamp = stamp_ns(decoded.header)
            image_HWC = stream.image(decoded)
        except (ImageError, BagError) as error:
            return Drop(waiting.index, message.log_time_ns, "bad_image", error.one_line(), name, others)
        size = (image_HWC.shape[0], image_HWC.shape[1])
        frame_id = decoded.header.frame_id.lstrip("/")
        camera, no_camera = stream.calibrations.at(stamp, *size)
        base_T_camera, odom_T_base, reason = self._look_up(frame_id, stamp)
        return BagFrame(
            index=waiting.index,
            frame=Frame(image_HWC, stamp, frame_id, camera, stream.depth(stamp, size)),
            message=message,
            base_T_camera=base_T_camera,
            odom_T_base=odom_T_base,
            no_pose_reason=reason,
            truth_HW=stream.truth(stamp, size),
            others=others,
            time_ran_back=back,
            no_camera_reason=no_camera,
            camera=name,
        )

    def _order(self, stream: CameraStream, stamp: int) -> tuple[bool, str]:
        back, late = stream.order(stamp, self._newest_ns)
        if not late:
            self._newest_ns = stamp
        if back:
            for other in self._streams.values():
                if other is not stream:
                    other.forget_time()
        return back, late

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
