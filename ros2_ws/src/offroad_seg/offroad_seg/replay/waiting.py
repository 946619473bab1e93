# SPDX-License-Identifier: Apache-2.0
"""Images that wait for what was recorded after them, and whose turn it is among those of several cameras."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offroad_seg.replay.bag import BagMessage
    from offroad_seg.replay.camera_stream import CameraStream

LOOK_AHEAD_NS = 500_000_000
MAX_WAITING = 64


@dataclass(eq=False)
class Waiting:
    """An image that was read and not yet decoded.

    Attributes:
        index: Its number among the images of all cameras, in the order of the bag.
        stream: Its camera.
        message: As it lies in the bag.
        stamp_ns: Its stamp, None where it cannot be read.
        others: The bag's other messages since the image before.
    """

    index: int
    stream: CameraStream
    message: BagMessage
    stamp_ns: int | None
    others: list[BagMessage] = field(default_factory=list)


class WaitingImages:
    """Holds images until half a second of the bag beyond them was read, and no more than ``MAX_WAITING``."""

    def __init__(self) -> None:
        self._images: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._images)

    def put(self, image: Waiting) -> None:
        """One more, in the order of the bag."""
        self._images.append(image)

    def due(self, now_ns: int) -> bool:
        """Whether one is to go on, as the bag was read up to a time of recording."""
        if not self._images:
            return False
        first = self._images[0].message.log_time_ns
        return now_ns > first + LOOK_AHEAD_NS or len(self._images) > MAX_WAITING

    def take(self) -> Waiting:
        """The next; of several cameras the one whose turn it is by its stamp."""
        # Each camera's own images stay in the order of the bag, so that time that runs back is seen.
        heads = {image.stream.topics.name: image for image in reversed(self._images)}
        taken = min(heads.values(), key=lambda image: (image.stamp_ns or 0, image.index))
        first = self._images[0]
        if taken is not first:
            taken.others, first.others = first.others + taken.others, []
        self._images.remove(taken)
        return taken
