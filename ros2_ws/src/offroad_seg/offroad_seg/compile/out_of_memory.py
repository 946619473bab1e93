# SPDX-License-Identifier: Apache-2.0
"""What to say when a GPU's memory runs out while an engine is built."""

from __future__ import annotations

import re

from offroad_seg.errors import EngineError
from offroad_seg.manifest import EXPORT_AGAIN
from offroad_seg.memory import GpuMemory, gpu_free

_MIB = 1 << 20
# What run times write when a GPU's memory runs out, with the size that they asked for.
_OUT_OF_MEMORY = re.compile(
    r"out of memory|outofmemory|failed to allocate memory|could not be allocated|insufficient memory|"
    r"CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation",
    re.IGNORECASE,
)
_ASKED = (
    re.compile(r"tried to allocate ([\d.]+) ?([KMG]i?B)", re.IGNORECASE),  # torch
    re.compile(
        r"requested (?:amount of (?:GPU )?memory|size)[^\d]*(\d+)( ?bytes|\))", re.IGNORECASE
    ),  # TensorRT
    re.compile(r"requested buffer of size (\d+)()", re.IGNORECASE),  # ONNX Runtime
    re.compile(r"allocation of (\d+)( ?bytes)", re.IGNORECASE),
)
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def out_of_memory(error: BaseException, *, where: str, free: GpuMemory | None = None) -> EngineError | None:
    """The error to raise where a build failed because a GPU's memory ran out; None where that was not the reason.

    Args:
        error: What the builder raised.
        where: What was being built.
        free: The GPU's memory; None asks the driver.
    """
    text = "; ".join(str(e) for e in _chain(error))
    names = {type(e).__name__ for e in _chain(error)}
    if not _OUT_OF_MEMORY.search(text) and "OutOfMemoryError" not in names:
        return None
    memory = free or gpu_free()
    asked = _asked_mb(text)
    said = "an amount that the run time does not tell" if asked is None else f"{asked:.0f} MiB"
    there = "" if memory is None else f"; {memory.free:.0f} of {memory.total:.0f} MiB are free"
    return EngineError(
        f"the GPU's memory ran out while building: {said} was asked for{there}",
        where=where,
        mend="end what else uses the GPU (nvidia-smi lists it; on a Jetson also a desktop and browsers), or export at "
        f"a smaller size: {EXPORT_AGAIN}",
    )


def _asked_mb(text: str) -> float | None:
    for pattern in _ASKED:
        if match := pattern.search(text):
            unit = match.group(2).strip().lower()[:1]
            return float(match.group(1)) * _UNITS.get(unit, 1) / _MIB
    return None


def _chain(error: BaseException) -> list[BaseException]:
    """An error and what it came from."""
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or current.__context__
    return found
