# SPDX-License-Identifier: Apache-2.0
"""What TensorRT says while it works: kept, so that an error can tell the cause, and read for proof of precision.

TensorRT answers ``None`` where something failed; why stands only in its log.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

_LOG = logging.getLogger(__name__)
_WEIGHTS = re.compile(r"Total Weights Memory: (\d+) bytes")
# "Requested amount of GPU memory (123 bytes) could not be allocated", "OutOfMemory (Requested size was 123 bytes.)"
_ASKED = re.compile(
    r"Requested (?:amount of GPU memory \(|size was |amount of memory \()(\d+) bytes", re.IGNORECASE
)
# torch: "CUDA out of memory. Tried to allocate 2.00 GiB."
_TRIED = re.compile(r"Tried to allocate ([\d.]+) ([KMG])iB")
_UNITS = {"K": 10, "M": 20, "G": 30}
_OUT_OF_MEMORY = re.compile(
    r"out ?of ?memory|could not be allocated|insufficient memory|cudaError 2\b", re.IGNORECASE
)
_INTERNAL_PATH = re.compile(r"\.?\s*\(?\bIn \S+ at \S+:\d+\)?")
_MAX_KEPT = 50


class LogBook:
    """The parts of a log that matter afterwards.

    Attributes:
        errors: Messages of errors, in order.
        layers: The engine's layers after fusion as text, where the builder printed them.
        weights_bytes: What the builder counted, or None.
    """

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.layers = ""
        self.weights_bytes: int | None = None

    def take(self, message: str, *, error: bool) -> None:
        """Note one message."""
        if error and len(self.errors) < _MAX_KEPT:
            self.errors.append(message.strip())
        if "LayerType:" in message:
            self.layers += message + "\n"
        if found := _WEIGHTS.search(message):
            self.weights_bytes = int(found.group(1))

    def cause(self) -> str:
        """The first error in one line, without the paths of TensorRT's own sources."""
        for message in self.errors:
            line = next((part.strip() for part in message.splitlines() if part.strip()), "")
            line = _INTERNAL_PATH.sub("", line).strip()
            if line:
                return line
        return "no reason was given"

    @property
    def out_of_memory(self) -> bool:
        """Whether memory of the GPU ran out."""
        return any(_OUT_OF_MEMORY.search(message) for message in self.errors)

    @property
    def bytes_asked(self) -> int | None:
        """The largest piece of memory that was asked for in vain, or None where none was named."""
        found = [int(m.group(1)) for message in self.errors for m in _ASKED.finditer(message)]
        tried = [m for message in self.errors for m in _TRIED.finditer(message)]
        found += [int(float(m.group(1)) * (1 << _UNITS[m.group(2)])) for m in tried]
        return max(found, default=None)


def make_logger(trt: ModuleType, book: LogBook) -> Any:
    """A TensorRT logger that fills a log book; the caller keeps it alive as long as what it was given to.

    Args:
        trt: ``tensorrt`` or ``tensorrt_rtx``.
        book: What to fill.
    """
    module: Any = trt
    severity = module.ILogger.Severity
    bad = (severity.INTERNAL_ERROR, severity.ERROR)

    class Logger(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, level: Any, message: str) -> None:
            book.take(message, error=level in bad)
            _LOG.debug("%s: %s", level, message)

    return Logger()
