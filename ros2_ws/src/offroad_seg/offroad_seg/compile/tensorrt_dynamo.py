# SPDX-License-Identifier: Apache-2.0
"""A raw TensorRT plan from a bundle's exported program, by torch-tensorrt.

The plan is what plain TensorRT loads: the vehicle needs no torch-tensorrt to run it. torch-tensorrt is imported here
alone, and only when it is asked for: importing it fails on a machine without a GPU.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from offroad_seg.compile.tensorrt_versions import conversion_arguments
from offroad_seg.compile.trt_build import configure, load_timing_cache, save_timing_cache
from offroad_seg.engines.cuda_driver import out_of_memory
from offroad_seg.engines.torch import check_no_pickle
from offroad_seg.engines.trt_layers import LayerTypes, read_layers
from offroad_seg.engines.trt_log import LogBook
from offroad_seg.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from offroad_seg.compile.builder import BuildTools
    from offroad_seg.compile.trt_build import Memory

MEND = "--route onnx builds from the bundle's ONNX graph with TensorRT alone"
# The second is the name that torch-tensorrt gives TensorRT's own log.
_LOGGERS = {"torch_tensorrt": logging.INFO, "torch_tensorrt [TensorRT Conversion Context]": logging.DEBUG}
_INTERPRETER = "torch_tensorrt.dynamo.conversion._TRTInterpreter"
_FOR_RTX = "torch-tensorrt-rtx"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class DynamoPlan:
    """What torch-tensorrt made.

    Attributes:
        plan: The serialised engine.
        weight_count: Floating-point numbers in the program's weights.
        weights_bytes: As TensorRT counted them, or None where it said nothing.
        layers: As the builder's log told them, or None where it did not.
    """

    plan: bytes
    weight_count: int
    weights_bytes: int | None
    layers: LayerTypes | None = None


def versions() -> dict[str, str]:
    """Versions of torch and torch-tensorrt.

    Raises:
        EngineError: One of them cannot be imported, or builds for another run time.
    """
    if is_for_rtx():
        raise EngineError(
            f"{_FOR_RTX} is installed in the place of torch-tensorrt; its plans are not for TensorRT",
            mend=f"pip uninstall {_FOR_RTX}, pip install torch-tensorrt; or {MEND}",
        )
    try:
        import torch
        import torch_tensorrt
    except Exception as error:  # noqa: BLE001 (torch-tensorrt raises Exception itself where a library is missing)
        raise EngineError(f"torch-tensorrt cannot be imported: {_first_line(error)}", mend=MEND) from None
    return {"torch": str(torch.__version__), "torch_tensorrt": str(torch_tensorrt.__version__)}


def is_for_rtx() -> bool:
    """Whether the package is the one for TensorRT for RTX, whose import takes the name ``tensorrt`` for it."""
    try:
        metadata.version(_FOR_RTX)
    except metadata.PackageNotFoundError:
        return False
    return True


def convert_program(
    path: Path,
    precision: str,
    timing_cache: Path,
    tools: BuildTools,
    *,
    free_memory: Callable[[], Memory | None] = lambda: None,
) -> DynamoPlan:
    """Build a plan from ``model.pt2``.

    Args:
        path: The exported program.
        precision: ``fp16`` or ``fp32``.
        timing_cache: File for the timings of kernels.
        tools: For progress and interruption.
        free_memory: Asked where memory ran out.

    Raises:
        BundleError: The archive holds a pickle.
        EngineError: torch cannot load the program, an operator cannot be converted, or the build failed.
        GpuMemoryError: The GPU has no room.
        KeyboardInterrupt: The user interrupted, and the builder ended early.
    """
    made_by = versions()
    import torch
    import torch_tensorrt
    from torch.export.passes import move_to_device_pass

    from offroad_seg.compile.torch_half import half_program, weight_count

    check_no_pickle(path)
    tools.report("writing types into the program")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(path)
    except Exception as error:  # noqa: BLE001 (torch.export raises whatever its parts raise)
        raise EngineError(
            f"torch {made_by['torch']} cannot load the program: {_first_line(error)}",
            where=str(path),
            mend=MEND,
        ) from None
    typed = half_program(program, precision)
    count = weight_count(typed)
    arguments = conversion_arguments(made_by["torch_tensorrt"], precision, str(timing_cache))
    inputs = typed.graph_signature.user_inputs
    taken = next(n for n in typed.graph.nodes if n.name in inputs).meta["val"]
    image = torch_tensorrt.Input(shape=tuple(taken.shape), dtype=taken.dtype)
    tools.report("converting operators")
    book = LogBook()
    with _listening(book, tools.report), _builder_of_ours(precision, timing_cache, tools):
        try:
            plan = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(
                move_to_device_pass(typed, "cuda"), arg_inputs=[image], **arguments
            )
        except Exception as error:
            if tools.cancelled():
                raise KeyboardInterrupt from None
            raise _failure(book, error, made_by["torch_tensorrt"], free_memory(), str(path)) from error
    if not plan:
        raise _failure(book, None, made_by["torch_tensorrt"], free_memory(), str(path))
    layers = read_layers(book.layers)
    return DynamoPlan(bytes(plan), count, book.weights_bytes, layers if layers.heavy else None)


@contextmanager
def _builder_of_ours(precision: str, timing_cache: Path, tools: BuildTools) -> Iterator[None]:
    """Let torch-tensorrt's interpreter configure its builder, and keep timings, as ``trt_build`` does."""
    try:
        module: Any = import_module(_INTERPRETER)
        owner = module.TRTInterpreter
        populate = owner._populate_trt_builder_config
        before = {name: getattr(owner, name) for name in ("_create_timing_cache", "_save_timing_cache")}
    except (ImportError, AttributeError) as error:
        _LOG.debug("torch-tensorrt's builder cannot be told more than its arguments say: %s", error)
        yield
        return

    def configured(self: Any, *arguments: Any, **named: Any) -> Any:
        config = populate(self, *arguments, **named)
        configure(module.trt, config, precision, tools)
        tools.report("choosing kernels")
        return config

    before["_populate_trt_builder_config"] = populate
    owner._populate_trt_builder_config = configured
    owner._create_timing_cache = lambda _self, config, *_: load_timing_cache(config, timing_cache)
    owner._save_timing_cache = lambda _self, config, *_: save_timing_cache(config, timing_cache)
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(owner, name, method)


