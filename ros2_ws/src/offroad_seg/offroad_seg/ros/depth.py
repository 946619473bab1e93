# SPDX-License-Identifier: Apache-2.0
"""The depth image that belongs to a colour image: found by stamp, waited for a bounded time, never queued."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import ImageError
from offroad_seg.sensor_messages import check_depth, depth_samples, stamp_ns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.types import Frame

_KEPT = 4
"""Depth images that may come before their colour image."""


class DepthClaim:
    """What one colour image asks for; it holds the best depth image so far. Made by ``DepthBuffer.claim``."""

    def __init__(self, stamp: int) -> None:
        self.stamp_ns = stamp
        self.message: Any = None

    def offer(self, message: Any, tolerance_ns: int) -> None:
        """Take a depth image if it is near enough and nearer than the one that is held."""
        distance = abs(stamp_ns(message.header) - self.stamp_ns)
        held = self.message
        if distance > tolerance_ns or (
            held is not None and distance >= abs(stamp_ns(held.header) - self.stamp_ns)
        ):
            return
        self.message = message


class DepthBuffer:
    """The newest depth images of one camera, and who asks for one.

    A claim lives as long as its colour image waits or is worked on, so a depth image that was found for it stays,
    however long the network takes; all others are forgotten after a few. Safe to use from two threads.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._recent: deque[Any] = deque(maxlen=_KEPT)
        self._claims: weakref.WeakSet[DepthClaim] = weakref.WeakSet()
        self._tolerance_ns = 0
        self._closed = False

    def put(self, message: Any) -> None:
        """The newest depth image.

        Raises:
            ImageError: It is none: encoding, size, ``step`` or data length.
        """
        check_depth(message)
        with self._condition:
            self._recent.append(message)
            for claim in self._claims:
                claim.offer(message, self._tolerance_ns)
            self._condition.notify_all()

    def claim(self, stamp: int, tolerance_s: float) -> DepthClaim:
        """Ask for the depth image of a colour image, which may have come or may still come."""
        claim = DepthClaim(stamp)
        with self._condition:
            self._tolerance_ns = round(tolerance_s * 1e9)
            for message in self._recent:
                claim.offer(message, self._tolerance_ns)
            self._claims.add(claim)
        return claim

    def clear(self) -> None:
        """Forget all (time ran back); claims that are open stay without."""
        with self._condition:
            self._recent.clear()
            self._claims.clear()

    def open(self) -> None:
        """Allow waiting again after ``close``."""
        with self._condition:
            self._closed = False

    def close(self) -> None:
        """End every wait at once, and forget all."""
        with self._condition:
            self._closed = True
            self._recent.clear()
            self._condition.notify_all()

    def wait(self, claim: DepthClaim, timeout_s: float) -> Any | None:
        """The depth image for a claim, waited for at most so long; None if there is none."""
        deadline = time.monotonic() + timeout_s
        with self._condition:
            while claim.message is None and not self._closed:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    break
                self._condition.wait(remaining)
            return claim.message


def samples_for(message: Any, frame: Frame) -> NDArray[Any]:
    """The depth of an image: float32 metres or uint16 millimetres, (H, W), a view of the message where possible.

    Raises:
        ImageError: It is not aligned with the image.
    """
    height, width = frame.image_HWC.shape[:2]
    if (message.height, message.width) != (height, width):
        raise ImageError(
            f"depth is {message.width}×{message.height}, the image {width}×{height}",
            where="depth",
            mend="publish depth that is aligned with the image (such as aligned_depth_to_color)",
        )
    other = message.header.frame_id.lstrip("/")
    if other and other != frame.frame_id.lstrip("/"):
        raise ImageError(
            f"depth is in the frame '{other}', the image in '{frame.frame_id}'",
            where="depth",
            mend="publish depth that is aligned with the image: it then has the image's frame",
        )
    return depth_samples(message)
