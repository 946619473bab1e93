# SPDX-License-Identifier: Apache-2.0
"""From a portable bundle to a device engine: plan, build, gate, measure, write. One path for every back end."""

from __future__ import annotations

import hashlib
import logging
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from offroad_seg import resources
from offroad_seg.bundle import Bundle, compile_command, write_bundle
from offroad_seg.compile.builder import BuildTools, Built, find_builder
from offroad_seg.compile.cache import entry_path, load_entry, locked
from offroad_seg.compile.gate_images import MAX_IMAGES, calibration_images, gate_images
from offroad_seg.compile.images import list_images
from offroad_seg.compile.judge import judge
from offroad_seg.compile.ood_level import with_level
from offroad_seg.compile.out_of_memory import gpu_memory_error
from offroad_seg.compile.space import full_disk, require_space
from offroad_seg.compile.watch import Watched
from offroad_seg.engines import registry
from offroad_seg.errors import BundleError, EngineError, InputError
from offroad_seg.manifest import PORTABLE, Manifest
from offroad_seg.scratch import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from offroad_seg.compile.builder import Plan
    from offroad_seg.compile.gate_images import GateImages

_LOG = logging.getLogger(__name__)
_WORK = ".offroad-seg-compile-"


@dataclass(frozen=True)
class CompileOptions:
    """What to build.

    Attributes:
        backend: A name from ``BUILDERS``.
        precision: ``fp32``, ``fp16`` or ``int8``.
        images: Real images for the gate; None draws a synthetic set.
        overwrite: Replace an existing bundle.
        masks: Masks of the images: classes are then judged against the truth.
        gate_count: At most so many images in the gate.
        calibration: Images that int8 takes its ranges from; None takes those of ``images`` that the gate leaves.
        cache: Folder of engines that were built before; None builds without it.
        route: What it is built from, where there is a choice; empty lets the builder choose.
    """

    backend: str
    precision: str = "fp32"
    images: Path | None = None
    overwrite: bool = False
    masks: Path | None = None
    gate_count: int = MAX_IMAGES
    calibration: Path | None = None
    cache: Path | None = None
    route: str = ""


@dataclass(frozen=True)
class Pictures:
    """What the compiler looks at.

    Attributes:
        gate: What the gate runs on.
        calibration: What int8 takes its ranges from; empty for other precisions.
    """

    gate: GateImages
    calibration: list[NDArray[np.uint8]]

    def calibration_digest(self) -> str:
        """SHA-256 over the pixels; empty where there are none."""
        digest = hashlib.sha256()
        for image in self.calibration:
            digest.update(image.tobytes())
        return digest.hexdigest() if self.calibration else ""


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
    return find_builder(options.backend, options.route).plan(bundle, options.precision)


def compile_bundle(bundle: Bundle, out: Path | None, options: CompileOptions) -> Bundle:
    """Build a device engine, prove it against the portable one, measure it, and write it as a bundle.

    An engine that the cache holds is not built again; where it passed the gate on the same pictures, it is not judged
    again either.

    Args:
        bundle: A portable bundle.
        out: The folder to write; None leaves the engine in the cache.
        options: What to build.

    Raises:
        InputError: As ``plan_compile``; ``out`` is not empty; the images cannot be read.
        EngineError: The run time refused the graph, or the GPU's memory ran out.
        GateError: The engine's labels differ too much, or something was not finite. No bundle is written.
        OffroadSegError: No space is left.
    """
    plan = plan_compile(bundle, options)
    _require_judgeable(bundle, plan)
    if out is None and options.cache is None:
        raise InputError("nowhere to write the engine to", mend="--out BUNDLE2, or without --no-cache")
    if out is not None:
        resources.check_output(out, overwrite=options.overwrite)
    pictures = _pictures(bundle, options)
    if pictures.gate.source != "real":
        _LOG.warning("no --images: the gate runs on synthetic pictures, which says less")
    if options.cache is None:
        assert out is not None
        return _build_and_write(bundle, plan, pictures, out, overwrite=options.overwrite)
    entry = entry_path(options.cache, bundle, plan, pictures.calibration_digest())
    with locked(entry) as usable:
        if not usable:
            if out is None:
                raise InputError(
                    "nowhere to write the engine to", where=str(entry.parent), mend="--out BUNDLE2"
                )
            return _build_and_write(bundle, plan, pictures, out, overwrite=options.overwrite)
        cached = _from_cache(bundle, plan, pictures, entry, out or entry)
        if out is None:
            return cached
        return write_bundle(out, cached.manifest, _files(cached), overwrite=options.overwrite)


def _require_judgeable(bundle: Bundle, plan: Plan) -> None:
    """Refuse before minutes are spent on an engine that cannot run here: some can be built without their GPU."""
    if reason := registry._engine_class(plan.backend).unavailable():
        raise EngineError(
            f"an engine for {plan.backend} cannot be judged here, where it does not run: {reason}",
            where=str(bundle.path),
            mend="compile on the machine that will run it; --check-only says what would be built",
        )


