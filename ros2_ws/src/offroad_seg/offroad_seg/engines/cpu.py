# SPDX-License-Identifier: Apache-2.0
"""What kind of CPU this is, as far as optimised graphs depend on it."""

from __future__ import annotations

import platform
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

# Instruction sets by which ONNX Runtime orders weights and picks kernels.
_FEATURES = (
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_tile",
    "asimd",
    "asimddp",
    "bf16",
    "sve",
)


@lru_cache(maxsize=1)
def describe_cpu() -> dict[str, Any]:
    """Architecture, model name and instruction sets; plain values for the manifest."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
    model = re.search(r"^(?:model name|Model)\s*:\s*(.*)$", text, re.MULTILINE)
    present = set(flags.group(1).split()) if flags else set()
    return {
        "machine": platform.machine(),
        "model": model.group(1).strip() if model else platform.processor() or "unknown",
        "features": [name for name in _FEATURES if name in present],
    }


def same_kind(built_on: dict[str, Any], here: dict[str, Any]) -> bool:
    """Whether a graph optimised on one CPU is right on the other; the model name may differ."""
    return all(built_on.get(key) == here[key] for key in ("machine", "features"))
