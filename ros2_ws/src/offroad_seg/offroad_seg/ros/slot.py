# SPDX-License-Identifier: Apache-2.0
"""A place for one item, the newest: nothing queues."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class NewestSlot(Generic[T]):
    """Holds the newest item between the thread that receives and the thread that works.

    ``put`` never blocks; an item that was not taken yet is replaced, and counted.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: T | None = None
        self._woken = False
        self.replaced = 0

    def put(self, item: T) -> bool:
        """Store the newest item; True if it replaced one that nobody took."""
        with self._condition:
            dropped = self._item is not None
            self.replaced += dropped
            self._item = item
            self._condition.notify_all()
            return dropped

    def take(self, timeout_s: float) -> T | None:
        """The newest item, or None after ``timeout_s`` or ``wake``."""
        with self._condition:
            self._condition.wait_for(lambda: self._item is not None or self._woken, timeout_s)
            item, self._item = self._item, None
            self._woken = False
            return item

    def clear(self) -> bool:
        """Throw away what is held; True if there was something."""
        with self._condition:
            held, self._item = self._item is not None, None
            return held

    def wake(self) -> None:
        """Let ``take`` return at once, with or without an item."""
        with self._condition:
            self._woken = True
            self._condition.notify_all()