def find_cached(bundle: Bundle, options: CompileOptions) -> Path | None:
    """Where the engine lies, if it was built before; None where it was not, or there is no cache.

    Raises:
        InputError: As ``plan_compile``; the images that int8 takes its ranges from cannot be read.
    """
    if options.cache is None:
        return None
    digest = _pictures(bundle, options).calibration_digest() if options.precision == "int8" else ""
    entry = entry_path(options.cache, bundle, plan_compile(bundle, options), digest)
    return None if load_entry(entry) is None else entry


def _pictures(bundle: Bundle, options: CompileOptions) -> Pictures:
    count = options.gate_count
    int8 = options.precision == "int8"
    if int8 and options.calibration is None and options.images is not None:
        # Both from one folder: the gate leaves half of it for the ranges.
        count = min(count, max(1, len(list_images(options.images)) // 2))
    gate = gate_images(options.images, bundle.letterbox, count, masks=options.masks, ontology=bundle.ontology)
    if not int8:
        return Pictures(gate, [])
    names = [image.name for image in gate.images]
    ranges = calibration_images(options.calibration, options.images, bundle.letterbox, not_these=names)
    return Pictures(gate, ranges)


def _from_cache(bundle: Bundle, plan: Plan, pictures: Pictures, entry: Path, shown: Path) -> Bundle:
    """The entry's engine, built if it is not there and judged on these pictures if it was not."""
    cached = load_entry(entry)
    if cached is None:
        return _build_and_write(bundle, plan, pictures, entry, overwrite=True, shown=shown)
    if cached.manifest.parity.get(plan.backend, {}).get("images_sha256") == pictures.gate.digest():
        _LOG.info("taken from the cache, where it passed the gate on these pictures: %s", entry)
        return cached
    _LOG.info("taken from the cache; only the gate runs, on these pictures: %s", entry)
    manifest = _judged(bundle, cached, cached.manifest, pictures.gate, shown)
    return write_bundle(entry, manifest, _files(cached), overwrite=True)


def _build_and_write(
    bundle: Bundle, plan: Plan, pictures: Pictures, out: Path, *, overwrite: bool, shown: Path | None = None
) -> Bundle:
    _LOG.info("building %s %s for %s", plan.backend, plan.precision, plan.device)
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(out.parent, _WORK) as work, _explained(bundle, work, shown or out):
        folder = work / "artefacts"
        folder.mkdir()
        built = _build(bundle, plan, pictures, folder)
        manifest = _manifest(bundle, plan, built)
        candidate = write_bundle(work / "candidate", manifest, built.files)
        complete = _judged(bundle, candidate, manifest, pictures.gate, shown or out)
        return write_bundle(out, complete, built.files, overwrite=overwrite)


@contextmanager
def _explained(bundle: Bundle, work: Path, out: Path) -> Iterator[None]:
    """Say where a disk or a GPU is full, whatever the run time makes of it, and name no folder that is gone then."""
    # The engine, and its copy: a device engine is seldom larger than the graph that it comes from.
    needed = 2 * max((bundle.path / name).stat().st_size for name in bundle.manifest.files)
    require_space(work, needed)
    try:
        yield
    except (OSError, EngineError, RuntimeError, MemoryError) as error:
        known = full_disk(error, work, needed) or gpu_memory_error(error, where=str(bundle.path))
        if known is not None:
            raise known from error
        if isinstance(error, EngineError) and str(work) in error.where:
            raise type(error)(error.what, where=str(out), mend=error.mend) from error
        raise
    except BundleError as error:
        # The engine that was just built does not load: to build it again would not mend that.
        mend = (
            f"{compile_command(bundle, 'onnxruntime')}, or report this with {bundle.manifest.name}'s manifest"
        )
        raise EngineError(error.what, where=str(out), mend=mend) from error


def _build(bundle: Bundle, plan: Plan, pictures: Pictures, folder: Path) -> Built:
    """Let the builder build, with progress."""
    builder = find_builder(plan.backend, plan.bound_to.get("route", ""))

    def work(watched: Watched[Built]) -> Built:
        tools = BuildTools(watched.report, watched.cancelled, pictures.calibration)
        return builder.build(bundle, plan, folder, tools)

    return Watched(work, what=f"building {plan.backend} {plan.precision}").run()


def _manifest(bundle: Bundle, plan: Plan, built: Built) -> Manifest:
    """What the engine is, before it was judged."""
    return replace(
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
            "portable_path": str(bundle.path.resolve()),
        },
        parity={PORTABLE: bundle.manifest.parity},
        latency_ms={},
        memory_mb={},
    )


def _judged(
    bundle: Bundle, candidate: Bundle, manifest: Manifest, images: GateImages, shown: Path
) -> Manifest:
    """The manifest with what the gate measured."""
    judgement = judge(bundle, candidate, images, shown)
    backend = manifest.backend
    return replace(
        manifest,
        parity={
            **manifest.parity,
            "reference": judgement.reference,
            backend: judgement.parity.to_dict(),
        },
        # From the portable bundle's: one that was fitted on other pictures does not stay.
        ood=with_level(bundle.manifest.ood, judgement.parity),
        latency_ms={backend: judgement.latency_ms},
        memory_mb={backend: judgement.memory_mb},
    )


def _files(bundle: Bundle) -> dict[str, Path | bytes]:
    return {name: bundle.path / name for name in bundle.manifest.files}
