# SPDX-License-Identifier: Apache-2.0
"""From parameters to a pipeline that is loaded and has run once. It never builds an engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from offroad_seg.bundle import Bundle
from offroad_seg.engines.registry import load_engine
from offroad_seg.errors import BundleError
from offroad_seg.grouping import Grouping
from offroad_seg.pipeline import PipelineSettings, build_pipelines
from offroad_seg.ros.rig import Rig
from offroad_seg.types import COST_LETHAL, COST_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable

    from offroad_seg.ontology import Cost, Ontology
    from offroad_seg.pipeline import PerceptionPipeline
    from offroad_seg.ros.settings import Settings


def load_rig(settings: Settings, costs_of: Callable[[Ontology], dict[str, Cost]]) -> Rig:
    """Load and verify the bundle, load its engine, run it once.

    Args:
        settings: The node's parameters.
        costs_of: Asked for the costs that differ from the ontology's, by class name.

    Raises:
        BundleError: No bundle is given, or it is refused; ``mend`` is the command that makes a fitting one.
        InputError: A parameter is wrong.
        EngineError: The engine cannot be loaded or does not run.
    """
    if not settings.bundle:
        raise BundleError(
            "no bundle is given",
            where="parameter bundle",
            mend="bundle:=FOLDER; offroad-seg export CHECKPOINT --height H --width W --out FOLDER makes one",
        )
    for camera in settings.camera_names:
        settings.mount(camera)  # a mount without its height is said before the engine loads
    bundle = Bundle.load(Path(settings.bundle).expanduser())
    backend, device, threads = settings.backend or None, settings.device, settings.threads
    pipelines = build_pipelines(
        bundle,
        settings.camera_names,
        backend=backend,
        device=device,
        threads=threads,
        settings=pipeline_settings(settings, costs_of(bundle.ontology)),
    )
    rig = Rig(pipelines, lambda: load_engine(bundle, backend, device, threads))
    try:
        rig.warm_up()
    except BaseException:
        rig.close()
        raise
    return rig


def pipeline_settings(settings: Settings, class_cost: dict[str, Cost]) -> PipelineSettings:
    """The pipeline's part of the parameters.

    Raises:
        InputError: Values that do not go together.
    """
    words: dict[int, Cost] = {COST_UNKNOWN: "unknown", COST_LETHAL: "lethal"}
    unlabelled = settings.costmap_unlabelled_cost
    return PipelineSettings(
        min_confidence=settings.min_confidence,
        min_contrast=settings.min_contrast,
        costmap_width=settings.costmap_width,
        costmap_height=settings.costmap_height,
        resolution=settings.costmap_resolution,
        max_range=settings.costmap_max_range,
        decay_time=settings.costmap_decay_time,
        sure_confidence=settings.costmap_sure_confidence,
        ground_height=settings.ground_height,
        costmap_frame=settings.grid_frame,
        odom_frame=settings.odom_frame,
        base_frame=settings.base_frame,
        class_cost=class_cost,
        unlabelled_cost=words.get(unlabelled, unlabelled),
        heed_ood=settings.ood_action == "unknown",
        output_size=settings.size_of_labels,
        rotation=settings.camera_rotation,
        projection=settings.projection,
        contact_slope=settings.contact_slope,
        contact_slope_least=settings.contact_slope_least,
        max_step=settings.max_step,
        max_slope=settings.max_slope,
        clearance=settings.clearance,
    )


def load_grouping(settings: Settings, ontology: Ontology) -> Grouping | None:
    """The grouping of classes in ``labels``, where one is given.

    Raises:
        InputError: It cannot be read, or does not fit the bundle's classes.
    """
    if not settings.label_grouping:
        return None
    return Grouping.load(Path(settings.label_grouping).expanduser(), ontology)


def describe(pipeline: PerceptionPipeline) -> dict[str, str]:
    """What really runs, for the log and diagnostics."""
    bundle, info = pipeline.segmenter.bundle, pipeline.segmenter.engine.info
    manifest = bundle.manifest
    return {
        "bundle": manifest.name,
        "bundle_path": str(bundle.path),
        "ontology": f"{bundle.ontology.name} ({bundle.ontology.n_classes} classes)",
        "input_size": f"{manifest.input_width}x{manifest.input_height}",
        "backend": f"{info.backend} {info.version}",
        "device": info.device,
        "precision": info.precision,
        "providers": " ".join(info.providers),
    }
