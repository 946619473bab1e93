# SPDX-License-Identifier: Apache-2.0
"""The records of a part of a bag, to be joined with those of its other parts: for a bag shared out over processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offroad_seg.replay.frames import BagFrame, Drop
from offroad_seg.replay.prefetch import Prefetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from offroad_seg.replay.evaluation import Scorer
    from offroad_seg.replay.frames import FrameSource
    from offroad_seg.replay.records import FrameRecord
    from offroad_seg.types import Perception

    Items = Iterable[BagFrame | Drop]
    Results = Iterator[tuple[BagFrame, Perception] | Drop]

WARM_UP = 8
"""Frames before a portion that are run but not recorded, for what a frame is compared with."""


def portion(
    source: FrameSource,
    scorer: Scorer,
    perceive: Callable[[Items], Results],
    start: int = 0,
    stop: int | None = None,
    *,
    warm_up: int = WARM_UP,
) -> Iterator[FrameRecord]:
    """Measure the images ``start`` to ``stop`` of a bag (numbers as ``FrameRecord.index``).

    Joined in order, the records of all portions give the figures of labels exactly as one run does: those against
    truth, confidence, predicted shares, drops, and flicker, as long as the frame before of each camera is among the
    ``warm_up``. Figures of the costmap are of a map that knows nothing from before the warm-up: they are exact for a
    portion that begins at 0, and come near as the warm-up covers the time in which evidence decays.

    Args:
        source: The bag.
        scorer: A new one.
        perceive: From frames to results, with pipelines that know nothing yet (``reset``).
        start: The first image that is recorded.
        stop: The image before which to end; None for the bag's end.
        warm_up: Images before ``start`` that are run and not recorded.
    """
    first = max(0, start - warm_up)
    with Prefetch(lambda: source.frames(first, stop)) as items:
        for result in perceive(iter(items)):
            record = scorer.drop(result) if isinstance(result, Drop) else scorer.frame(*result)
            if record.index >= start:
                yield record
