# SPDX-License-Identifier: Apache-2.0
"""Telling that a GPU's memory ran out, from what run times write then. TensorRT's builders know it by themselves."""

from __future__ import annotations

import re

from offroad_seg.engines.cuda_driver import out_of_memory
from offroad_seg.errors import GpuMemoryError
from offroad_seg.memory import GpuMemory, gpu_free

_MIB = 1 << 20
_OUT_OF_MEMORY = re.compile(
    r"out of memory|failed to allocate memory|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation",
    re.IGNORECASE,
)
# With the size that was asked for.
_ASKED = (
    re.compile(r"tried to allocate ([\d.]+) ?([KMG])i?B", re.IGNORECASE),  # torch
    re.compile(r"requested buffer of size (\d+)()", re.IGNORECASE),  # ONNX Runtime
)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def gpu_memory_error(
    error: BaseException, *, where: str, memory: GpuMemory | None = None, doing: str = "building"
) -> GpuMemoryError | None:
    """The error to raise where something failed because a GPU's memory ran out.

    None where that was not the reason, or where the error says it already.

    Args:
        error: What the builder raised.
        where: What was being built or run.
        doing: Which of the two.
        memory: The GPU's; None asks the driver.
    """
    if isinstance(error, GpuMemoryError):
        return None
    text = "; ".join(str(e) for e in _chain(error))
    if not _OUT_OF_MEMORY.search(text):
        return None
    known = memory or gpu_free()
    return out_of_memory(
        f"the GPU's memory ran out while {doing}",
        _asked_bytes(text),
        None if known is None else (int(known.free * _MIB), int(known.total * _MIB)),
        where=where,
    )


def _asked_bytes(text: str) -> int | None:
    for pattern in _ASKED:
        if match := pattern.search(text):
            return int(float(match.group(1)) * _UNITS[match.group(2).lower()])
    return None


def _chain(error: BaseException) -> list[BaseException]:
    """An error and what it came from."""
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or current.__context__
    return found
