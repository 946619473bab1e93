# SPDX-License-Identifier: Apache-2.0
"""The NVIDIA driver's library by ctypes: which functions are used, and what their statuses mean.

A JetPack has TensorRT's Python bindings, but neither torch nor cuda-python; the driver's library is wherever a GPU is,
and its binary interface has not changed for these calls since CUDA 11.4. So a vehicle needs no further package.
Reference: CUDA Driver API, https://docs.nvidia.com/cuda/cuda-driver-api/.
"""

from __future__ import annotations

import ctypes
import logging
from contextlib import suppress
from ctypes import c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from functools import lru_cache
from pathlib import Path
from typing import Any

from offroad_seg.errors import EngineError, GpuMemoryError

LIBRARIES = ("libcuda.so.1", "libcuda.so")
NO_GPU = "offroad-seg doctor says which back ends work here; nvidia-smi (on a Jetson: nvpmodel -q) shows the driver"
_OUT_OF_MEMORY = 2
_LOG = logging.getLogger(__name__)
_VERSION_FILE = Path("/sys/module/nvidia/version")
_ptr = ctypes.POINTER

# Name → argument types; every call answers with a status.
_CALLS: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (_ptr(c_int),),
    "cuDeviceGetCount": (_ptr(c_int),),
    "cuDeviceGet": (_ptr(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (_ptr(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (_ptr(c_void_p), c_int),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuCtxSetCurrent": (c_void_p,),
    "cuCtxGetCurrent": (_ptr(c_void_p),),
    "cuCtxSynchronize": (),
    "cuMemGetInfo_v2": (_ptr(c_size_t), _ptr(c_size_t)),
    "cuMemAlloc_v2": (_ptr(c_uint64), c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemHostAlloc": (_ptr(c_void_p), c_size_t, c_uint),
    "cuMemFreeHost": (c_void_p,),
    "cuMemcpyHtoDAsync_v2": (c_uint64, c_void_p, c_size_t, c_void_p),
    "cuMemcpyDtoHAsync_v2": (c_void_p, c_uint64, c_size_t, c_void_p),
    "cuStreamCreate": (_ptr(c_void_p), c_uint),
    "cuStreamDestroy_v2": (c_void_p,),
    "cuStreamSynchronize": (c_void_p,),
    "cuStreamBeginCapture_v2": (c_void_p, c_int),
    "cuStreamEndCapture": (c_void_p, _ptr(c_void_p)),
    "cuGraphInstantiateWithFlags": (_ptr(c_void_p), c_void_p, c_uint64),
    "cuGraphLaunch": (c_void_p, c_void_p),
    "cuGraphExecDestroy": (c_void_p,),
    "cuGraphDestroy": (c_void_p,),
    "cuModuleLoadData": (_ptr(c_void_p), c_char_p),
    "cuModuleGetFunction": (_ptr(c_void_p), c_void_p, c_char_p),
    "cuModuleUnload": (c_void_p,),
    "cuLaunchKernel": (c_void_p, *([c_uint] * 7), c_void_p, _ptr(c_void_p), _ptr(c_void_p)),
    "cuGetErrorName": (c_int, _ptr(c_char_p)),
    "cuGetErrorString": (c_int, _ptr(c_char_p)),
}


class Driver:
    """The driver's functions, whose statuses become errors.

    Args:
        library: From ``load_library``, or one that behaves like it.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library

    def call(self, name: str, *arguments: Any, asked: int | None = None) -> None:
        """Call a function.

        Args:
            name: Of the function.
            arguments: For it.
            asked: Bytes that it is to allocate.

        Raises:
            GpuMemoryError: There is not so much memory.
            EngineError: Any other status than success.
        """
        status = getattr(self.library, name)(*arguments)
        if status == _OUT_OF_MEMORY:
            raise out_of_memory("the GPU has no room", asked, self.memory())
        if status:
            raise EngineError(f"{name} failed: {self._text(status)}", mend=NO_GPU)

    def give_back(self, name: str, *arguments: Any) -> None:
        """Call a function that frees something, and go on whatever it answers.

        After a fault of the GPU every call answers with that fault, those that free, too: what is left must be freed
        all the same, and the fault itself was told where it happened.
        """
        if status := getattr(self.library, name)(*arguments):
            _LOG.debug("%s: %s", name, self._text(status))

    def memory(self) -> tuple[int, int] | None:
        """Bytes that are free on the current GPU, and all; None where it does not answer."""
        free, total = c_size_t(), c_size_t()
        status = self.library.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
        return None if status else (free.value, total.value)

    def version(self) -> str:
        """The driver's version, or where only that is told (as on a Jetson), the CUDA version that it is for."""
        try:
            return _VERSION_FILE.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            number = c_int()
            self.call("cuDriverGetVersion", ctypes.byref(number))
            return f"CUDA {number.value // 1000}.{number.value % 1000 // 10}"

    def _text(self, status: int) -> str:
        name, text = c_char_p(), c_char_p()
        self.library.cuGetErrorName(status, ctypes.byref(name))
        self.library.cuGetErrorString(status, ctypes.byref(text))
        parts = [part.value.decode() for part in (name, text) if part.value]
        return ", ".join(parts) or f"status {status}"


@lru_cache(maxsize=1)
def load_library() -> ctypes.CDLL:
    """The driver's library, with the types of its functions.

    Raises:
        EngineError: There is none on this machine.
    """
    for name in LIBRARIES:
        with suppress(OSError):
            return declare(ctypes.CDLL(name))
    raise EngineError("there is no NVIDIA driver on this machine (libcuda.so.1 is not found)", mend=NO_GPU)


def declare(library: ctypes.CDLL) -> ctypes.CDLL:
    """Tell ctypes the types of the functions that are used.

    Raises:
        EngineError: The driver is too old to have one of them.
    """
    for name, types in _CALLS.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise EngineError(
                f"the NVIDIA driver is too old: it has no {name}",
                mend="install a driver for CUDA 11.4 or newer",
            ) from None
        function.argtypes, function.restype = types, c_int
    return library


def out_of_memory(
    what: str, asked: int | None, memory: tuple[int, int] | None, *, where: str = ""
) -> GpuMemoryError:
    """The error for a GPU without room.

    Args:
        what: What could not be done.
        asked: Bytes that were asked for, where that is known.
        memory: Bytes that are free, and all.
        where: What it concerns.
    """
    parts = []
    if asked is not None:
        parts.append(f"{asked / 2**20:.0f} MiB were asked for")
    if memory is not None:
        parts.append(f"{memory[0] / 2**20:.0f} MiB of {memory[1] / 2**20:.0f} MiB are free")
    return GpuMemoryError(
        f"{what}: {', '.join(parts)}" if parts else what,
        where=where,
        mend="end other programs on the GPU (nvidia-smi, on a Jetson tegrastats, shows them), or export the "
        "checkpoint at a smaller size",
    )
