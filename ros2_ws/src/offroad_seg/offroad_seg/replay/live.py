# SPDX-License-Identifier: Apache-2.0
"""A replay that can be watched: its results pass through, and the newest goes to whoever looks.

The replay never waits. Pictures are encoded in a thread of their own; a result that comes while the one before is
still being encoded replaces it. While nobody looks, nothing is copied or encoded.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from offroad_seg.errors import OffroadSegError
from offroad_seg.overlay import overlay_image
from offroad_seg.replay import live_messages as messages
from offroad_seg.replay.frames import BagFrame, Drop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg.replay.live_server import LiveServer
    from offroad_seg.types import Perception

    Results = Iterable[tuple[BagFrame, Perception] | Drop]
    PointsOf = Callable[[BagFrame, Perception], NDArray[Any] | None]

_END_S = 5.0


class _Picture(NamedTuple):
    frame: BagFrame
    perception: Perception
    points_HW: NDArray[Any] | None


class LiveView:
    """Use as a context manager around the replay.

    Args:
        server: Where viewers are.
        ontology: Colours.
        odom_frame: Name of the frame that ``odom_T_base`` leads from.
        base_frame: Name of the vehicle's frame.
        points_of: Gives the ground points of a frame, or None.
    """

    def __init__(
        self,
        server: LiveServer,
        ontology: Ontology,
        *,
        odom_frame: str,
        base_frame: str,
        points_of: PointsOf | None = None,
    ) -> None:
        self._server, self._ontology = server, ontology
        self._odom_frame, self._base_frame = odom_frame, base_frame
        self._points_of = points_of
        self._condition = threading.Condition()
        self._newest: _Picture | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="live_view", daemon=True)
        self.sent = 0

    def __enter__(self) -> LiveView:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._put(None)
        self._thread.join(_END_S)

    def tap(self, results: Results) -> Iterator[tuple[BagFrame, Perception] | Drop]:
        """The results as they are, each shown while it passes."""
        for result in results:
            if not isinstance(result, Drop):
                self.offer(*result)
            yield result

    def offer(self, frame: BagFrame, perception: Perception) -> None:
        """Show one result, unless a newer one comes before it was encoded."""
        if frame.time_ran_back:
            self._server.restart_time()
        if not self._server.any_wanted():
            return
        points_HW = (
            self._points(frame, perception)
            if self._server.wanted(self._server.topic(frame.camera, "points"))
            else None
        )
        result = perception.segmentation
        # The pipeline's buffers are used again by the next frame but one.
        kept = replace(
            result, labels_HW=result.labels_HW.copy(), confidence_HW=result.confidence_HW.copy(), ood_HW=None
        )
        self._put(_Picture(frame, replace(perception, segmentation=kept, observation=None), points_HW))

    def _points(self, frame: BagFrame, perception: Perception) -> NDArray[Any] | None:
        if self._points_of is None or not self._server.wanted(self._server.topic(frame.camera, "points")):
            return None
        try:
            points_HW = self._points_of(frame, perception)
        except OffroadSegError:  # the frame's calibration or pose leaves no ground: the costmap has said so
            return None
        return None if points_HW is None else points_HW.copy()

    def _put(self, item: _Picture | None) -> None:
        with self._condition:
            self._newest, self._ended = item or self._newest, item is None
            self._condition.notify()

    def _take(self) -> _Picture | None:
        with self._condition:
            self._condition.wait_for(lambda: self._newest is not None or self._ended)
            item, self._newest = self._newest, None
            return item

    def _run(self) -> None:
        while (picture := self._take()) is not None:
            self._show(*picture)
            self.sent += 1

    def _show(self, bag_frame: BagFrame, perception: Perception, points_HW: NDArray[Any] | None) -> None:
        frame, result, name = bag_frame.frame, perception.segmentation, bag_frame.camera
        at, frame_id, colors = frame.stamp_ns, frame.frame_id, self._ontology.colors_2563

        def send(topic: str, make: Callable[[], Any]) -> None:
            full = self._server.topic(name, topic)
            if self._server.wanted(full):
                self._server.send(full, make(), at)

        self._server.send("tf", messages.transforms(self._transforms(bag_frame)), at)
        send("image", lambda: messages.photo(frame.image_HWC, at, frame_id))
        send("labels", lambda: messages.coloured(result.labels_HW, colors, at, frame_id))
        send("confidence", lambda: messages.photo(result.confidence_HW, at, frame_id))
        send(
            "overlay",
            lambda: messages.photo(
                overlay_image(frame.image_HWC, result.labels_HW, self._ontology), at, frame_id
            ),
        )
        if points_HW is not None:
            send("points", lambda: messages.cloud(points_HW, colors, at, frame_id))
        if perception.costmap is not None:
            self._server.send("costmap", messages.grid(perception.costmap), at)

    def _transforms(self, frame: BagFrame) -> list[tuple[str, str, int, Any]]:
        at = frame.frame.stamp_ns
        found: list[tuple[str, str, int, Any]] = []
        if frame.odom_T_base is not None:
            found.append((self._odom_frame, self._base_frame, at, frame.odom_T_base))
        if frame.base_T_camera is not None and frame.frame.frame_id:
            found.append((self._base_frame, frame.frame.frame_id, at, frame.base_T_camera))
        return found


def paced(items: Iterable[BagFrame | Drop], rate: float) -> Iterator[BagFrame | Drop]:
    """The frames at the speed of the recording times ``rate``; later where the work takes longer."""
    first: tuple[float, int] | None = None
    for item in items:
        stamp = item.stamp_ns if isinstance(item, Drop) else item.frame.stamp_ns
        ran_back = isinstance(item, BagFrame) and item.time_ran_back
        if first is None or ran_back:
            first = (time.monotonic(), stamp)
        due = first[0] + (stamp - first[1]) / 1e9 / rate
        now = time.monotonic()
        if due > now:
            time.sleep(due - now)
        else:
            # What is late stays late: catching up would show the drive in jumps.
            first = (now, stamp)
        yield item
