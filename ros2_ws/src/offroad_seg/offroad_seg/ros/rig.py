# SPDX-License-Identifier: Apache-2.0
"""What the node runs: one engine, one costmap, and a pipeline for each camera."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

from offroad_seg.compile.out_of_memory import gpu_memory_error
from offroad_seg.errors import EngineError, GpuMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from offroad_seg.engines.base import InferenceEngine
    from offroad_seg.ontology import Cost
    from offroad_seg.pipeline import PerceptionPipeline
    from offroad_seg.segmenter import NetworkSegmentation
    from offroad_seg.types import Frame


class Rig:
    """Not safe for several threads: all but ``close`` belong to the worker.

    Args:
        pipelines: By camera; they share engine and costmap.
        load: Loads the engine anew.

    Attributes:
        warm_up_s: How long the first run took, s.
    """

    def __init__(self, pipelines: dict[str, PerceptionPipeline], load: Callable[[], InferenceEngine]) -> None:
        self.pipelines = pipelines
        self._load = load
        self.warm_up_s = 0.0

    @property
    def first(self) -> PerceptionPipeline:
        """Any one of them, for what they share."""
        return next(iter(self.pipelines.values()))

    def warm_up(self) -> None:
        """Run the network once.

        Raises:
            EngineError: It fails, or what it says does not fit the bundle.
        """
        started = time.monotonic()
        self.first.segmenter.warm_up()
        self.warm_up_s = time.monotonic() - started

    def segment(
        self, camera: str, frame: Frame, short_of_memory: Callable[[str], None]
    ) -> NetworkSegmentation:
        """Label one camera's frame. If the GPU's memory runs out, free it all, load the engine anew, and try once more.

        Args:
            camera: A name in ``pipelines``.
            frame: The image.
            short_of_memory: Told, in words, before the second attempt.

        Raises:
            ImageError: The image cannot be used.
            GpuMemoryError: There is no room in the second attempt either.
            EngineError: Inference failed.
        """
        segmenter = self.pipelines[camera].segmenter
        try:
            return segmenter.segment(frame)
        except EngineError as error:
            shortage = _shortage(error)
            if shortage is None:
                raise
            short_of_memory(shortage.one_line())
        try:
            self._load_anew()
            return segmenter.segment(frame)
        except EngineError as error:
            # An engine that cannot be loaded again leaves nothing to go on with either.
            raise _shortage(error) or GpuMemoryError(f"after memory ran out: {error.one_line()}") from None

    def reset(self) -> None:
        """Time ran back: forget the past."""
        for pipeline in self.pipelines.values():
            pipeline.reset()

    def set_class_cost(self, name: str, cost: Cost) -> None:
        """Change what a class costs.

        Raises:
            OntologyError: There is no such class, or it is not a cost.
        """
        self.first.set_class_cost(name, cost)

    def set_sure_confidence(self, sure_confidence: float) -> None:
        """Change the mean confidence below which a cell costs more.

        Raises:
            InputError: It is out of bounds.
        """
        self.first.set_sure_confidence(sure_confidence)

    def close(self) -> None:
        """Free the engine."""
        self.first.close()

    def _load_anew(self) -> None:
        self.first.close()
        gc.collect()
        engine = self._load()
        for pipeline in self.pipelines.values():
            pipeline.segmenter.engine = engine


def _shortage(error: EngineError) -> GpuMemoryError | None:
    """The error as one of the GPU's memory, if that is what it is."""
    if isinstance(error, GpuMemoryError):
        return error
    return gpu_memory_error(error, where="inference", doing="running the network")
