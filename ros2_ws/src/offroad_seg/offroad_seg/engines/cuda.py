# SPDX-License-Identifier: Apache-2.0
"""The little of CUDA that an engine needs: memory, a stream, a graph, a kernel.

The GPU's primary context is used, which TensorRT, torch and ONNX Runtime use too.
"""

from __future__ import annotations

import ctypes
from ctypes import c_int, c_uint64, c_void_p
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.engines.cuda_driver import NO_GPU, Driver, load_library
from offroad_seg.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_MAJOR, _MINOR, _INTEGRATED = 75, 76, 18
_NON_BLOCKING = 1
_CAPTURE_THREAD = 1


class Gpu:
    """One GPU and its primary context. Close it when all that was made with it is closed.

    Args:
        index: Which GPU; those that ``CUDA_VISIBLE_DEVICES`` shows.
        library: The driver's library; None finds it.

    Attributes:
        name: As the driver calls it.
        compute_capability: ``major.minor``.
        driver: Its functions.
        driver_version: Version of the driver.
        integrated: Whether it shares the host's memory, as on a Jetson.

    Raises:
        EngineError: There is no driver, or no GPU.
    """

    def __init__(self, index: int = 0, library: ctypes.CDLL | None = None) -> None:
        self.driver = Driver(library or load_library())
        self._context = c_void_p()
        count, device = c_int(), c_int()
        self.driver.call("cuInit", 0)
        self.driver.call("cuDeviceGetCount", ctypes.byref(count))
        if count.value <= index:
            raise EngineError(
                f"the driver finds {count.value} GPUs, number {index} is asked for", mend=NO_GPU
            )
        self.driver.call("cuDeviceGet", ctypes.byref(device), index)
        self._device = device.value
        name = ctypes.create_string_buffer(256)
        self.driver.call("cuDeviceGetName", name, len(name), self._device)
        self.name = name.value.decode("utf-8", "replace")
        self.compute_capability = f"{self._attribute(_MAJOR)}.{self._attribute(_MINOR)}"
        self.integrated = bool(self._attribute(_INTEGRATED))
        self.driver_version = self.driver.version()
        self.driver.call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._device)
        self.use()

    def use(self) -> None:
        """Make the context current in this thread: needed once in each thread that calls CUDA."""
        self.driver.call("cuCtxSetCurrent", self._context)

    def settle(self) -> None:
        """Wait until nothing runs on it any more, before memory is freed; a GPU that failed does not matter then."""
        self.driver.give_back("cuCtxSetCurrent", self._context)
        self.driver.give_back("cuCtxSynchronize")

    def describe(self) -> dict[str, str]:
        """The manifest's ``gpu``."""
        return {
            "name": self.name,
            "compute_capability": self.compute_capability,
            "driver": self.driver_version,
        }

    def memory(self) -> tuple[int, int]:
        """Bytes that are free, and all.

        Raises:
            EngineError: The GPU does not answer.
        """
        found = self.driver.memory()
        if found is None:
            raise EngineError("the GPU does not say how much memory it has", mend=NO_GPU)
        return found

    def close(self) -> None:
        """Give the context back; safe to call twice."""
        if self._context.value:
            current = c_void_p()
            self.driver.give_back("cuCtxGetCurrent", ctypes.byref(current))
            if current.value == self._context.value:
                # Giving it back does not take it from this thread, which would be left with a context that is gone.
                self.driver.give_back("cuCtxSetCurrent", None)
            self.driver.give_back("cuDevicePrimaryCtxRelease_v2", self._device)
            self._context = c_void_p()

    def _attribute(self, which: int) -> int:
        value = c_int()
        self.driver.call("cuDeviceGetAttribute", ctypes.byref(value), which, self._device)
        return value.value


class DeviceBuffer:
    """Memory on the GPU.

    Attributes:
        address: Of its first byte, for the GPU.
        nbytes: Its size.

    Raises:
        GpuMemoryError: There is not so much.
    """

    def __init__(self, gpu: Gpu, nbytes: int) -> None:
        self._gpu, self.nbytes = gpu, nbytes
        address = c_uint64()
        gpu.driver.call("cuMemAlloc_v2", ctypes.byref(address), max(1, nbytes), asked=nbytes)
        self.address = address.value

    def close(self) -> None:
        """Free it; safe to call twice."""
        if self.address:
            address, self.address = self.address, 0
            self._gpu.driver.give_back("cuMemFree_v2", address)


class PinnedArray:
    """An array in memory that the GPU copies to and from by itself, while the host does something else.

    Attributes:
        array: numpy array over it; it must not be used after ``close``.
        address: Of its first byte, for the host.
    """

    def __init__(self, gpu: Gpu, shape: Sequence[int], dtype: Any) -> None:
        self._gpu = gpu
        kind = np.dtype(dtype)
        self.nbytes = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        pointer = c_void_p()
        gpu.driver.call("cuMemHostAlloc", ctypes.byref(pointer), max(1, self.nbytes), 0, asked=self.nbytes)
        self.address = pointer.value or 0
        raw = (ctypes.c_uint8 * max(1, self.nbytes)).from_address(self.address)
        flat: NDArray[Any] = np.frombuffer(raw, dtype=np.uint8, count=self.nbytes)
        self.array: NDArray[Any] = flat.view(kind).reshape(tuple(shape))

    def close(self) -> None:
        """Free it; safe to call twice."""
        if self.address:
            address, self.address = self.address, 0
            self.array = np.empty(0, self.array.dtype)
            self._gpu.driver.give_back("cuMemFreeHost", address)


