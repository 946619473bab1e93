# SPDX-License-Identifier: Apache-2.0
"""Working behind in one thread: what follows the engine is done while the engine runs on the next frame."""

from __future__ import annotations

import os
import queue
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Generic, TypeVar

import cv2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_WAIT_S = 0.1
_NICENESS = 10


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """OpenCV does not divide its work meanwhile: other threads have all cores busy, and dividing costs a tenth."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def give_way() -> None:
    """From now on this thread runs in the time that the others leave.

    An engine's threads wait for each other after every layer: one that is kept from its core keeps them all. Linux has
    a niceness for each thread; elsewhere nothing changes.
    """
    with suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


class Behind(Generic[T]):
    """Calls ``work`` with each item, in order, in a thread of its own; at most ``depth`` items wait.

    An error of ``work`` is raised by the next ``put``, or at the end of the block; later items are then left out.

    Args:
        work: What is done with an item.
        depth: Items that may wait.
    """

    def __init__(self, work: Callable[[T], None], depth: int = 2) -> None:
        self._queue: queue.Queue[T | None] = queue.Queue(maxsize=depth)
        self._work = work
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="replay_results", daemon=True)

    def __enter__(self) -> Behind[T]:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            # Something failed elsewhere: what waits is of no use.
            self._error = self._error or RuntimeError("left")
        self._offer(None)
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def put(self, item: T) -> None:
        """One more item; waits while too many do."""
        self._offer(item)
        if self._error is not None:
            raise self._error

    def _offer(self, item: T | None) -> None:
        while self._thread.is_alive():
            try:
                self._queue.put(item, timeout=_WAIT_S)
            except queue.Full:
                continue
            return

    def _run(self) -> None:
        give_way()
        while (item := self._queue.get()) is not None:
            if self._error is not None:
                continue
            try:
                self._work(item)
            except BaseException as error:  # noqa: BLE001 – it is raised again where items are put
                self._error = error
