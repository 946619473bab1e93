# SPDX-License-Identifier: Apache-2.0
"""How long an engine takes for one image on this machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.engines.base import InferenceEngine

WARM_UP = 2
_MIN_RUNS, _MAX_RUNS = 5, 200
_BUDGET_S = 5.0


def measure_latency(
    engine: InferenceEngine, image_HWC: NDArray[np.uint8], *, budget_s: float = _BUDGET_S
) -> dict[str, Any]:
    """Time ``infer`` one call after the other, after warming up.

    Args:
        engine: A loaded engine.
        image_HWC: uint8 at network size.
        budget_s: Stop after about this long, but not before five runs.

    Returns:
        ``p50``, ``p99``, ``mean`` in milliseconds; ``runs``; ``device``, ``threads``.
    """
    image_BHWC = image_HWC[None]
    for _ in range(WARM_UP):
        engine.infer(image_BHWC)
    times_ms: list[float] = []
    deadline = time.perf_counter() + budget_s
    while len(times_ms) < _MIN_RUNS or (len(times_ms) < _MAX_RUNS and time.perf_counter() < deadline):
        start = time.perf_counter()
        engine.infer(image_BHWC)
        times_ms.append((time.perf_counter() - start) * 1e3)
    return {
        "p50": round(float(np.percentile(times_ms, 50)), 3),
        "p99": round(float(np.percentile(times_ms, 99)), 3),
        "mean": round(float(np.mean(times_ms)), 3),
        "runs": len(times_ms),
        "device": engine.info.device,
        "threads": engine.info.threads,
    }
