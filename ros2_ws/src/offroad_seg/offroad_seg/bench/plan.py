# SPDX-License-Identifier: Apache-2.0
"""The whole benchmark: every level, at its peak and at fixed rates."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from offroad_seg.bench.figures import figures
from offroad_seg.bench.load import LoadMeter
from offroad_seg.bench.playing import SteadyClock, find_peak, play, play_back_to_back
from offroad_seg.bench.report import PEAK, machine
from offroad_seg.bench.workloads import LEVELS, Loaded
from offroad_seg.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from offroad_seg.bench.playing import Clock, Run
    from offroad_seg.bench.workloads import Pictures, Workload
    from offroad_seg.bundle import Bundle

    Shown = Callable[[dict[str, Any], str, str], None]

_GUESS_S = 1.0
_PROBE_S = 2.0


@dataclass(frozen=True)
class BenchPlan:
    """What to measure.

    Attributes:
        levels: Of ``LEVELS``, and ``ros``.
        rates: Fixed rates, Hz.
        seconds: Length of a run.
        peak: Search the peak rate, too.
        backend: Engine's name; None takes the bundle's best that works here.
        device: ``auto``, ``cpu``, ``cuda``.
        threads: Of a CPU engine, 0 for its default.
    """

    levels: tuple[str, ...] = LEVELS
    rates: tuple[float, ...] = (10.0, 30.0, 60.0)
    seconds: float = 5.0
    peak: bool = True
    backend: str | None = None
    device: str = "auto"
    threads: int = 0


class Player(Protocol):
    """Plays frames to one level.

    Attributes:
        pid: The process that works on them; None is this one.
    """

    pid: int | None

    def typical_hz(self, seconds: float) -> float:
        """About how many frames a second it works on."""

    def play(self, rate_hz: float, seconds: float) -> Run:
        """Play at a rate."""


class InProcess:
    """A workload of this process as a ``Player``."""

    pid: int | None = None

    def __init__(self, workload: Workload, clock: Clock | None = None) -> None:
        self._workload, self._clock = workload, clock or SteadyClock()

    def typical_hz(self, seconds: float) -> float:
        """See ``Player``."""
        run = play_back_to_back(self._workload, seconds, self._clock)
        taken = sorted(run.done_s[k] - run.sent_s[k] for k in run.done_s)
        return 1.0 / max(taken[len(taken) // 2], 1e-6)

    def play(self, rate_hz: float, seconds: float) -> Run:
        """See ``Player``."""
        return play(self._workload, rate_hz, seconds, self._clock)


def run_bench(
    bundle: Bundle,
    pictures: Pictures,
    plan: BenchPlan,
    shown: Shown,
    others: Mapping[str, Callable[[], AbstractContextManager[Player]]] | None = None,
) -> dict[str, Any]:
    """Measure everything.

    Args:
        bundle: A verified bundle.
        pictures: What the camera sees.
        plan: What to measure.
        shown: Called with the report so far, the level and the name of each run when it is done.
        others: Levels beside ``LEVELS``, each made when its turn comes.

    Raises:
        BundleError: The bundle does not run with that back end.
        EngineError: The engine cannot be loaded or fails.
    """
    about = machine()
    loaded = Loaded(bundle, pictures, backend=plan.backend, device=plan.device, threads=plan.threads)
    box, name = bundle.letterbox, bundle.manifest.name
    report: dict[str, Any] = {
        "bundle": {"name": name, "digest": bundle.manifest.digest, "path": str(bundle.path)},
        "engine": asdict(loaded.engine),
        "machine": about,
        "input": {"size": list(pictures.size), "network": [box.width, box.height], "source": pictures.source},
        "seconds": plan.seconds,
        "load_ms": loaded.load_ms,
        "first_frame_ms": loaded.first_frame_ms,
        "levels": {},
    }
    try:
        for level in (level for level in plan.levels if level in LEVELS):
            _measure(report, level, InProcess(loaded.workload(level)), plan, shown)
    finally:
        loaded.close()
    for level, make in (others or {}).items():
        with make() as player:
            _measure(report, level, player, plan, shown)
    return report


def _measure(report: dict[str, Any], level: str, player: Player, plan: BenchPlan, shown: Shown) -> None:
    """All runs of a level, into the report."""
    runs: dict[str, float] = {f"{rate:g}": rate for rate in plan.rates}
    guess_hz = player.typical_hz(min(_GUESS_S, plan.seconds))  # warms up, too
    if plan.peak:
        probe_s = min(_PROBE_S, plan.seconds)
        runs = {PEAK: find_peak(lambda hz: player.play(hz, probe_s), guess_hz), **runs}
    report["levels"][level] = {}
    for name, rate in runs.items():
        meter = LoadMeter(player.pid)
        run = player.play(rate, plan.seconds)
        if not run.done_s:
            raise EngineError(
                f"nothing came back at {rate:g} Hz", where=f"level {level}", mend="offroad-seg doctor"
            )
        report["levels"][level][name] = figures(run, meter.stop())
        shown(report, level, name)
