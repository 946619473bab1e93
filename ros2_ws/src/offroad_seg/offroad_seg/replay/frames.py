# SPDX-License-Identifier: Apache-2.0
"""From a bag's messages to frames with calibration, poses and truth, in the order of the bag.

The reader runs a little ahead of the frame that it gives out, so that odometry and truth which were recorded after
the image are there when its poses are interpolated. Memory is bounded: a few undecoded images and ten seconds of poses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import BagError, ImageError, TransformError
from offroad_seg.replay.camera_stream import CameraStream
from offroad_seg.replay.grid_message import costmap_of
from offroad_seg.replay.poses import PoseHistory
from offroad_seg.replay.topics import TF
from offroad_seg.replay.waiting import Waiting, WaitingImages
from offroad_seg.sensor_messages import stamp_ns
from offroad_seg.types import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg.replay.bag import Bag, BagMessage
    from offroad_seg.replay.topics import Topics
    from offroad_seg.transforms import Transform
    from offroad_seg.types import Costmap

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
        waiting = WaitingImages()
        others: list[BagMessage] = []
        index = 0
        for message in self.bag.messages(names):
            stream = self._streams.get(message.topic)
            if stream is not None:
                if stop is None or index < stop:
                    waiting.put(Waiting(index, stream, message, stream.stamp(message), others))
                    others, index = [], index + 1
            elif not any(s.keep(message) for s in streams):
                decoded = self.bag.deserialize(message)
                if self._poses.jumps_back(decoded):
                    # What waits belongs to the time before the jump, and so do the poses.
                    while waiting:
                        yield from self._released(waiting.take(), start)
                    self._poses.clear()
                    for s in streams:
                        s.calibrations.clear()
                self._feed(message, decoded)
                others.append(message)
            while waiting.due(message.log_time_ns):
                yield from self._released(waiting.take(), start)
            if stop is not None and index >= stop and not waiting:
                break
        while waiting:
            yield from self._released(waiting.take(), start)
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
        return None if message is None else costmap_of(message, f"topic {self.topics.grid.name}")

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

    def _released(self, image: Waiting, start: int) -> Iterator[BagFrame | Drop]:
        """What becomes of an image; nothing of those before ``start``, which only count for the order of time."""
        message, stream, stamp = image.message, image.stream, image.stamp_ns
        back, late = (False, "") if stamp is None else self._order(stream, stamp)
        if image.index < start:
            return
        name, others = stream.topics.name, tuple(image.others)
        if late:
            yield Drop(image.index, stamp or 0, "out_of_order", late, name, others)
            return
        try:
            decoded = self.bag.deserialize(message)
            image_HWC = stream.image(decoded)
        except (ImageError, BagError) as error:
            yield Drop(image.index, message.log_time_ns, "bad_image", error.one_line(), name, others)
            return
        yield self._frame(image, decoded.header, image_HWC, time_ran_back=back)

    def _frame(
        self, image: Waiting, header: Any, image_HWC: NDArray[np.uint8], *, time_ran_back: bool
    ) -> BagFrame:
        """With all that belongs to the image's stamp."""
        stream, stamp = image.stream, stamp_ns(header)
        size = (image_HWC.shape[0], image_HWC.shape[1])
        frame_id = header.frame_id.lstrip("/")
        camera, no_camera = stream.calibrations.at(stamp, *size)
        base_T_camera, odom_T_base, reason = self._look_up(frame_id, stamp)
        return BagFrame(
            index=image.index,
            frame=Frame(image_HWC, stamp, frame_id, camera, stream.depth(stamp, size)),
            message=image.message,
            base_T_camera=base_T_camera,
            odom_T_base=odom_T_base,
            no_pose_reason=reason,
            truth_HW=stream.truth(stamp, size),
            others=tuple(image.others),
            time_ran_back=time_ran_back,
            no_camera_reason=no_camera,
            camera=stream.topics.name,
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
