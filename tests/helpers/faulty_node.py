# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg node`` with a network that does what the colour in the middle of the image says.

    python -m tests.helpers.faulty_node node --bundle … (as offroad-seg)

``OFFROAD_SEG_TEST_RELEASE`` names a file: what hangs comes back when it is there.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from offroad_seg.engines import registry
from offroad_seg.engines.onnxruntime import OnnxRuntimeEngine
from offroad_seg.errors import EngineError, GpuMemoryError

RAISES, BREAKS, HANGS, SHORT_ONCE, SHORT, TORCH_SHORT = 201, 202, 203, 204, 205, 206
FIGURES = "128 MiB were asked for, 12 MiB of 8192 MiB are free"
_FREED = {"short": False}


class FaultyEngine(OnnxRuntimeEngine):
    """The real engine, but for images of one grey."""

    def __init__(self, bundle: Any, **options: Any) -> None:
        super().__init__(bundle, **options)
        _FREED["short"] = True  # loaded anew: there is room now

    def infer(self, image_BHWC: Any) -> Any:
        middle = image_BHWC[0, image_BHWC.shape[1] // 2, image_BHWC.shape[2] // 2]
        kind = int(middle[0]) if middle.min() == middle.max() else 0
        if kind == RAISES:
            raise EngineError("the run time failed", where="test")
        if kind == BREAKS:
            raise RuntimeError("nobody expected this")
        if kind == HANGS:
            _hang()
        if kind == SHORT or (kind == SHORT_ONCE and not _FREED["short"]):
            raise GpuMemoryError(f"the GPU has no room: {FIGURES}")
        if kind == TORCH_SHORT:
            raise EngineError("CUDA out of memory. Tried to allocate 128.00 MiB")
        _FREED["short"] = False
        return super().infer(image_BHWC)


def _hang() -> None:
    release = os.environ.get("OFFROAD_SEG_TEST_RELEASE", "")
    while not (release and Path(release).exists()):
        time.sleep(0.01)


if __name__ == "__main__":
    registry.ENGINES["onnxruntime"] = "tests.helpers.faulty_node:FaultyEngine"
    # The class that the registry finds must be this module's, not a second copy of it.
    sys.modules["tests.helpers.faulty_node"] = sys.modules["__main__"]
    from offroad_seg.cli.main import main

    sys.exit(main())
