# SPDX-License-Identifier: Apache-2.0
"""From a portable bundle to a device engine: plan, build, gate, measure, write. One path for every back end."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from offroad_seg import resources
from offroad_seg.bundle import Bundle, write_bundle
from offroad_seg.compile.builder import BuildTools, find_builder
from offroad_seg.compile.latency import measure_latency
from offroad_seg.compile.parity import Parity, compare, gate_images, require
from offroad_seg.compile.watch import Watched
from offroad_seg.engines.registry import load_engine
from offroad_seg.errors import BundleError
from offroad_seg.manifest import PORTABLE
from offroad_seg.progress import progress

if TYPE_CHECKING:
    from offroad_seg.compile.builder import Built, Plan
    from offroad_seg.compile.parity import GateImages

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class CompileOptions:
    """What to build.

    Attributes:
        backend: A name from ``BUILDERS``.
        precision: ``fp32`` or ``fp16``.
        images: Real images for the gate; None draws a synthetic set.
        overwrite: Replace an existing bundle.
    """

    backend: str
    precision: str = "fp32"
    images: Path | None = None
    overwrite: bool = False


def plan_compile(bundle: Bundle, options: CompileOptions) -> Plan:
    """Say what would be built from a bundle here. Writes nothing.

    Raises:
        BundleError: The bundle is not a portable one.
        InputError: No such builder, or not in this precision.
        EngineError: What the builder needs is not installed.
    """
    if bundle.manifest.backend != PORTABLE:
        raise BundleError(
            f"this bundle was already compiled, for {bundle.manifest.backend}",
            where=str(bundle.path),
            mend="compile the portable bundle that `offroad-seg export` wrote",
        )
    return find_builder(options.backend).plan(bundle, options.precision)


def compile_bundle(bundle: Bundle, out: Path, options: CompileOptions) -> Bundle:
    """Build a device engine, prove it against the portable one, measure it, and write it as a bundle.

    Raises:
        InputError: As ``plan_compile``; ``out`` is not empty; the images cannot be read.
        EngineError: The run time refused the graph.
        GateError: The engine's labels differ too much, or something was not finite. Nothing is written.
    """
    plan = plan_compile(bundle, options)
    resources.check_output(out, overwrite=options.overwrite)
    images = gate_images(options.images, bundle.letterbox)
    if images.source != "real":
        _LOG.warning("no --images: the parity gate runs on synthetic pictures, which says less")
    _LOG.info("building %s %s for %s", plan.backend, plan.precision, plan.device)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".offroad-seg-compile-", dir=out.parent) as work:
        folder = Path(work) / "artefacts"
        folder.mkdir()
        built = _build(bundle, plan, folder)
        manifest = replace(
            bundle.manifest,
            backend=plan.backend,
            backends=(plan.backend,),
            precision=plan.precision,
            versions={**bundle.manifest.versions, **plan.versions},
            gpu=built.gpu,
            source={
                **bundle.manifest.source,
                **built.source,
                "portable": bundle.manifest.files,
                "portable_digest": bundle.manifest.digest,
            },
            latency_ms={},
        )
        candidate = write_bundle(Path(work) / "candidate", manifest, built.files)
        parity, latency = _judge(bundle, candidate, images, str(out))
        complete = replace(
            manifest,
            parity={
                "reference": "the portable bundle",
                plan.backend: parity.to_dict(),
                PORTABLE: bundle.manifest.parity,
            },
            latency_ms={plan.backend: latency},
        )
        return write_bundle(out, complete, built.files, overwrite=options.overwrite)


def _build(bundle: Bundle, plan: Plan, folder: Path) -> Built:
    """Let the builder build, with progress."""
    builder = find_builder(plan.backend)

    def work(watched: Watched[Built]) -> Built:
        return builder.build(bundle, plan, folder, BuildTools(watched.report, watched.cancelled))

    return Watched(work, what=f"building {plan.backend} {plan.precision}").run()


def _judge(
    bundle: Bundle, candidate: Bundle, images: GateImages, where: str
) -> tuple[Parity, dict[str, object]]:
    """Gate and measure a candidate. Loading it exercises every check that the vehicle makes."""
    reference, engine = load_engine(bundle), load_engine(candidate)
    try:
        parity = compare(
            candidate.manifest.backend,
            reference.infer,
            engine.infer,
            images,
            lambda items: progress(items, what="parity", total=len(images.images), unit="image"),
        )
        require(
            [parity],
            candidate.manifest.precision,
            bundle.ontology.names,
            where=where,
            mend="try --precision fp32, or another version of the run time; nothing was written",
        )
        return parity, measure_latency(engine, images.images[0][1])
    finally:
        reference.close()
        engine.close()
