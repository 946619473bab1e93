# SPDX-License-Identifier: Apache-2.0
"""Working ahead in one thread: the next frames are read and decoded while the engine runs."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from offroad_seg.replay.behind import give_way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_WAIT_S = 0.1


class _End:
    """Put after the last item, with the error that ended the iteration, if there was one."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Prefetch(Generic[T]):
    """Iterates in a thread of its own, at most ``depth`` items ahead, in order.

    Args:
        start: Makes the iterator; called in the thread.
        depth: Items that may wait.
    """

    def __init__(self, start: Callable[[], Iterator[T]], depth: int = 4) -> None:
        self._queue: queue.Queue[T | _End] = queue.Queue(maxsize=depth)
        self._start = start
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bag_reader", daemon=True)

    def __enter__(self) -> Prefetch[T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        """The items; an error of the thread is raised here."""
        while True:
            item = self._queue.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    def _run(self) -> None:
        give_way()
        try:
            for item in self._start():
                if not self._put(item):
                    return
            self._put(_End())
        except BaseException as error:  # noqa: BLE001 – it is raised again where the items are taken
            self._put(_End(error))

    def _put(self, item: T | _End) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_WAIT_S)
            except queue.Full:
                continue
            return True
        return False
