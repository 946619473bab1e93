# SPDX-License-Identifier: Apache-2.0
"""Frames that come at a fixed rate, as from a camera, and a slot that holds the newest.

A camera does not wait. So a frame is *sent* at its time whether or not anybody is ready for it, and whoever becomes
ready takes the newest; those in between are missed. As the times are known beforehand no second thread is needed, and
none disturbs what is measured: the result is that of an ideal source.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_SHORTEST = 3  # frames; jitter needs three


class Clock(Protocol):
    """The steady clock, or a test's."""

    def now(self) -> float:
        """Seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SteadyClock:
    """The machine's."""

    def now(self) -> float:
        """See ``Clock``."""
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """See ``Clock``."""
        time.sleep(seconds)


@dataclass
class Run:
    """What happened at one rate.

    Attributes:
        rate_hz: Frames sent a second; 0 where the next was sent when the last was done.
        sent_s: When each frame was sent, seconds of the steady clock.
        done_s: Number of the frame → when its result was there; those that are missing were missed.
        stages_ms: Stage → milliseconds of each frame that was processed.
    """

    rate_hz: float
    sent_s: list[float] = field(default_factory=list)
    done_s: dict[int, float] = field(default_factory=dict)
    stages_ms: dict[str, list[float]] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """Part of the frames that were missed, 0–1."""
        return 1.0 - len(self.done_s) / len(self.sent_s) if self.sent_s else 0.0

    def add_stages(self, timings_ms: dict[str, float]) -> None:
        """Add the stages of one frame."""
        for name, value in timings_ms.items():
            self.stages_ms.setdefault(name, []).append(value)


def frames_of(rate_hz: float, seconds: float) -> int:
    """How many frames a run has."""
    return max(_SHORTEST, math.ceil(rate_hz * seconds))


def play(
    process: Callable[[int, float], dict[str, float]], rate_hz: float, seconds: float, clock: Clock
) -> Run:
    """Send frames at a rate for some time, and process what can be processed.

    Args:
        process: Takes the number of a frame and when it was sent, seconds; returns its stages in milliseconds.
        rate_hz: Frames a second.
        seconds: For how long; at least three frames are sent.
        clock: The steady clock.
    """
    count = frames_of(rate_hz, seconds)
    begin = clock.now() + 1.0 / rate_hz
    run = Run(rate_hz, [begin + k / rate_hz for k in range(count)])
    awaited = 0
    while awaited < count:
        wait = run.sent_s[awaited] - clock.now()
        if wait > 0:
            clock.sleep(wait)
            continue
        newest = min(count - 1, math.floor((clock.now() - begin) * rate_hz))
        number = max(awaited, newest)
        run.add_stages(process(number, run.sent_s[number]))
        run.done_s[number] = clock.now()
        awaited = number + 1
    return run


def play_back_to_back(
    process: Callable[[int, float], dict[str, float]], seconds: float, clock: Clock, most: int = 1000
) -> Run:
    """Send the next frame when the last is done: what the work itself takes."""
    run = Run(0.0)
    deadline = clock.now() + seconds
    while len(run.sent_s) < _SHORTEST or (clock.now() < deadline and len(run.sent_s) < most):
        number = len(run.sent_s)
        run.sent_s.append(clock.now())
        run.add_stages(process(number, run.sent_s[-1]))
        run.done_s[number] = clock.now()
    return run


def find_peak(
    play_at: Callable[[float], Run], guess_hz: float, *, max_loss: float = 0.05, tolerance: float = 0.03
) -> float:
    """The highest rate at which no more than ``max_loss`` of the frames are missed, by bisection.

    Args:
        play_at: Plays at a rate.
        guess_hz: About where it is.
        max_loss: Part of the frames that may be missed.
        tolerance: Width of the bracket at which to stop, as a part of the rate.

    Returns:
        A rate, Hz, that was seen to hold.
    """
    low = 0.5 * guess_hz
    while play_at(low).loss > max_loss:
        low *= 0.5
    high = max(2.0 * low, 1.25 * guess_hz)
    while play_at(high).loss <= max_loss:
        low, high = high, 1.5 * high
    while high - low > tolerance * high:
        middle = 0.5 * (low + high)
        if play_at(middle).loss <= max_loss:
            low = middle
        else:
            high = middle
    return low
