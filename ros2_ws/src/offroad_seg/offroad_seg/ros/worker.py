# SPDX-License-Identifier: Apache-2.0
"""The thread that works on the newest frame, so that inference never blocks the executor."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from offroad_seg.ros.slot import NewestSlot

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_IDLE_S = 0.5


class Worker(Generic[T]):
    """Takes the newest item from a slot, again and again.

    Args:
        work: Called with each item, in the worker's thread.
        failed: Called with whatever ``work`` or a posted call raised; the thread goes on.
        min_period_s: Asked before each item: the shortest time between two items.
        lanes: How many sources the slot has.
    """

    def __init__(
        self,
        work: Callable[[T], None],
        failed: Callable[[Exception], None],
        min_period_s: Callable[[], float] = lambda: 0.0,
        lanes: int = 1,
    ) -> None:
        self.slot: NewestSlot[T] = NewestSlot(lanes)
        self._work, self._failed, self._min_period_s = work, failed, min_period_s
        self._posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._began_s = 0.0  # 0 = not at work

    @property
    def alive(self) -> bool:
        """Whether the thread runs, or hangs."""
        return self._thread is not None and self._thread.is_alive()

    def busy_s(self) -> float:
        """How long the item at hand has taken so far; 0 where there is none."""
        began_s = self._began_s
        return 0.0 if began_s == 0.0 else time.monotonic() - began_s

    def start(self) -> None:
        """Start the thread."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="perception_worker", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float | None = None) -> bool:
        """Finish the item at hand, end the thread and empty the slot. Harmless if it does not run.

        Args:
            timeout_s: How long to wait for the item at hand; None = for ever.

        Returns:
            Whether the thread has ended. If not, it hangs in the work: it ends as soon as that comes back, takes
            nothing any more, and until then nothing that it uses may be freed.
        """
        self._stop.set()
        self.slot.wake()
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                self.slot.clear()
                return False
            self._thread = None
        self.slot.clear()
        self._run_posted()
        return True

    def post(self, call: Callable[[], None]) -> None:
        """Run ``call`` between two items, in the worker's thread; at once where none runs."""
        self._posted.put(call)
        if self._thread is None:
            self._run_posted()
        else:
            self.slot.wake()

    def _run(self) -> None:
        not_before = 0.0
        while not self._stop.is_set():
            self._run_posted()
            if self._stop.wait(max(0.0, not_before - time.monotonic())):
                return
            item = self.slot.take(_IDLE_S)
            if item is None:
                continue
            self._run_posted()
            began_s = self._began_s = time.monotonic()
            not_before = began_s + self._min_period_s()
            try:
                self._work(item)
            except Exception as error:  # noqa: BLE001 – whatever it is, the node lives and says so
                self._failed(error)
            finally:
                self._began_s = 0.0
            del item  # what it holds is not needed while nothing comes

    def _run_posted(self) -> None:
        while True:
            try:
                call = self._posted.get_nowait()
            except queue.Empty:
                return
            try:
                call()
            except Exception as error:  # noqa: BLE001 – as above
                self._failed(error)
