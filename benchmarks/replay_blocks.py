# SPDX-License-Identifier: Apache-2.0
"""The engine alone between blocks of a replay's frames: in the same process, the same session, within seconds."""

from __future__ import annotations

import time
from contextlib import contextmanager
from statistics import mean, median, stdev
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from offroad_seg.engines.onnxruntime import OnnxRuntimeEngine
from offroad_seg.replay.annotated import AnnotatedWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SETTLE_S = 0.1
"""Before the engine runs alone, what was read ahead and what is left to write of the block is done."""


class Blocks:
    """Times blocks of frames, and the engine alone before and after each.

    A frame's time goes from where the engine is asked for it to where it is asked for the next one. The first frame of
    a block does not count: what follows the frame before it was done while the engine rested.

    Args:
        frames: That count, in each block.
        alone: Images that the engine labels alone between two blocks.
        clock: Seconds.
        rest: Waits so many seconds.

    Attributes:
        found: Each block's milliseconds a frame, those of the engine before and after it, the overhead, and by how many
            frames what waits behind the engine grew: a replay that only puts off its work would be found out.
        finished: Frames that were written.
    """

    def __init__(
        self,
        frames: int,
        alone: int,
        clock: Callable[[], float] = time.perf_counter,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self._frames, self._alone, self._clock, self._rest = frames, alone, clock, rest
        self.found: list[dict[str, Any]] = []
        self.finished = 0
        self._asked = 0
        self._before: float | None = None
        self._started: tuple[float, int] | None = None

    def ask(self, run: Callable[[], Any]) -> Any:
        """In place of the engine's own call."""
        number, now = self._asked % (self._frames + 1), self._clock()
        waiting = self._asked - self.finished
        self._asked += 1
        if number == 1:
            self._started = now, waiting
        if number == 0:
            after = self._engine(run)
            if self._started is not None and self._before is not None:
                started, waited = self._started
                ms, both = 1e3 * (now - started) / self._frames, [self._before, after]
                found = {"ms": ms, "engine_ms": both, "overhead": ms / mean(both) - 1.0}
                self.found.append(found | {"put_off": waiting - waited})
            self._before = after
        return run()

    def _engine(self, run: Callable[[], Any]) -> float:
        self._rest(SETTLE_S)
        started = self._clock()
        for _ in range(self._alone):
            run()
        return 1e3 * (self._clock() - started) / self._alone


@contextmanager
def in_blocks(frames: int, alone: int) -> Iterator[Blocks]:
    """Meanwhile ONNX Runtime's engine is asked through ``Blocks``."""
    blocks, infer, add = Blocks(frames, alone), OnnxRuntimeEngine.infer, AnnotatedWriter.add

    def ask(engine: OnnxRuntimeEngine, image: Any) -> Any:
        return blocks.ask(lambda: infer(engine, image))

    def written(writer: AnnotatedWriter, *result: Any) -> None:
        add(writer, *result)
        blocks.finished += 1

    with patch.object(OnnxRuntimeEngine, "infer", ask), patch.object(AnnotatedWriter, "add", written):
        yield blocks


def summary(found: list[dict[str, Any]]) -> dict[str, float]:
    """Of many blocks: the middle one, the mean and how far that may be off (one standard error), the ends."""
    overheads = sorted(block["overhead"] for block in found)
    return {
        "median": median(overheads),
        "mean": mean(overheads),
        "standard_error": stdev(overheads) / len(overheads) ** 0.5 if len(overheads) > 1 else float("inf"),
        "best": overheads[0],
        "worst": overheads[-1],
        "put_off": sum(block["put_off"] for block in found) / len(found),
    }
