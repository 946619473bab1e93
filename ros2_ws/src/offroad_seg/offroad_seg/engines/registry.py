# SPDX-License-Identifier: Apache-2.0
"""Back ends by name."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from offroad_seg.bundle import compile_command
from offroad_seg.errors import BundleError, EngineError, InputError
from offroad_seg.manifest import PORTABLE

if TYPE_CHECKING:
    from offroad_seg.bundle import Bundle
    from offroad_seg.engines.base import InferenceEngine

# In order of preference for a portable bundle. The modules are imported when they are asked for.
ENGINES = {
    "onnxruntime": "offroad_seg.engines.onnxruntime:OnnxRuntimeEngine",
    "torch": "offroad_seg.engines.torch:TorchEngine",
    "torch-compiled": "offroad_seg.engines.torch:CompiledTorchEngine",
    "tensorrt": "offroad_seg.engines.tensorrt:TensorRtEngine",
    "tensorrt-rtx": "offroad_seg.engines.tensorrt_rtx:TensorRtRtxEngine",
}

# Another way to run what a bundle has for the other.
_RUNS_AS = {"torch-compiled": "torch"}

AVAILABLE = "ok"
DEVICES = ("auto", "cpu", "cuda", "tensorrt")


def available_backends() -> dict[str, str]:
    """Back end → ``ok``, or why it cannot run here and how to get it. Imports every run time: not for hot paths."""
    return {name: _engine_class(name).unavailable() or AVAILABLE for name in ENGINES}


def choose_backend(bundle: Bundle, backend: str | None = None) -> str:
    """The back end that will run a bundle.

    Args:
        bundle: What it must run.
        backend: The user's choice; None takes the bundle's own, or for a portable bundle the first that works here.

    Raises:
        InputError: There is no such back end.
        BundleError: It cannot run this bundle.
        EngineError: No back end that can run the bundle works on this machine.
    """
    manifest = bundle.manifest
    if backend is not None:
        if backend not in ENGINES:
            raise InputError(f"there is no back end '{backend}'", mend=f"one of: {', '.join(ENGINES)}")
        if _RUNS_AS.get(backend, backend) not in manifest.backends:
            raise BundleError(
                f"this bundle does not run with {backend}, but with {', '.join(manifest.backends)}",
                where=str(bundle.path),
                mend=compile_command(bundle, backend),
            )
        return backend
    if manifest.backend != PORTABLE:
        if manifest.backend in ENGINES:
            return manifest.backend
        raise BundleError(
            f"this software has no back end '{manifest.backend}'",
            where=str(bundle.path),
            mend=compile_command(bundle, "onnxruntime"),
        )
    reasons = []
    for name in ENGINES:
        if name in manifest.backends:
            reason = _engine_class(name).unavailable()
            if not reason:
                return name
            reasons.append(f"{name}: {reason}")
    raise EngineError(
        "no back end on this machine can run the bundle",
        where=str(bundle.path),
        mend="; ".join(reasons) or f"it asks for {', '.join(manifest.backends)}",
    )


def load_engine(
    bundle: Bundle,
    backend: str | None = None,
    device: str = "auto",
    threads: int = 0,
    *,
    spin: bool = True,
) -> InferenceEngine:
    """Load a bundle's network.

    Args:
        bundle: A verified bundle.
        backend: A name from ``ENGINES``; None chooses, see ``choose_backend``.
        device: ``cpu``, ``cuda``, ``auto`` (a GPU where the run time can use one), or, with ONNX Runtime,
            ``tensorrt``.
        threads: Threads inside one operator; 0 = the run time chooses.
        spin: Whether ONNX Runtime's threads may spin while they wait for each other, which takes cores from whatever
            else works beside the engine.

    Raises:
        InputError: There is no such back end or device.
        BundleError: The bundle does not fit the back end, its version, or this machine.
        EngineError: The run time is not installed or cannot load the network.
    """
    if device not in DEVICES:
        raise InputError(f"there is no device '{device}'", mend=f"one of: {', '.join(DEVICES)}")
    if threads < 0:
        raise InputError(f"threads is {threads}", mend="give 0 (the run time chooses) or a number of threads")
    name = choose_backend(bundle, backend)
    if device == "tensorrt" and name != "onnxruntime":
        raise InputError(
            f"{name} has no device 'tensorrt': that is a provider of ONNX Runtime",
            mend="device auto, or backend onnxruntime",
        )
    kind = _engine_class(name)
    if reason := kind.unavailable():
        raise EngineError(f"the back end {name} does not work here: {reason}", where=str(bundle.path))
    options = {"spin": spin} if name == "onnxruntime" else {}
    engine: InferenceEngine = kind(bundle, device=device, threads=threads, **options)
    return engine


def _engine_class(name: str) -> Any:
    module, _, attribute = ENGINES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
