# SPDX-License-Identifier: Apache-2.0
"""How long training waits for images, and what would help."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING, Any

import cv2
from torch.utils.data import DataLoader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

MAX_WORKERS = 12
# A warning from here on: below, waiting costs little.
_SHARE = 0.25
_SECONDS = 5.0


def usable_cores() -> int:
    """Cores for this process: those that it may run on, shared with the other processes of a run on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def choose_workers(wanted: int, *, cached: bool, gpu: bool) -> int:
    """Processes that read images: as asked, or by this machine where ``wanted`` is -1.

    A GPU must not wait: every core but one, up to 12. A CPU that trains has no core to spare: none where frames are
    cached, since augmentation then takes a few hundredths of a step; else up to half of its cores, which decode.
    """
    if wanted >= 0:
        return wanted
    cores = usable_cores()
    if gpu:
        return min(MAX_WORKERS, cores - 1)
    return 0 if cached or cores <= 2 else min(MAX_WORKERS, cores // 2)


class WatchedLoader(DataLoader[dict[str, Any]]):
    """A loader that measures how long its batches are waited for, and warns once where that holds training up.

    Args:
        *args: See ``DataLoader``.
        advise: What would help, for the warning.
        **kwargs: See ``DataLoader``.

    Attributes:
        waited_s: Of the last epoch, in seconds, from its second batch on: the first one starts the workers.
        lasted_s: The last epoch, likewise.
    """

    def __init__(self, *args: Any, advise: Callable[[], str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waited_s = 0.0
        self.lasted_s = 0.0
        self._advise = advise
        self._warned = False

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        """One epoch."""
        with _single_thread():
            batches = super().__iter__()
        self.waited_s = self.lasted_s = 0.0
        images = 0
        first = next(batches, None)
        started = time.perf_counter()
        if first is None:
            return
        yield first
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            now = time.perf_counter()
            if batch is None:
                break
            self.waited_s += now - asked
            self.lasted_s = now - started
            images += len(batch["name"])
            yield batch
        if not self._warned and self.waited_s > max(_SECONDS, _SHARE * self.lasted_s):
            self._warned = True
            log.warning(
                "training waited %.0f %% of the time for images: %.3g images/s, without waiting %.3g; %s",
                100 * self.waited_s / self.lasted_s,
                images / self.lasted_s,
                images / max(self.lasted_s - self.waited_s, 1e-9),
                self._advise(),
            )


@contextlib.contextmanager
def _single_thread() -> Iterator[None]:
    """No threads of OpenCV's while workers are forked.

    They inherit one thread, which is right: they share the cores among themselves. A fork that had the thread pool's
    locks without its threads would wait for ever once it changed their number.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def advice(*, cached: bool, nbytes: int, workers: int, gpu: bool) -> str:
    """What would make reading faster, as settings.

    Args:
        cached: Frames are decoded once for all.
        nbytes: What all of them take.
        workers: Processes that read.
        gpu: A GPU trains.
    """
    helps = []
    if not cached:
        helps.append(f"data.cache=memory or disk ({nbytes / (1 << 30):.1f} GiB)")
    most = choose_workers(-1, cached=cached, gpu=True)
    if workers < most and (gpu or usable_cores() > 2):
        helps.append(f"data.workers={most}")
    helps.append("less augmentation (docs/augment.md has the cost of each)")
    return "what helps: " + "; ".join(helps)
