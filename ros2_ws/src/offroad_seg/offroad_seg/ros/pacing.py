# SPDX-License-Identifier: Apache-2.0
"""The two ways to pace ``replay --via-ros``: in step with the node, or by the bag's own times."""

from __future__ import annotations

import heapq
import queue
import threading
import time
from typing import TYPE_CHECKING

from offroad_seg.errors import EngineError
from offroad_seg.replay.frames import BagFrame, Drop
from offroad_seg.ros.waits import ANSWER_S, COSTMAP_S, MAX_SILENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from offroad_seg.replay.bag import BagMessage
    from offroad_seg.ros.link import Link
    from offroad_seg.ros.recorder import Answer
    from offroad_seg.types import Perception

    Items = Iterable[BagFrame | Drop]
    Result = tuple[BagFrame, Perception] | Drop
    Results = Iterator[Result]

_CLOCK_STEP_S = 0.01
_LATE_S = 3.0
_QUEUED = 1000


def play_in_step(link: Link, items: Items) -> Results:
    """Each image when the node has answered the one before."""
    silent = missed_costmaps = 0
    for item in items:
        if isinstance(item, Drop):
            yield item
            continue
        if item.time_ran_back:
            link.tell_time(item.frame.stamp_ns)
            link.settle()
        wait = link.calibration_changed(item.others)
        for message in item.others:
            link.copy(message)
        link.tell_time(item.frame.stamp_ns)
        wait = link.tell_calibration(item) or wait
        if wait:
            link.settle()
        answer = link.send(item)
        if not link.spin_until(answer.has_labels, ANSWER_S if silent == 0 else 2.0):
            silent += 1
            if silent >= MAX_SILENT:
                raise EngineError(f"the node has answered none of {silent} frames in a row")
            link.forget(item)
            yield _drop(item, "no_answer", f"no labels within {ANSWER_S:g} s")
            continue
        silent = 0
        expected = item.frame.camera is not None and item.base_T_camera is not None
        limit = COSTMAP_S if expected and missed_costmaps < MAX_SILENT else 0.05
        came = link.spin_until(answer.has_costmap, limit)
        missed_costmaps = 0 if came or not expected else missed_costmaps + 1
        link.forget(item)
        yield item, answer.perception(_no_costmap(item))


def play_in_time(link: Link, items: Items, rate: float) -> Results:
    """The bag's own times; what the node does not answer is dropped.

    A thread plays and records, so that evaluating a frame never delays the next.
    """
    results: queue.Queue[Result | BaseException | None] = queue.Queue(maxsize=_QUEUED)
    stop = threading.Event()

    def play() -> None:
        try:
            _play(link, items, rate, results.put, stop)
            results.put(None)
        except BaseException as error:  # noqa: BLE001 – raised again below
            results.put(error)

    thread = threading.Thread(target=play, name="player", daemon=True)
    thread.start()
    try:
        while (result := results.get()) is not None:
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        stop.set()
        while thread.is_alive():
            while not results.empty():
                results.get_nowait()
            thread.join(0.05)


def _play(
    link: Link, items: Items, rate: float, put: Callable[[Result], None], stop: threading.Event
) -> None:
    events: list[tuple[int, int, BagMessage]] = []
    waiting: list[tuple[BagFrame, Answer]] = []
    start_s, start_ns, number = 0.0, 0, 0

    def pace(until_ns: int) -> None:
        # Poses were read ahead of the image; each goes out at its own time.
        while not stop.is_set():
            now_ns = start_ns + int((time.monotonic() - start_s) * rate * 1e9)
            while events and events[0][0] <= min(now_ns, until_ns):
                link.copy(heapq.heappop(events)[2])
            link.tell_time(min(now_ns, until_ns))
            if now_ns >= until_ns:
                return
            link.spin_for(min(_CLOCK_STEP_S, (until_ns - now_ns) / rate / 1e9))
            _settle(link, waiting, put)

    for item in items:
        if stop.is_set():
            return
        if isinstance(item, Drop):
            put(item)
            continue
        at_ns = item.message.log_time_ns
        if number == 0 or item.time_ran_back:
            start_s, start_ns = time.monotonic(), at_ns
            link.tell_time(at_ns)
            link.calibration_changed(item.others)
            for message in item.others:
                link.copy(message)
            link.settle()
            start_s = time.monotonic()
        else:
            for message in item.others:
                number += 1
                heapq.heappush(events, (message.log_time_ns, number, message))
        number += 1
        pace(at_ns)
        start_s += _told_calibration(link, item)
        waiting.append((item, link.send(item)))
    deadline = time.monotonic() + _LATE_S
    while waiting and time.monotonic() < deadline + _LATE_S and not stop.is_set():
        link.spin_for(_CLOCK_STEP_S)
        _settle(link, waiting, put)


def _told_calibration(link: Link, item: BagFrame) -> float:
    """Tell a calibration that does not come in the bag before its image; the seconds that it took."""
    if not link.tell_calibration(item):
        return 0.0
    began_s = time.monotonic()
    link.settle()
    return time.monotonic() - began_s


def _settle(link: Link, waiting: list[tuple[BagFrame, Answer]], put: Callable[[Result], None]) -> None:
    """Hand on, in order, what is answered, and what will not be any more."""
    while waiting:
        item, answer = waiting[0]
        old = time.monotonic() - answer.sent_s > _LATE_S
        later = any(a.has_labels() for other, a in waiting[1:] if other.camera == item.camera)
        if not (old or later or (answer.has_labels() and answer.has_costmap())):
            return
        waiting.pop(0)
        link.forget(item)
        if answer.has_labels():
            put((item, answer.perception(_no_costmap(item))))
        else:
            reason = "the node gave no labels for it: too slow at this rate, or it came too late; see `node.reasons`"
            put(_drop(item, "not_answered", reason))


def _drop(item: BagFrame, cause: str, reason: str) -> Drop:
    return Drop(item.index, item.frame.stamp_ns, cause, reason, item.camera, item.others)


def _no_costmap(item: BagFrame) -> str:
    return item.no_camera_reason or item.no_pose_reason or "the node published no costmap for it"
