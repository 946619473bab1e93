# SPDX-License-Identifier: Apache-2.0
"""What turns a portable bundle into an engine for one machine."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from offroad_seg.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from offroad_seg.bundle import Bundle


@dataclass(frozen=True)
class Plan:
    """What would be built.

    Attributes:
        backend: The back end that will run it.
        precision: Of the weights and of the arithmetic.
        device: What it will be bound to, in words.
        versions: Packages that build it.
        notes: What the user should know, a sentence each.
        bound_to: What of this machine the engine depends on, such as the GPU's name, compute capability and driver, or
            the CPU's instruction sets. Engines are kept by this and ``versions``: where one differs, it is built anew.
    """

    backend: str
    precision: str
    device: str
    versions: dict[str, str]
    notes: tuple[str, ...] = ()
    bound_to: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BuildTools:
    """What the compiler lends to a builder while it builds.

    Attributes:
        report: Takes what is being done right now, such as ``tactics 34 of 200``; shown beside the time passed.
            Cheap: may be called often, from any thread.
        cancelled: True once the user has interrupted. A builder whose run time asks it now and then whether to go on
            answers with this; the others need not look.
        calibration: Letterboxed pictures, uint8 (H, W, 3), to find the ranges of int8 with; empty for other precisions.
    """

    report: Callable[[str], None]
    cancelled: Callable[[], bool]
    calibration: Sequence[NDArray[np.uint8]] = ()


@dataclass(frozen=True)
class Built:
    """What a builder made.

    Attributes:
        files: Name → file, for ``write_bundle``.
        source: Facts about the machine, added to the manifest's ``source``.
        gpu: The manifest's ``gpu``.
    """

    files: dict[str, Path]
    source: dict[str, Any] = field(default_factory=dict)
    gpu: dict[str, Any] | None = None


class Builder(Protocol):
    """One kind of engine. Built where it will run: that machine needs no trainer."""

    name: str

    def plan(self, bundle: Bundle, precision: str) -> Plan:
        """Check that it can be built here, and say what would be built. Writes nothing.

        Raises:
            InputError: Not in this precision.
            EngineError: What it needs is not installed.
        """

    def build(self, bundle: Bundle, plan: Plan, folder: Path, tools: BuildTools) -> Built:
        """Build into an empty folder. Runs in a thread of its own: progress is shown and Ctrl-C heard meanwhile.

        Raises:
            EngineError: The run time refused the graph.
        """


BUILDERS = {
    "onnxruntime": "offroad_seg.compile.onnxruntime_builder:OnnxRuntimeBuilder",
    "tensorrt": "offroad_seg.compile.tensorrt_builder:TensorRtBuilder",
    "tensorrt-rtx": "offroad_seg.compile.tensorrt_rtx_builder:TensorRtRtxBuilder",
}


def find_builder(backend: str, route: str = "") -> Builder:
    """The builder of a back end.

    Args:
        backend: A name from ``BUILDERS``.
        route: What it is built from, where there is a choice (``tensorrt``); empty lets the builder choose.

    Raises:
        InputError: There is none, or it has no such route.
    """
    if backend not in BUILDERS:
        raise InputError(
            f"nothing to compile for back end '{backend}'", mend=f"one of: {', '.join(BUILDERS)}"
        )
    module, _, attribute = BUILDERS[backend].partition(":")
    if route and backend != "tensorrt":
        raise InputError(
            f"there is one way only to build for {backend}", where=f"--route {route}", mend="leave it out"
        )
    kind = getattr(importlib.import_module(module), attribute)
    builder: Builder = kind(route) if route else kind()
    return builder
