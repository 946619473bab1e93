# SPDX-License-Identifier: Apache-2.0
"""A place for one item a lane, the newest: nothing queues."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")

GIVE_WAY_S = 0.002


class NewestSlot(Generic[T]):
    """Holds the newest item of each lane between the thread that receives and the thread that works.

    ``put`` never waits for work; an item that was not taken yet is replaced, and counted. Lanes are served in turn: one
    whose items come fast does not keep another waiting for more than one item of each.

    Args:
        lanes: How many sources there are.
    """

    def __init__(self, lanes: int = 1) -> None:
        self._condition = threading.Condition()
        self._items: list[T | None] = [None] * lanes
        self._next = 0
        self._woken = False
        self._is_awaited = False
        self.replaced = 0

    def put(self, item: T, lane: int = 0) -> bool:
        """Store the newest item of a lane; True if it replaced one that nobody took.

        A thread that waits for an item gets it at once: the caller gives way until it is taken (at most
        ``GIVE_WAY_S``). Else both would want Python's lock, and the one that has it keeps it for some milliseconds.
        """
        with self._condition:
            dropped = self._items[lane] is not None
            self.replaced += dropped
            self._items[lane] = item
            self._condition.notify_all()
            if self._is_awaited:
                self._condition.wait_for(lambda: self._items[lane] is not item, GIVE_WAY_S)
            return dropped

    def take(self, timeout_s: float) -> T | None:
        """The newest item of the next lane that has one, or None after ``timeout_s`` or ``wake``."""
        with self._condition:
            self._is_awaited = True
            self._condition.wait_for(lambda: self._woken or self._waiting() is not None, timeout_s)
            self._is_awaited = self._woken = False
            lane = self._waiting()
            if lane is None:
                return None
            item, self._items[lane] = self._items[lane], None
            self._condition.notify_all()
            self._next = (lane + 1) % len(self._items)
            return item

    def clear(self, lane: int | None = None) -> bool:
        """Throw away what is held, in one lane or in all; True if there was something."""
        with self._condition:
            lanes = range(len(self._items)) if lane is None else (lane,)
            held = any(self._items[number] is not None for number in lanes)
            for number in lanes:
                self._items[number] = None
            return held

    def wake(self) -> None:
        """Let ``take`` return at once, with or without an item."""
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def _waiting(self) -> int | None:
        for step in range(len(self._items)):
            lane = (self._next + step) % len(self._items)
            if self._items[lane] is not None:
                return lane
        return None
