# SPDX-License-Identifier: Apache-2.0
"""Gating and measuring a candidate engine against its portable bundle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offroad_seg.compile.gate import LIMITS, require
from offroad_seg.compile.latency import measure_latency
from offroad_seg.compile.parity import compare
from offroad_seg.compile.refused import write_refused
from offroad_seg.engines.registry import load_engine
from offroad_seg.errors import GateError
from offroad_seg.memory import gpu_memory_mb, host_memory_mb
from offroad_seg.progress import progress

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg.bundle import Bundle
    from offroad_seg.compile.gate_images import GateImages
    from offroad_seg.compile.parity import Parity
    from offroad_seg.engines.base import InferenceEngine


@dataclass(frozen=True)
class Judgement:
    """What a candidate that passed was shown to do.

    Attributes:
        parity: Its agreement with the reference.
        reference: What it was held against, in words.
        latency_ms: As ``measure_latency``.
        memory_mb: ``host`` and ``gpu``, what loading and the first image took, MiB; None where it is not known.
    """

    parity: Parity
    reference: str
    latency_ms: dict[str, Any]
    memory_mb: dict[str, float | None]


def judge(portable: Bundle, candidate: Bundle, images: GateImages, out: Path) -> Judgement:
    """Gate a candidate, then measure it. Loading it exercises every check that the vehicle makes.

    The reference is the portable bundle in fp32 on the CPU: no provider that might compute in TF32 or fp16.

    Args:
        portable: What the candidate was built from.
        candidate: The engine, as a bundle.
        images: The gate's pictures.
        out: The bundle that was asked for; the pictures of a refusal go beside it.

    Raises:
        GateError: The candidate does not hold its limits.
        EngineError: It or the reference cannot be loaded or fails.
    """
    engine, memory_mb = _load_and_weigh(candidate, images)
    try:
        reference = load_engine(portable, device="cpu")
        try:
            parity = compare(
                candidate.manifest.backend,
                reference.infer,
                engine.infer,
                images,
                lambda items: progress(items, what="gate", total=len(images.images), unit="image"),
                names=portable.ontology.names,
            )
            said = f"the portable bundle: {reference.info.backend} {reference.info.version}, fp32, cpu"
        finally:
            reference.close()
        _require(parity, candidate, images, out)
        return Judgement(parity, said, measure_latency(engine, images.images[0].image_HWC), memory_mb)
    finally:
        engine.close()


def _load_and_weigh(candidate: Bundle, images: GateImages) -> tuple[InferenceEngine, dict[str, float | None]]:
    """Load an engine and run it once; with the memory that this took."""
    host, gpu = host_memory_mb(), gpu_memory_mb()
    engine = load_engine(candidate)
    engine.infer(images.images[0].image_HWC[None])
    return engine, {"host": _grown(host, host_memory_mb()), "gpu": _grown(gpu or 0.0, gpu_memory_mb())}


def _grown(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else round(max(0.0, after - before), 1)


def _require(parity: Parity, candidate: Bundle, images: GateImages, out: Path) -> None:
    precision = candidate.manifest.precision
    try:
        require([parity], precision, where=str(out), mend=_mend(precision, images))
    except GateError as error:
        folder = write_refused(out, parity, LIMITS[precision], candidate.ontology)
        shown = "" if folder is None else f"\n    pictures of the worst frames: {folder}"
        raise GateError(error.what + shown, where=error.where, mend=error.mend) from None


def _mend(precision: str, images: GateImages) -> str:
    ways = {
        "fp32": "report this with the bundle",
        "fp16": "--precision fp32",
        "int8": "--calibration DIR with more pictures of the vehicle's camera, or --precision fp16 or fp32",
    }
    real = (
        ""
        if images.source == "real"
        else "give real pictures with --images DIR, which say more than noise; or "
    )
    return f"{real}{ways[precision]}; nothing was written"