class Stream:
    """A queue of work on the GPU, apart from the default one.

    Attributes:
        handle: For TensorRT.
    """

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        handle = c_void_p()
        gpu.driver.call("cuStreamCreate", ctypes.byref(handle), _NON_BLOCKING)
        self.handle: int = handle.value or 0

    def upload(self, target: DeviceBuffer, source: PinnedArray, nbytes: int | None = None) -> None:
        """Copy from the host."""
        count = source.nbytes if nbytes is None else nbytes
        self._gpu.driver.call("cuMemcpyHtoDAsync_v2", target.address, source.address, count, self.handle)

    def download(self, target: PinnedArray, source: DeviceBuffer) -> None:
        """Copy to the host."""
        self._gpu.driver.call(
            "cuMemcpyDtoHAsync_v2", target.address, source.address, target.nbytes, self.handle
        )

    def synchronize(self) -> None:
        """Wait until all is done.

        Raises:
            EngineError: Something in the queue failed.
        """
        self._gpu.driver.call("cuStreamSynchronize", self.handle)

    def capture(self, work: Callable[[], None]) -> Graph:
        """Record what ``work`` puts into this stream, without doing it.

        Raises:
            EngineError: Something in it cannot be recorded.
        """
        graph = c_void_p()
        self._gpu.driver.call("cuStreamBeginCapture_v2", self.handle, _CAPTURE_THREAD)
        try:
            work()
        except BaseException:
            # The stream must leave the recording, whatever became of it.
            self._gpu.driver.give_back("cuStreamEndCapture", self.handle, ctypes.byref(graph))
            if graph.value:
                self._gpu.driver.give_back("cuGraphDestroy", graph)
            raise
        self._gpu.driver.call("cuStreamEndCapture", self.handle, ctypes.byref(graph))
        return Graph(self._gpu, graph)

    def close(self) -> None:
        """Destroy it; safe to call twice."""
        if self.handle:
            handle, self.handle = self.handle, 0
            self._gpu.driver.give_back("cuStreamDestroy_v2", handle)


class Graph:
    """Recorded work that is launched as one."""

    def __init__(self, gpu: Gpu, graph: c_void_p) -> None:
        self._gpu = gpu
        executable = c_void_p()
        try:
            gpu.driver.call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, 0)
        finally:
            gpu.driver.give_back("cuGraphDestroy", graph)
        self._executable: int = executable.value or 0

    def launch(self, stream: Stream) -> None:
        """Put it into a stream."""
        self._gpu.driver.call("cuGraphLaunch", self._executable, stream.handle)

    def close(self) -> None:
        """Destroy it; safe to call twice."""
        if self._executable:
            executable, self._executable = self._executable, 0
            self._gpu.driver.give_back("cuGraphExecDestroy", executable)


class Kernels:
    """Functions from PTX, which the driver translates for the GPU at hand.

    Args:
        gpu: Where they run.
        ptx: The text.
    """

    def __init__(self, gpu: Gpu, ptx: bytes) -> None:
        self._gpu = gpu
        module = c_void_p()
        gpu.driver.call("cuModuleLoadData", ctypes.byref(module), ptx + b"\0")
        self._module: int = module.value or 0
        self._functions: dict[str, c_void_p] = {}

    def launch(
        self, name: str, grid: tuple[int, int], block: tuple[int, int], stream: Stream, *arguments: Any
    ) -> None:
        """Put a call into a stream.

        Args:
            name: Of the kernel.
            grid: Blocks in x and y.
            block: Threads of a block in x and y.
            stream: The queue.
            arguments: ctypes values, in order; they are copied.
        """
        if name not in self._functions:
            function = c_void_p()
            self._gpu.driver.call("cuModuleGetFunction", ctypes.byref(function), self._module, name.encode())
            self._functions[name] = function
        pointers = (c_void_p * len(arguments))(*(ctypes.addressof(a) for a in arguments))
        sizes = (*grid, 1, *block, 1)
        self._gpu.driver.call(
            "cuLaunchKernel", self._functions[name], *sizes, 0, stream.handle, pointers, None
        )

    def close(self) -> None:
        """Unload them; safe to call twice."""
        if self._module:
            module, self._module = self._module, 0
            self._functions.clear()
            self._gpu.driver.give_back("cuModuleUnload", module)


def why_no_gpu() -> str:
    """Why CUDA cannot be used here; empty where it can."""
    try:
        Gpu().close()
    except EngineError as error:
        return error.what
    return ""
