# SPDX-License-Identifier: Apache-2.0
"""What the machine has to do while a run goes on."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from offroad_seg.memory import gpu_memory_mb, host_memory_mb

_BASELINE_S = 0.5


@dataclass(frozen=True)
class Load:
    """Processor and memory.

    Attributes:
        cpu_percent: Processor time of the measured process over the time that passed; 100 is one core.
        machine_cpu_percent: Of all cores, by every process; 100 is all of them.
        machine_cpu_before_percent: The same shortly before: other work spoils the figures.
        host_memory_mb: Resident memory of the measured process at the end, MiB.
        gpu_memory_mb: What it holds on NVIDIA GPUs, MiB; None without one, or where the driver does not tell.
    """

    cpu_percent: float
    machine_cpu_percent: float | None
    machine_cpu_before_percent: float | None
    host_memory_mb: float | None
    gpu_memory_mb: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, rounded."""
        return {k: None if v is None else round(v, 1) for k, v in asdict(self).items()}


class LoadMeter:
    """Measures from its making to ``stop``.

    Args:
        pid: The process; None is this one.
        baseline_s: For how long to look at the idle machine first.
    """

    def __init__(self, pid: int | None = None, baseline_s: float = _BASELINE_S) -> None:
        self._pid = pid
        before = _machine_times()
        time.sleep(baseline_s)
        self._machine = _machine_times()
        self._before = _busy_percent(before, self._machine)
        self._cpu_s, self._wall_s = self._process_s(), time.perf_counter()

    def stop(self) -> Load:
        """What was measured."""
        wall_s = time.perf_counter() - self._wall_s
        cpu_s = self._process_s() - self._cpu_s
        return Load(
            cpu_percent=100.0 * cpu_s / wall_s if wall_s > 0 else 0.0,
            machine_cpu_percent=_busy_percent(self._machine, _machine_times()),
            machine_cpu_before_percent=self._before,
            host_memory_mb=host_memory_mb(self._pid),
            gpu_memory_mb=gpu_memory_mb(self._pid),
        )

    def _process_s(self) -> float:
        if self._pid is None:
            return time.process_time()
        try:
            fields = Path(f"/proc/{self._pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except OSError:
            return 0.0
        # utime and stime are the 14th and 15th field; what stands before them is the number, the name and the state.
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _machine_times() -> tuple[int, int] | None:
    """Clock ticks of all cores since the start, all and idle; None where the system does not say."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
        ticks = [int(v) for v in first.split()[1:9]]
    except (OSError, ValueError, IndexError):
        return None
    return sum(ticks), ticks[3] + ticks[4]  # idle and waiting for a disk


def _busy_percent(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    if before is None or after is None or after[0] <= before[0]:
        return None
    return 100.0 * (1.0 - (after[1] - before[1]) / (after[0] - before[0]))
