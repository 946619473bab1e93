# SPDX-License-Identifier: Apache-2.0
"""Frame in, ``Perception`` out: all that the node, replay and the benchmarks call. No ROS, no training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offroad_seg.engines.registry import load_engine
from offroad_seg.errors import InputError
from offroad_seg.mapping.settings import PipelineSettings
from offroad_seg.perception import NO_DEPTH, STAGES, PerceptionPipeline
from offroad_seg.segmenter import Segmenter, check_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offroad_seg.bundle import Bundle
    from offroad_seg.mapping.projector import Projector
    from offroad_seg.mapping.rolling import RollingCostmap

__all__ = [
    "NO_DEPTH",
    "STAGES",
    "PerceptionPipeline",
    "PipelineSettings",
    "build_pipeline",
    "build_pipelines",
]


def build_pipeline(
    bundle: Bundle,
    *,
    backend: str | None = None,
    device: str = "auto",
    threads: int = 0,
    settings: PipelineSettings | None = None,
) -> PerceptionPipeline:
    """Load the bundle's engine and build the pipeline of one camera, as ``build_pipelines`` does.

    Raises:
        InputError: A setting is out of bounds, or names a class that the bundle does not have.
        BundleError: The bundle does not run with that back end.
        EngineError: The engine cannot be loaded.
    """
    return build_pipelines(bundle, ("",), backend=backend, device=device, threads=threads, settings=settings)[
        ""
    ]


def build_pipelines(
    bundle: Bundle,
    sources: Sequence[str],
    *,
    backend: str | None = None,
    device: str = "auto",
    threads: int = 0,
    settings: PipelineSettings | None = None,
    spin: bool = True,
) -> dict[str, PerceptionPipeline]:
    """Load the bundle's engine once, and build a pipeline for each camera; all feed one costmap.

    Args:
        bundle: A verified bundle.
        sources: The cameras' names, each once.
        backend: Engine's name; None takes the bundle's best that works here.
        device: ``auto``, ``cpu``, ``cuda`` …
        threads: Threads of a CPU engine, 0 for its default.
        settings: None takes the defaults.
        spin: As for ``load_engine``; False where other threads have work to do meanwhile.

    Returns:
        Camera's name → its pipeline. To be called from one thread at a time; ``close`` of one closes the engine of
        all, and ``reset`` of each is needed when time runs back.

    Raises:
        InputError: A setting is out of bounds, names a class that the bundle does not have, or several cameras are
            to share a costmap in the base frame, where nothing can be fused.
        BundleError: The bundle does not run with that back end.
        EngineError: The engine cannot be loaded.
    """
    settings = settings or PipelineSettings()
    check_view(settings.output_size, settings.rotation)
    costmap: RollingCostmap | None = None
    projectors: dict[str, Projector] = {}
    if settings.costmap_width > 0:
        if len(sources) > 1 and settings.in_base_frame:
            raise InputError(
                f"{len(sources)} cameras share a costmap in {settings.base_frame}, where nothing can be fused",
                where="cameras, costmap_frame",
                mend=f"give odometry and costmap_frame: {settings.odom_frame}",
            )
        # Before the engine: a wrong setting is said at once, not after it has loaded.
        projectors = {source: settings.projector(bundle.ontology) for source in sources}
        costmap = settings.costmap(bundle.ontology)
    engine = load_engine(bundle, backend=backend, device=device, threads=threads, spin=spin)
    return {
        source: PerceptionPipeline(
            Segmenter(bundle, engine, output_size=settings.output_size, rotation=settings.rotation),
            projectors.get(source),
            costmap,
            in_base_frame=settings.in_base_frame,
            slope_time=settings.slope_time,
            heed_ood=settings.heed_ood,
            cloud=settings.cloud(bundle.ontology) if projectors else None,
            source=source,
            min_contrast=settings.min_contrast,
        )
        for source in sources
    }
