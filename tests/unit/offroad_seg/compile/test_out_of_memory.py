# SPDX-License-Identifier: Apache-2.0
"""A GPU whose memory ran out is told with what was asked for and what is free."""

from __future__ import annotations

import mmap

import pytest

from offroad_seg.compile.out_of_memory import gpu_memory_error
from offroad_seg.errors import EngineError, GpuMemoryError
from offroad_seg.memory import GpuMemory, gpu_free, gpu_memory_mb, host_memory_mb

FREE = GpuMemory(free=512.0, total=7620.0)
TORCH = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 7.44 GiB of which 512.00 MiB is free."
ONNX_RUNTIME = (
    "Non-zero status code: BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of "
    "size 1073741824"
)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (TORCH, "2560 MiB were asked for"),
        (ONNX_RUNTIME, "1024 MiB were asked for"),
        ("cudaErrorMemoryAllocation", ""),
    ],
)
def test_sizes_are_told(text: str, asked: str) -> None:
    error = gpu_memory_error(RuntimeError(text), where="bundles/tiny", memory=FREE)
    assert isinstance(error, GpuMemoryError)
    assert asked in error.what
    assert "512 MiB of 7620 MiB are free" in error.what
    assert error.where == "bundles/tiny"
    assert "smaller size" in error.mend
    assert error.exit_code == 1


def test_the_cause_of_an_error_is_looked_at() -> None:
    try:
        try:
            raise RuntimeError("CUDA out of memory. Tried to allocate 64.00 MiB.")
        except RuntimeError as error:
            raise EngineError("the run time refused the graph") from error
    except EngineError as error:
        found = gpu_memory_error(error, where="x", memory=FREE)
    assert found is not None
    assert "64 MiB were asked for" in found.what


def test_other_errors_are_left_alone() -> None:
    assert gpu_memory_error(EngineError("unsupported operator"), where="x") is None
    assert gpu_memory_error(GpuMemoryError("out of memory: said already"), where="x") is None


def test_memory_of_this_process() -> None:
    before = host_memory_mb()
    assert before is not None
    with mmap.mmap(
        -1, 64 << 20
    ) as kept:  # pages of its own: a bytearray may take some that were freed before
        for page in range(0, len(kept), mmap.PAGESIZE):
            kept[page] = 1
        after = host_memory_mb()
    assert after is not None
    assert 50 < after - before < 200
    # Where there is no GPU both are None, and nothing raises.
    assert gpu_memory_mb() is None or gpu_memory_mb() >= 0
    free = gpu_free()
    assert free is None or 0 < free.free <= free.total