class _Listener(logging.Handler):
    """Puts what torch-tensorrt and TensorRT say into a log book."""

    def __init__(self, book: LogBook, report: Callable[[str], None]) -> None:
        super().__init__(logging.DEBUG)
        self._book, self._report = book, report

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record."""
        error = record.levelno >= logging.ERROR
        text = record.getMessage()
        if error and record.exc_info and record.exc_info[1] is not None:
            # The message prints the whole program; the exception says what was wrong.
            text = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        self._book.take(text, error=error)
        if text.startswith("Converted node "):
            self._report(text.split(" (")[0].lower())


@contextmanager
def _listening(book: LogBook, report: Callable[[str], None]) -> Iterator[None]:
    listener = _Listener(book, report)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(listener)
        logger.setLevel(_LOGGERS[logger.name])
        logger.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(listener)
            logger.setLevel(level)
            logger.propagate = propagate


def _failure(
    book: LogBook, error: Exception | None, version: str, memory: Memory | None, where: str
) -> EngineError:
    called = f"torch-tensorrt {version}"
    if error is not None and not isinstance(error, UnboundLocalError):
        book.take(f"{type(error).__name__}: {error}", error=True)
    if book.out_of_memory:
        return out_of_memory(
            f"{called} ran out of GPU memory while building", book.bytes_asked, memory, where=where
        )
    return EngineError(f"{called} cannot build the engine: {book.cause()}", where=where, mend=MEND)


def _first_line(error: Any) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
