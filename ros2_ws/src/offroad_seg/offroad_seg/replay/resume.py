# SPDX-License-Identifier: Apache-2.0
"""Going on with a replay that was broken off.

Beside the results folder ``out`` lies ``.out.partial`` while a replay runs: what the engine said of each frame, and of
which replay. It goes when the results are whole. ``--resume`` takes the engine's answers from it as far as they reach.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from offroad_seg.engines.base import EngineOutput, ImageEngine
from offroad_seg.errors import InputError
from offroad_seg.replay.frames import BagFrame, Drop
from offroad_seg.replay.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.engines.base import EngineInfo, InferenceEngine
    from offroad_seg.pipeline import PerceptionPipeline
    from offroad_seg.types import Perception

    Items = Iterable[BagFrame | Drop]
    Results = Iterator[tuple[BagFrame, Perception] | Drop]

_RUN, _SPOOL, _SECOND = "run.json", "engine.spool", "second.spool"


def partial_folder(out: Path) -> Path:
    """Where an unfinished replay to ``out`` keeps what it has."""
    return out.with_name(f".{out.name}.partial")


class SpooledEngine:
    """An engine that answers from a spool where that knows the frame, and else runs.

    Args:
        engine: The real one.
        spool: What it said before.
    """

    def __init__(self, engine: InferenceEngine, spool: Spool) -> None:
        self._engine, self._spool = engine, spool
        self.name: str = engine.name
        self.info: EngineInfo = engine.info
        self.index = -1
        self.said: EngineOutput | None = None
        """What the engine said when it last ran; None where the spool answered."""

    def infer(self, image_BHWC: NDArray[Any]) -> EngineOutput:
        """As ``InferenceEngine.infer``."""
        return self._known() or self._keep(self._engine.infer(image_BHWC))

    def close(self) -> None:
        """As ``InferenceEngine.close``."""
        self._engine.close()

    def _known(self) -> EngineOutput | None:
        saved = self._spool.get(self.index)
        self.said = None
        return None if saved is None else saved.output

    def _keep(self, output: EngineOutput) -> EngineOutput:
        self.said = output
        return output


class SpooledImageEngine(SpooledEngine):
    """The same for an engine that letterboxes by itself."""

    def infer_image(self, image_HWC: NDArray[Any]) -> EngineOutput:
        """As ``ImageEngine.infer_image``."""
        assert isinstance(self._engine, ImageEngine)
        return self._known() or self._keep(self._engine.infer_image(image_HWC))


def spooled_engine(engine: InferenceEngine, spool: Spool) -> SpooledEngine:
    """The wrapper that fits an engine."""
    made = SpooledImageEngine if isinstance(engine, ImageEngine) else SpooledEngine
    return made(engine, spool)


def spooled(
    pipelines: Mapping[str, PerceptionPipeline],
    spool: Spool,
    perceive: Callable[[Items], Results],
) -> Callable[[Items], Results]:
    """``perceive``, with each frame kept in a spool, or taken from it.

    Args:
        pipelines: Which ``perceive`` runs; their engine, which they share, is wrapped.
        spool: An open spool.
        perceive: From frames to results, in order.
    """
    engine = spooled_engine(next(iter(pipelines.values())).segmenter.engine, spool)
    for pipeline in pipelines.values():
        pipeline.segmenter.engine = engine

    def told(items: Items) -> Iterator[BagFrame | Drop]:
        for item in items:
            engine.index = item.index
            yield item

    def run(items: Items) -> Results:
        for result in perceive(told(items)):
            if isinstance(result, Drop):
                yield result
                continue
            item, perception = result
            if engine.said is not None:
                spool.put(item.index, engine.said, perception.timings_ms)
            elif (saved := spool.get(item.index)) is not None:
                perception = replace(perception, timings_ms=saved.timings_ms)
            yield item, perception

    return run


@contextmanager
def partial_run(
    out: Path, identity: dict[str, Any], *, resume: bool, overwrite: bool
) -> Iterator[tuple[Spool, Spool]]:
    """The spools of a replay's engine and of a second one; both go at the end of the block, unless it fails.

    Args:
        out: The results folder to be.
        identity: What must be the same for the engine to say the same, as JSON has it.
        resume: Go on with what is there.
        overwrite: Begin anew, whatever is there.

    Raises:
        InputError: An unfinished replay is there, and it is neither to go on nor to be replaced; or it is of other
            input; or another process runs it.
    """
    folder = partial_folder(out)
    if folder.is_dir() and overwrite and not resume:
        os.close(_check_free(folder))
        shutil.rmtree(folder)
    if (folder / _RUN).is_file():
        _check_same(folder, out, identity, resume=resume)
    folder.mkdir(parents=True, exist_ok=True)
    lock = _check_free(folder)
    try:
        (folder / _RUN).write_text(json.dumps(identity, indent=2, sort_keys=True), encoding="utf-8")
        with Spool(folder / _SPOOL) as spool, Spool(folder / _SECOND) as second:
            try:
                yield spool, second
            except BaseException:
                if len(spool) == 0:
                    shutil.rmtree(folder)
                raise
        shutil.rmtree(folder)
    finally:
        os.close(lock)


def saved_frames(out: Path) -> int:
    """How many frames an unfinished replay to ``out`` has kept."""
    path = partial_folder(out) / _SPOOL
    if not path.is_file():
        return 0
    with Spool(path, read_only=True) as spool:
        return len(spool)


def _check_same(folder: Path, out: Path, identity: dict[str, Any], *, resume: bool) -> None:
    if not resume:
        raise InputError(
            "a replay to this folder was broken off",
            where=str(out),
            mend="--resume to go on with it, --overwrite to begin anew",
        )
    try:
        before = json.loads((folder / _RUN).read_text(encoding="utf-8"))
    except ValueError:
        before = {}
    other = [key for key in identity if before.get(key) != identity[key]]
    if other:
        raise InputError(
            f"the replay that was broken off ran with another {', '.join(other)}",
            where=str(folder),
            mend="run the same command with --resume, or --overwrite to begin anew",
        )


def _check_free(folder: Path) -> int:
    """Lock the folder; the lock's handle."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise InputError(
            "another process is replaying to this folder",
            where=str(folder),
            mend="wait for its end, or give another --out",
        ) from None
    except OSError:
        pass  # a file system without locks
    return handle
