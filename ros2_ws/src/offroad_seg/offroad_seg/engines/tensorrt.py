# SPDX-License-Identifier: Apache-2.0
"""TensorRT: runs the plan that ``compile`` built on this machine. It needs neither torch nor torch-tensorrt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offroad_seg.engines.cuda import why_no_gpu
from offroad_seg.engines.trt_engine import TrtEngine

if TYPE_CHECKING:
    from offroad_seg.bundle import Bundle

NAME = "tensorrt"
_INSTALL = "a JetPack brings it (apt install python3-libnvinfer); elsewhere pip install tensorrt"


class TensorRtEngine(TrtEngine):
    """``InferenceEngine`` over TensorRT's run time. See ``TrtEngine``.

    Args:
        bundle: A verified bundle with ``model.plan``.
        device: ``cuda`` or ``auto``.
        threads: Not used: the work is done on the GPU.
    """

    def __init__(self, bundle: Bundle, *, device: str = "auto", threads: int = 0) -> None:  # noqa: ARG002
        import tensorrt

        super().__init__(bundle, tensorrt, NAME, device=device)

    @staticmethod
    def unavailable() -> str:
        """Why this back end cannot run here; empty where it can."""
        return import_error() or why_no_gpu()


def import_error() -> str:
    """Why the package cannot be imported, and how to get it; empty where it can."""
    try:
        import tensorrt  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: a library of CUDA is missing
        return f"{error}; {_INSTALL}"
    return ""
