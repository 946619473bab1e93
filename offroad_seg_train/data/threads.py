# SPDX-License-Identifier: Apache-2.0
"""Doing one thing to many files in threads, with progress, and stopping at once when something is wrong."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from offroad_seg.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_HOLDS_LARGE = threading.RLock()
T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def one_at_a_time(wanted: bool) -> Iterator[None]:
    """Where it is wanted, wait until no other thread is in such a block: for what takes much memory."""
    if not wanted:
        yield
        return
    with _HOLDS_LARGE:
        yield


def in_threads(
    function: Callable[[T], R], items: Sequence[T], *, what: str, unit: str, most: int = 8, show: bool = True
) -> list[R]:
    """The results of a function for each item, in order.

    For work that releases the interpreter lock: reading, hashing, decoding and encoding pictures.

    Args:
        function: What to do.
        items: What to do it to.
        what: Words for the progress bar.
        unit: What an item is, for the progress bar.
        most: Largest number of threads; never more than cores.
        show: Show progress.
    """
    with ThreadPoolExecutor(max_workers=min(most, os.cpu_count() or 1)) as pool:
        results = pool.map(function, items)
        try:
            return list(progress(results, what=what, total=len(items), unit=unit, show=show))
        except BaseException:
            # Leaving the block would wait for all that is still in the queue.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
