# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime: the default where there is no NVIDIA GPU.

A portable bundle's graph is optimised when it is loaded. A bundle that ``compile`` made holds a graph that was
optimised beforehand, for one version of ONNX Runtime and one kind of CPU: anything else is refused, because its
weights lie in memory in an order that another CPU would misread without a word.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.bundle import compile_command
from offroad_seg.engines.base import INPUT, EngineInfo, EngineOutput, check_input, output_names
from offroad_seg.engines.cpu import describe_cpu, same_kind
from offroad_seg.engines.ort_providers import (
    CPU,
    RECORD_ASSIGNMENT,
    assigned_nodes,
    check_assignment,
    choose_providers,
    provider_name,
)
from offroad_seg.errors import BundleError, EngineError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.bundle import Bundle

NAME = "onnxruntime"
MODEL = "model.onnx"
_TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
_LOG = logging.getLogger(__name__)
_ERRORS_ONLY = 3


class OnnxRuntimeEngine:
    """``InferenceEngine`` with outputs bound once, so that a call allocates nothing.

    Args:
        bundle: A verified bundle with ``model.onnx``.
        device: ``cpu``, ``cuda``, ``tensorrt`` (ONNX Runtime's provider of that name, which builds its engines at the
            first load and keeps them in the user's cache) or ``auto``.
        threads: Threads inside one operator; 0 = one for each physical core.
        spin: Threads that have nothing to do look for work for a while before they sleep.

    Raises:
        BundleError: The graph is not what the manifest says, or was optimised for another version or CPU.
        EngineError: ONNX Runtime cannot load the graph, or has no such device.
    """

    name = NAME

    def __init__(self, bundle: Bundle, *, device: str = "auto", threads: int = 0, spin: bool = True) -> None:
        import onnxruntime as ort

        compiled = bundle.manifest.backend == NAME
        if compiled:
            _check_origin(bundle, ort.__version__)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = _ERRORS_ONLY
        if not spin:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # While they wait for each other, not for the next image: then the cores are for what becomes of this one.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if compiled:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        path = bundle.file(MODEL)
        # The digest of a manifest is that of all files: engines that TensorRT makes of the graph are kept by it.
        wanted = choose_providers(
            device, ort.get_available_providers(), ort.__version__, bundle.manifest.digest[:16]
        )
        options.add_session_config_entry(*RECORD_ASSIGNMENT)
        try:
            session = ort.InferenceSession(str(path), options, providers=wanted)
        except Exception as error:  # noqa: BLE001 (ONNX Runtime's exceptions share no base but this)
            raise EngineError(
                f"ONNX Runtime {ort.__version__} cannot load the graph: {_first_line(error)}",
                where=str(path),
                mend="export the checkpoint again, or install the ONNX Runtime that the manifest names: "
                f"pip install onnxruntime=={bundle.manifest.versions.get(NAME, ort.__version__)}",
            ) from None
        # ONNX Runtime falls back to the CPU without an error: what really runs is asked, not assumed.
        providers, warning = check_assignment(
            provider_name(wanted[0]),
            session.get_providers(),
            assigned_nodes(session),
            asked=device != "auto",
        )
        if warning:
            _LOG.warning("%s", warning)
        self.info = EngineInfo(
            backend=NAME,
            version=ort.__version__,
            device="cpu" if providers[0] == CPU else "cuda",
            precision=bundle.manifest.precision,
            providers=providers,
            threads=threads,
        )
        self._shape = (1, bundle.manifest.input_height, bundle.manifest.input_width, 3)
        names = output_names(bundle.manifest)
        _check_graph(session, self._shape, names, str(path))
        self._session: Any = session
        self._binding: Any = session.io_binding()
        self._outputs = _bind_outputs(self._binding, self._shape, names)

    @staticmethod
    def unavailable() -> str:
        """Why this back end cannot run here; empty where it can."""
        try:
            import onnxruntime  # noqa: F401
        except ImportError as error:
            return f"{error}; pip install onnxruntime"
        return ""

    def infer(self, image_BHWC: NDArray[np.uint8]) -> EngineOutput:
        """See ``InferenceEngine.infer``.

        Raises:
            EngineError: The pixels do not fit, the engine is closed, or ONNX Runtime failed.
        """
        if self._session is None:
            raise EngineError("the engine is closed", mend="load it again")
        pixels = check_input(image_BHWC, self._shape)
        self._binding.bind_input(INPUT, "cpu", 0, np.uint8, self._shape, pixels.ctypes.data)
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:  # noqa: BLE001 (as above)
            raise EngineError(f"ONNX Runtime failed: {_first_line(error)}") from None
        return self._outputs

    def close(self) -> None:
        """Free the session."""
        self._session = None
        self._binding = None


def _output_forms(
    shape: tuple[int, int, int, int], names: tuple[str, ...]
) -> dict[str, tuple[Any, list[int]]]:
    """Output → its type and shape."""
    batch, height, width, _ = shape
    return {
        name: (np.float32, [batch]) if name == "mean_confidence" else (np.uint8, [batch, height, width])
        for name in names
    }


def _bind_outputs(binding: Any, shape: tuple[int, int, int, int], names: tuple[str, ...]) -> EngineOutput:
    """Allocate the outputs once and bind them."""
    arrays: list[NDArray[Any]] = []
    for name, (dtype, size) in _output_forms(shape, names).items():
        array = np.empty(size, dtype)
        binding.bind_output(name, "cpu", 0, dtype, array.shape, array.ctypes.data)
        arrays.append(array)
    return EngineOutput(*arrays)


def _check_origin(bundle: Bundle, version: str) -> None:
    """Refuse a graph that was optimised for another version or CPU."""
    mend = f"{compile_command(bundle)}   (on this machine)"
    built_with = bundle.manifest.versions.get(NAME)
    if built_with != version:
        raise BundleError(
            f"the graph was optimised by ONNX Runtime {built_with}; this machine has {version}",
            where=str(bundle.path),
            mend=mend,
        )
    built_on, here = bundle.manifest.source.get("compiled_on"), describe_cpu()
    if not isinstance(built_on, dict) or not same_kind(built_on, here):
        raise BundleError(
            f"the graph was optimised for another CPU ({_cpu_name(built_on)}); this is {_cpu_name(here)}",
            where=str(bundle.path),
            mend=mend,
        )


def _cpu_name(cpu: Any) -> str:
    if not isinstance(cpu, dict):
        return "unknown"
    return f"{cpu.get('model')} [{cpu.get('machine')} {' '.join(cpu.get('features', []))}]"


def _check_graph(session: Any, shape: tuple[int, int, int, int], names: tuple[str, ...], where: str) -> None:
    """Refuse a graph that breaks the contract."""
    expected = {INPUT: (np.uint8, list(shape)), **_output_forms(shape, names)}
    found = {v.name: (_TYPES.get(v.type), v.shape) for v in (*session.get_inputs(), *session.get_outputs())}
    if found != expected:
        listed = ", ".join(
            f"{v.name} {v.type} {v.shape}" for v in (*session.get_inputs(), *session.get_outputs())
        )
        raise BundleError(
            f"the graph is not what the manifest says: {listed}",
            where=where,
            mend="offroad-seg export CHECKPOINT --height H --width W --out BUNDLE",
        )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
