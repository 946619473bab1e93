# SPDX-License-Identifier: Apache-2.0
"""TensorRT for RTX: runs a plan that may have been built on another machine, by compiling its kernels for this GPU.

What it compiles is kept in the user's cache folder, so that the next load takes no longer than the reading of a file.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg import resources
from offroad_seg.engines.cuda import DeviceBuffer, why_no_gpu
from offroad_seg.engines.trt_engine import TrtEngine

if TYPE_CHECKING:
    from offroad_seg.bundle import Bundle

NAME = "tensorrt-rtx"
_LOG = logging.getLogger(__name__)


class TensorRtRtxEngine(TrtEngine):
    """``InferenceEngine`` over the run time of TensorRT for RTX. See ``TrtEngine``.

    Args:
        bundle: A verified bundle with ``model.plan``.
        device: ``cuda`` or ``auto``.
        threads: Not used: the work is done on the GPU.
    """

    def __init__(self, bundle: Bundle, *, device: str = "auto", threads: int = 0) -> None:  # noqa: ARG002
        import tensorrt_rtx

        self._kernels = kernel_cache(bundle)
        self._config: Any = None
        self._cache: Any = None
        super().__init__(bundle, tensorrt_rtx, NAME, device=device)
        self._keep_kernels()

    @staticmethod
    def unavailable() -> str:
        """Why this back end cannot run here; empty where it can."""
        return import_error() or why_no_gpu()

    def close(self) -> None:
        """Free the GPU's memory; safe to call twice."""
        super().close()
        # The context used both.
        self._config = self._cache = None

    def _make_context(self) -> Any:
        config = self._config = self._engine.create_runtime_config()
        self._cache = config.create_runtime_cache()
        if self._cache is not None:
            if self._kernels.is_file():
                # The run time refuses what was made by another version or for another GPU, and compiles anew.
                self._cache.deserialize(self._kernels.read_bytes())
                self._book.errors.clear()
            config.set_runtime_cache(self._cache)
        # The plan asks for memory that is there before it runs (see ``compile.trt_build``): so it can be recorded.
        config.set_execution_context_allocation_strategy(
            self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        )
        context = self._engine.create_execution_context(config)
        size = self._engine.device_memory_size_v2
        if context is not None and size:
            memory = self._hold(DeviceBuffer(self._ready(), size))
            context.set_device_memory(memory.address, size)
        return context

    def _keep_kernels(self) -> None:
        """Write what was compiled; that it cannot be written is no reason to stop."""
        if self._cache is None:
            return
        try:
            data = bytes(self._cache.serialize())
            if not self._kernels.is_file() or self._kernels.read_bytes() != data:
                with resources.replacing_file(self._kernels) as temporary:
                    temporary.write_bytes(data)
        except OSError as error:
            _LOG.info("the compiled kernels cannot be kept: %s", error)


def import_error() -> str:
    """Why the package cannot be imported, and how to get it; empty where it can."""
    try:
        import tensorrt_rtx  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: a library of CUDA is missing
        return f"{error}; pip install tensorrt-rtx"
    return ""


def kernel_cache(bundle: Bundle) -> Path:
    """Where the kernels of a bundle's plan are kept: in the user's cache folder, by the plan's hash."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "offroad_seg" / "kernels" / f"{bundle.manifest.files.get('model.plan', 'none')[:32]}.cache"
