# SPDX-License-Identifier: Apache-2.0
"""How much memory this process holds, on the host and on an NVIDIA GPU."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_MIB = 1 << 20
_TIMEOUT_S = 10


def host_memory_mb(pid: int | None = None) -> float | None:
    """Resident memory of a process, of this one without ``pid``, MiB; None where the system does not say."""
    try:
        pages = int(Path(f"/proc/{pid or 'self'}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / _MIB


def gpu_memory_mb(pid: int | None = None) -> float | None:
    """What a process holds on all NVIDIA GPUs, MiB; None without a GPU, or where the driver does not tell.

    A Jetson's GPU shares the host's memory: there ``host_memory_mb`` says it.
    """
    rows = _nvidia_smi("--query-compute-apps=pid,used_memory")
    wanted = str(pid or os.getpid())
    used = [float(row[1]) for row in rows if len(row) == 2 and row[0] == wanted and _is_number(row[1])]
    return sum(used) if used else None


@dataclass(frozen=True)
class GpuMemory:
    """Memory of the first GPU, MiB."""

    free: float
    total: float


def gpu_free() -> GpuMemory | None:
    """Free and total memory of the first NVIDIA GPU; None where there is none."""
    rows = _nvidia_smi("--query-gpu=memory.free,memory.total")
    if not rows or len(rows[0]) != 2 or not all(_is_number(v) for v in rows[0]):
        return None
    return GpuMemory(*(float(v) for v in rows[0]))


def _nvidia_smi(query: str) -> list[list[str]]:
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line.strip()]


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[\d.]+", text) is not None
