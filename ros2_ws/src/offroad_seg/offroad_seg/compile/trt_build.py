# SPDX-License-Identifier: Apache-2.0
"""Building a plan from a typed ONNX graph: the part that TensorRT and TensorRT-RTX have in common."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg import resources
from offroad_seg.compile.trt_network import check_network, create_network, parse
from offroad_seg.engines.cuda_driver import out_of_memory
from offroad_seg.engines.trt_layers import read_layers
from offroad_seg.engines.trt_log import LogBook, make_logger
from offroad_seg.engines.trt_precision import assert_precision
from offroad_seg.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from offroad_seg.compile.builder import BuildTools
    from offroad_seg.compile.onnx_typed import TypedGraph
    from offroad_seg.engines.trt_layers import LayerTypes
    from offroad_seg.engines.trt_precision import PrecisionProof

Memory = tuple[int, int]
"""Bytes that are free on the GPU, and all."""


@dataclass(frozen=True)
class BuiltPlan:
    """A serialised engine and what was shown of it."""

    plan: bytes
    proof: PrecisionProof


def build_plan(
    trt: ModuleType,
    graph: TypedGraph,
    shape: tuple[int, int, int, int],
    tools: BuildTools,
    *,
    called: str,
    where: str,
    timing_cache: Path | None = None,
    free_memory: Callable[[], Memory | None] = lambda: None,
    inspect: bool = False,
) -> BuiltPlan:
    """Parse, check, build and weigh.

    Args:
        trt: ``tensorrt`` or ``tensorrt_rtx``.
        graph: What to build.
        shape: Of the image, (1, H, W, 3).
        tools: For progress and interruption.
        called: Name and version of the run time, for messages.
        where: The bundle, for messages.
        timing_cache: File that keeps what was measured of kernels, for this GPU and version; None keeps nothing.
        free_memory: Asked where memory ran out.
        inspect: Load the plan and ask the inspector, where the build log did not tell the layers; needs the GPU.

    Raises:
        EngineError: An operator is not supported, memory ran out, the run time failed, or the engine is not of the
            precision that was asked for.
        KeyboardInterrupt: The user interrupted, and the run time ended early.
    """
    module: Any = trt
    book = LogBook()
    logger = make_logger(trt, book)
    tools.report("reading the graph")
    builder = module.Builder(logger)
    network = create_network(trt, builder)
    parser = parse(trt, network, logger, graph, book, called=called, where=where)
    check_network(trt, network, graph, shape, where=where)
    config = builder.create_builder_config()
    configure(trt, config, graph.precision, tools)
    cache = None if timing_cache is None else load_timing_cache(config, timing_cache)
    tools.report("choosing kernels")
    serialized = builder.build_serialized_network(network, config)
    del parser
    if tools.cancelled():
        raise KeyboardInterrupt
    if serialized is None:
        raise _failure(book, free_memory(), called=called, where=where)
    if cache is not None and timing_cache is not None:
        save_timing_cache(config, timing_cache)
    plan = bytes(serialized)
    layers = read_layers(book.layers)
    if inspect and not layers.constants and not layers.heavy:
        layers = inspected(trt, plan)
    proof = assert_precision(
        graph.precision,
        plan_bytes=len(plan),
        weight_count=graph.weight_count,
        weights_bytes=book.weights_bytes,
        layers=layers,
        where=where,
    )
    return BuiltPlan(plan, proof)


def inspected(trt: ModuleType, plan: bytes) -> LayerTypes:
    """The layers of a plan, as the inspector tells them on the GPU; nothing where the plan cannot be loaded."""
    module: Any = trt
    logger = make_logger(trt, LogBook())
    runtime = module.Runtime(logger)
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        return read_layers("")
    inspector = engine.create_engine_inspector()
    return read_layers(inspector.get_engine_information(module.LayerInformationFormat.JSON))


def timing_cache_file(gpu: str, version: str) -> Path:
    """Where the timings of kernels are kept: in the user's cache, which outlasts a restart, by GPU and version."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = "".join(c if c.isalnum() or c in ".-" else "_" for c in f"{gpu}-tensorrt-{version}")
    return root / "offroad_seg" / "timing" / f"{name}.cache"


def save_timing_cache(config: Any, file: Path) -> None:
    """Write a builder's timing cache; that it cannot be written is no reason to lose an engine."""
    cache = config.get_timing_cache()
    if cache is None:
        return
    try:
        with resources.replacing_file(file) as temporary:
            temporary.write_bytes(memoryview(cache.serialize()))
    except OSError:
        return


def load_timing_cache(config: Any, file: Path) -> Any:
    """Give a builder what was measured before; None where this run time keeps nothing."""
    data = b""
    if file.is_file():
        try:
            data = file.read_bytes()
        except OSError:
            data = b""
    # What is damaged, or was measured on another GPU, is not taken: then measuring begins anew.
    for content in (data, b""):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            return cache
    return None


def configure(trt: ModuleType, config: Any, precision: str, tools: BuildTools) -> None:
    """What every build needs, whoever made the network.

    Args:
        trt: ``tensorrt`` or ``tensorrt_rtx``.
        config: The builder's; changed in place.
        precision: ``fp16`` or ``fp32``.
        tools: For progress and interruption.
    """
    module: Any = trt
    # Names of layers alone would not say in what type they compute.
    config.profiling_verbosity = module.ProfilingVerbosity.DETAILED
    flags = module.BuilderFlag
    if precision == "fp32" and hasattr(flags, "TF32"):
        config.clear_flag(flags.TF32)  # 10 bits of mantissa are not fp32
    if hasattr(flags, "STRICT_NANS"):
        # Else x − x may become 0 and a NaN goes unseen.
        config.set_flag(flags.STRICT_NANS)
    if hasattr(flags, "REQUIRE_USER_ALLOCATION"):
        # TensorRT for RTX: all memory is taken with the context, so that a frame can be recorded as a CUDA graph.
        config.set_flag(flags.REQUIRE_USER_ALLOCATION)
    if hasattr(module, "IProgressMonitor"):
        config.progress_monitor = make_monitor(trt, tools)


def make_monitor(trt: ModuleType, tools: BuildTools) -> Any:
    """A TensorRT progress monitor that reports phases, and ends the build once the user has interrupted."""
    module: Any = trt

    class Monitor(module.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, _parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            tools.report(phase_name.lower())

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            tools.report(f"{phase_name.lower()}, {step + 1} of {self._steps.get(phase_name, 0)}")
            return not tools.cancelled()

    return Monitor()


def _failure(book: LogBook, memory: Memory | None, *, called: str, where: str) -> EngineError:
    if book.out_of_memory:
        return out_of_memory(
            f"{called} ran out of GPU memory while building", book.bytes_asked, memory, where=where
        )
    return EngineError(
        f"{called} could not build the engine: {book.cause()}",
        where=where,
        mend="compile for onnxruntime, or report this with the whole log: offroad-seg --verbose compile …",
    )
