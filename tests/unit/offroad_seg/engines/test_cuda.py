# SPDX-License-Identifier: Apache-2.0
"""The driver layer on a driver without a GPU: memory, streams, graphs, errors."""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from offroad_seg.engines import cuda_driver
from offroad_seg.engines.cuda import DeviceBuffer, Gpu, PinnedArray, Stream, why_no_gpu
from offroad_seg.errors import EngineError, GpuMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable


def test_gpu_says_what_it_is(gpu: Gpu) -> None:
    assert gpu.describe() == {"name": "Fake GPU", "compute_capability": "8.7", "driver": gpu.driver_version}
    assert gpu.memory() == (1 << 30, 1 << 30)
    assert gpu.integrated


def test_what_goes_up_comes_down_when_the_stream_is_waited_for(gpu: Gpu) -> None:
    there, back = PinnedArray(gpu, (3, 5), np.float32), PinnedArray(gpu, (3, 5), np.float32)
    memory, stream = DeviceBuffer(gpu, there.nbytes), Stream(gpu)
    there.array[:] = np.arange(15).reshape(3, 5)
    back.array[:] = -1
    stream.upload(memory, there)
    stream.download(back, memory)
    assert (back.array == -1).all()  # the fake driver is as lazy as a real one may be
    stream.synchronize()
    np.testing.assert_array_equal(back.array, there.array)
    for held in (there, back, memory, stream):
        held.close()
        held.close()


def test_a_graph_does_nothing_until_it_is_launched(gpu: Gpu) -> None:
    there, back = PinnedArray(gpu, (4,), np.uint8), PinnedArray(gpu, (4,), np.uint8)
    memory, stream = DeviceBuffer(gpu, 4), Stream(gpu)
    back.array[:] = 0

    def work() -> None:
        stream.upload(memory, there)
        stream.download(back, memory)

    there.array[:] = 7
    graph = stream.capture(work)
    stream.synchronize()
    assert not back.array.any()
    for value in (7, 9):
        there.array[:] = value
        graph.launch(stream)
        stream.synchronize()
        assert (back.array == value).all()
    for held in (graph, there, back, memory, stream):
        held.close()


@pytest.mark.parametrize("error", [EngineError("no"), KeyboardInterrupt()])
def test_recording_that_fails_leaves_the_stream_in_order(gpu: Gpu, error: BaseException) -> None:
    stream = Stream(gpu)

    def work() -> None:
        raise error

    with pytest.raises(type(error)):
        stream.capture(work)
    stream.synchronize()
    stream.capture(lambda: None).close()
    stream.close()


def test_no_room_says_how_much_was_asked_and_is_free(gpu: Gpu, driver: ctypes.CDLL) -> None:
    driver.fake_reset(10 << 20)
    held = DeviceBuffer(gpu, 4 << 20)
    makers: list[Callable[[], object]] = [
        lambda: DeviceBuffer(gpu, 7 << 20),
        lambda: PinnedArray(gpu, (7 << 20,), np.uint8),
    ]
    for make in makers:
        with pytest.raises(GpuMemoryError, match="7 MiB were asked for, 6 MiB of 10 MiB are free") as caught:
            make()
        assert "nvidia-smi" in caught.value.mend
    held.close()


def test_each_thread_must_take_the_context(gpu: Gpu) -> None:
    found: list[object] = []

    def work() -> None:
        try:
            DeviceBuffer(gpu, 16)
        except EngineError as error:
            found.append(error.what)
        gpu.use()
        buffer = DeviceBuffer(gpu, 16)
        found.append(buffer.nbytes)
        buffer.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [
        "cuMemAlloc_v2 failed: CUDA_ERROR_INVALID_CONTEXT, as the fake driver says",
        16,
    ]


def test_gpu_that_is_not_there(driver: ctypes.CDLL) -> None:
    with pytest.raises(EngineError, match="finds 1 GPUs, number 3 is asked for"):
        Gpu(3, library=driver)


def test_machine_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_driver, "LIBRARIES", ("libnosuchcuda.so.1",))
    cuda_driver.load_library.cache_clear()
    try:
        assert "no NVIDIA driver" in why_no_gpu()
        with pytest.raises(EngineError, match=r"libcuda\.so\.1") as caught:
            Gpu()
        assert "offroad-seg doctor" in caught.value.mend
    finally:
        cuda_driver.load_library.cache_clear()


def test_driver_that_is_too_old() -> None:
    with pytest.raises(EngineError, match="too old: it has no cuInit"):
        cuda_driver.declare(ctypes.CDLL(None))
