# SPDX-License-Identifier: Apache-2.0
"""A GPU and a TensorRT for tests on machines that have neither.

The driver is ``fake_driver.cpp``; a plan of this TensorRT is an ONNX graph, which ONNX Runtime runs when the stream comes
to it. What is tested is everything but the vendor's two libraries: buffers, order of work, recording, errors, cleaning up.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pytest

from offroad_seg.engines.cuda_driver import declare
from tests.helpers.kernels import KERNELS

if TYPE_CHECKING:
    from pathlib import Path

HERE = "tests/helpers"
MAGIC = b"FAKEPLAN"
_KINDS = {
    "tensor(uint8)": "UINT8",
    "tensor(float)": "FLOAT",
    "tensor(float16)": "HALF",
    "tensor(int64)": "INT64",
}
_NUMPY = {"UINT8": np.uint8, "FLOAT": np.float32, "HALF": np.float16, "INT64": np.int64}


def build_driver(root: Path, folder: Path) -> ctypes.CDLL:
    """Compile the fake driver, or skip the test where there is no compiler."""
    if shutil.which("g++") is None:
        pytest.skip("no g++ to build the fake CUDA driver")
    library = folder / "libfakecuda.so"
    command = [
        "g++",
        "-std=c++17",
        "-O1",
        "-fPIC",
        "-shared",
        f"-I{root / KERNELS}",
        str(root / HERE / "fake_driver.cpp"),
    ]
    subprocess.run([*command, "-o", str(library)], check=True)
    loaded = declare(ctypes.CDLL(str(library)))
    loaded.fake_reset.argtypes = (ctypes.c_size_t,)
    loaded.fake_used.restype = ctypes.c_size_t
    loaded.fake_allocations.restype = ctypes.c_long
    loaded.fake_freed_too_early.restype = ctypes.c_long
    for name in ("fake_recording", "fake_enqueue"):
        getattr(loaded, name).argtypes = (
            ctypes.c_void_p,
            *([ctypes.c_void_p] if name == "fake_enqueue" else []),
        )
    return loaded


class Logger:
    """As ``trt.ILogger``."""

    Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2, INFO=3, VERBOSE=4)

    def __init__(self) -> None:
        pass


class FakeTensorRt:
    """As the module ``tensorrt``, as far as an engine uses it.

    Args:
        driver: From ``build_driver``.
        version: What it calls itself.
        scratch: Bytes that a context takes on the GPU.
        capturable: Whether its work can be recorded.
        rename: Name of a tensor → what the plan calls it.
        half_bytes: Give bytes out in half precision, as torch-tensorrt's plans do.
    """

    ILogger = Logger
    TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")
    LayerInformationFormat = SimpleNamespace(JSON="json", ONELINE="oneline")
    ExecutionContextAllocationStrategy = SimpleNamespace(STATIC="static", USER_MANAGED="user")

    def __init__(
        self,
        driver: ctypes.CDLL,
        *,
        version: str = "10.3.0",
        scratch: int = 1 << 20,
        capturable: bool = True,
        rename: dict[str, str] | None = None,
        half_bytes: bool = False,
    ) -> None:
        self.__version__ = version
        self.driver, self.scratch, self.capturable = driver, scratch, capturable
        self.rename, self.half_bytes = rename or {}, half_bytes
        self.failing = False
        self.executions = 0

    @staticmethod
    def nptype(kind: str) -> type:
        return _NUMPY[kind]

    def Runtime(self, logger: Any) -> FakeRuntime:
        return FakeRuntime(self, logger)


class FakeRuntime:
    def __init__(self, trt: FakeTensorRt, logger: Any) -> None:
        self.trt, self.logger = trt, logger

    def deserialize_cuda_engine(self, plan: bytes) -> FakeEngine | None:
        try:
            assert plan.startswith(MAGIC)
            session = ort.InferenceSession(plan[len(MAGIC) :], providers=["CPUExecutionProvider"])
        except Exception:
            self.logger.log(
                1, "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (magic tag does not match)"
            )
            return None
        return FakeEngine(self.trt, session, self.logger)


class FakeEngine:
    def __init__(self, trt: FakeTensorRt, session: ort.InferenceSession, logger: Any) -> None:
        self.trt, self.session, self.logger = trt, session, logger
        self.device_memory_size_v2 = trt.scratch
        self.values = {}
        for mode, values in (("in", session.get_inputs()), ("out", session.get_outputs())):
            for v in values:
                kind = _KINDS[v.type]
                if trt.half_bytes and mode == "out" and kind == "UINT8":
                    kind = "HALF"
                self.values[trt.rename.get(v.name, v.name)] = (v.name, mode, tuple(v.shape), kind)
        self.num_io_tensors = len(self.values)

    def get_tensor_name(self, index: int) -> str:
        return list(self.values)[index]

    def get_tensor_mode(self, name: str) -> str:
        return self.values[name][1]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.values[name][2]

    def get_tensor_dtype(self, name: str) -> str:
        return self.values[name][3]

    def create_engine_inspector(self) -> Any:
        return SimpleNamespace(get_engine_information=lambda _: '{"Layers": []}')

    def create_runtime_config(self) -> FakeConfig:
        return FakeConfig()

    def create_execution_context(self, config: FakeConfig | None = None) -> FakeContext | None:
        address = ctypes.c_uint64()
        if config is not None and config.strategy == "user":
            return FakeContext(self, None)
        if self.trt.driver.cuMemAlloc_v2(ctypes.byref(address), self.trt.scratch):
            self.logger.log(1, f"Error Code 2: OutOfMemory (Requested size was {self.trt.scratch} bytes.)")
            return None
        return FakeContext(self, address.value)


class FakeConfig:
    """As ``IRuntimeConfig`` of TensorRT for RTX; its cache holds a text."""

    def __init__(self) -> None:
        self.strategy = "static"
        self.cache: FakeCache | None = None

    def create_runtime_cache(self) -> FakeCache:
        return FakeCache()

    def set_runtime_cache(self, cache: FakeCache) -> bool:
        self.cache = cache
        return True

    def set_execution_context_allocation_strategy(self, strategy: str) -> None:
        self.strategy = strategy


class FakeCache:
    """As ``IRuntimeCache``."""

    def __init__(self) -> None:
        self.data = b"compiled here"

    def serialize(self) -> bytes:
        return self.data

    def deserialize(self, data: bytes) -> bool:
        self.data = data + b", read"
        return True


class FakeContext:
    def __init__(self, engine: FakeEngine, scratch: int | None) -> None:
        self.engine, self.scratch = engine, scratch
        self.has_memory = scratch is not None
        self.addresses: dict[str, int] = {}
        self.callbacks: list[Any] = []
        self.ready = False  # its first run takes memory and loads code, which cannot be recorded
        self.first_run: list[int] = []

    def __del__(self) -> None:
        for address in (*([] if self.scratch is None else [self.scratch]), *self.first_run):
            self.engine.trt.driver.cuMemFree_v2(address)

    def set_device_memory(self, memory: int, size: int) -> None:
        assert memory % 16 == 0  # 256 with a real driver
        self.has_memory = size >= self.engine.device_memory_size_v2

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        self.ready = False
        return name in self.engine.values

    def execute_async_v3(self, stream: int) -> bool:
        trt = self.engine.trt
        if not self.ready:
            address = ctypes.c_uint64()
            if trt.driver.cuMemAlloc_v2(ctypes.byref(address), 1) == 0:
                self.first_run.append(address.value)
                self.ready = True
        if not self.has_memory:
            return False
        if trt.failing or (trt.driver.fake_recording(stream) and not trt.capturable):
            self.engine.logger.log(1, "IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime (something)")
            return False
        # A bound method here would keep the context, and its memory, alive in a circle.
        myself = weakref.ref(self)
        callback = ctypes.CFUNCTYPE(None)(lambda: FakeContext._run(myself()))
        self.callbacks.append(callback)
        trt.driver.fake_enqueue(stream, ctypes.cast(callback, ctypes.c_void_p))
        return True

    def _run(self) -> None:
        self.engine.trt.executions += 1
        feeds = {}
        names = [original for original, mode, _, _ in self.engine.values.values() if mode == "out"]
        for name, (original, mode, shape, kind) in self.engine.values.items():
            if mode == "in":
                feeds[original] = self._memory(name, shape, kind).copy()
        results = dict(zip(names, self.engine.session.run(names, feeds), strict=True))
        for name, (original, mode, shape, kind) in self.engine.values.items():
            if mode == "out":
                self._memory(name, shape, kind)[...] = results[original]

    def _memory(self, name: str, shape: tuple[int, ...], kind: str) -> np.ndarray:
        dtype = np.dtype(_NUMPY[kind])
        size = int(np.prod(shape)) * dtype.itemsize
        raw = (ctypes.c_uint8 * size).from_address(self.addresses[name])
        return np.frombuffer(raw, dtype=dtype).reshape(shape)
