# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime's execution providers: which are asked for, and which really took the graph.

ONNX Runtime falls back without an error: a provider that cannot start is left out, an operator that it lacks runs on
the CPU. So what runs where is asked of the session, node by node where it can say (1.24 and newer).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
DEVICES = {"cpu": CPU, "cuda": CUDA, "tensorrt": TENSORRT}
"""What may be asked for → the provider that must then take the graph."""

RECORD_ASSIGNMENT = ("session.record_ep_graph_assignment_info", "1")
_HEAVY = re.compile(r"Conv|MatMul|Gemm|Attention")
_TF32_SINCE = (1, 18)


def choose_providers(device: str, available: Sequence[str], version: str, cache_key: str) -> list[Any]:
    """Providers to ask for, the first has priority.

    ``auto`` never takes TensorRT: that would build an engine, for minutes, where nobody asked for it.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``tensorrt``.
        available: What this ONNX Runtime was built with.
        version: Of ONNX Runtime.
        cache_key: Names the folder in which TensorRT's engines are kept.

    Raises:
        EngineError: This ONNX Runtime was built without it.
    """
    if device == "cpu" or (device == "auto" and CUDA not in available):
        return [CPU]
    wanted = DEVICES.get(device, CUDA)
    if wanted not in available:
        raise EngineError(
            f"this ONNX Runtime has no {wanted.removesuffix('ExecutionProvider')}; it has {', '.join(available)}",
            mend="pip install onnxruntime-gpu in place of onnxruntime, or use device cpu",
        )
    numbers = [int(n) for n in re.findall(r"\d+", version)[:2]]
    # TF32 keeps 10 bits of mantissa: a graph that says fp32 is computed in fp32.
    cuda: Any = (CUDA, {"use_tf32": "0"}) if tuple(numbers) >= _TF32_SINCE else CUDA
    if wanted == CUDA:
        return [cuda, CPU]
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "offroad_seg" / "onnxruntime" / cache_key
    folder.mkdir(parents=True, exist_ok=True)
    kept = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)}
    return [(TENSORRT, kept), cuda, CPU]


def provider_name(provider: Any) -> str:
    """The name of a provider that may come with options."""
    return str(provider if isinstance(provider, str) else provider[0])


def assigned_nodes(session: Any) -> dict[str, list[str]] | None:
    """Provider → operators of the nodes that it runs; None where this ONNX Runtime does not tell."""
    ask = getattr(session, "get_provider_graph_assignment_info", None)
    if ask is None:
        return None
    found: dict[str, list[str]] = {}
    for part in ask():
        found.setdefault(part.ep_name, []).extend(node.op_type for node in part.get_nodes())
    return found


def check_assignment(
    wanted: str,
    started: Sequence[str],
    assigned: Mapping[str, Sequence[str]] | None,
    *,
    asked: bool,
) -> tuple[tuple[str, ...], str]:
    """What really runs the graph.

    Args:
        wanted: The provider with priority.
        started: Providers that the session has.
        assigned: From ``assigned_nodes``.
        asked: Whether the user asked for this provider, so that another one is an error.

    Returns:
        The providers that run nodes, the one with most convolutions first; and a warning, or an empty text.

    Raises:
        EngineError: The provider that was asked for did not start, or left convolutions or products to the CPU.
    """
    problem = ""
    if wanted not in started:
        problem = f"ONNX Runtime could not start {wanted} and would run on {', '.join(started)}"
    elif assigned is not None and wanted != CPU:
        left = [op for op in assigned.get(CPU, ()) if _HEAVY.search(op)]
        if left:
            total = sum(bool(_HEAVY.search(op)) for ops in assigned.values() for op in ops)
            problem = f"{len(left)} of {total} convolutions and matrix products would run on the CPU, not on {wanted}"
    if problem and asked:
        raise EngineError(
            problem, mend="install the CUDA and cuDNN that this onnxruntime-gpu asks for, or use device cpu"
        )
    if not assigned:
        return tuple(started), problem
    heaviest = sorted(
        assigned,
        key=lambda name: (-sum(bool(_HEAVY.search(op)) for op in assigned[name]), -len(assigned[name])),
    )
    return tuple(heaviest), problem
