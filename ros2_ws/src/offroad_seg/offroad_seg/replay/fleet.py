# SPDX-License-Identifier: Apache-2.0
"""Many bags, one result set: which bags there are, what is done already, and running the rest.

A bag is one task: what a frame gives depends on the frames before it (the costmap is fused, flicker and tracks look
back), so parts of a bag would not give the numbers of the whole.

::

    DIR/fleet.json            what runs, to go on with it
    DIR/bags/<name>/          the result of each bag, as `replay` of that bag alone writes it
    DIR/metrics.json          over all frames of all bags
    DIR/frames.parquet        a row for each image
    DIR/report.html           a row for each bag
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from offroad_seg.errors import InputError, OffroadSegError
from offroad_seg.resources import prepare_output, write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

STATE_NAME, BAGS_NAME = "fleet.json", "bags"


@dataclass(frozen=True)
class Job:
    """One bag.

    Attributes:
        name: Of its results folder; as much of its path as tells it from the others.
        bag: The bag.
        out: Its results folder.
    """

    name: str
    bag: Path
    out: Path


class Outcome(NamedTuple):
    """How a job ended.

    Attributes:
        name: Of the job.
        error: Why there is no result, in one line; empty where there is one.
        kept: Whether the result was there already.
    """

    name: str
    error: str = ""
    kept: bool = False


class Runner(Protocol):
    """Runs jobs, in any order."""

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """The outcome of each job, as they end."""


class InProcess:
    """One job after the other in this process.

    Args:
        work: Replays a bag into a folder.
    """

    def __init__(self, work: Callable[[Path, Path], None]) -> None:
        self._work = work

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """As ``Runner``."""
        for job in jobs:
            yield do(self._work, job)


def do(work: Callable[[Path, Path], None], job: Job) -> Outcome:
    """Do one job; what is wrong with its bag is told in its outcome and does not end the others."""
    try:
        work(job.bag, job.out)
    except OffroadSegError as error:
        return Outcome(job.name, error.one_line())
    except OSError as error:
        return Outcome(job.name, f"{type(error).__name__}: {error}")
    return Outcome(job.name)


def jobs_of(bags: Sequence[Path], out: Path) -> list[Job]:
    """A job for each bag, in order of name.

    Raises:
        InputError: A bag is given twice.
    """
    resolved = [bag.resolve() for bag in bags]
    for bag in resolved:
        if resolved.count(bag) > 1:
            raise InputError("a bag is given twice", where=str(bag), mend="give each once")
    for depth in range(1, 1 + max(len(bag.parts) for bag in resolved)):
        names = ["_".join(_stem(bag).parts[1:][-depth:]) for bag in resolved]
        if len(set(names)) == len(names):
            break
    else:
        names = [f"{number:04d}_{bag.name}" for number, bag in enumerate(resolved)]
    jobs = [Job(name, bag, out / BAGS_NAME / name) for name, bag in zip(names, resolved, strict=True)]
    return sorted(jobs, key=lambda job: job.name)


def prepare(out: Path, identity: dict[str, Any], *, resume: bool, overwrite: bool) -> None:
    """Make or check the folder of a result set.

    Args:
        out: The folder.
        identity: What must be the same to go on: bundle, options, bags.
        resume: Go on with what is there.
        overwrite: Replace what is there.

    Raises:
        InputError: It is not empty and not to be replaced, or what is there is of another bundle or other options.
    """
    state = out / STATE_NAME
    if resume and state.is_file():
        try:
            known = json.loads(state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = None
        if known != identity:
            differing = [k for k in identity if not isinstance(known, dict) or known.get(k) != identity[k]]
            raise InputError(
                f"what is there was begun with another {' and '.join(differing) or 'set of options'}",
                where=str(state),
                mend="use the same command, or --overwrite in place of --resume to begin anew",
            )
        return
    prepare_output(out, overwrite=overwrite)
    write_text(state, json.dumps(identity, indent=2, ensure_ascii=False) + "\n")


def run_all(jobs: Sequence[Job], runner: Runner) -> Iterator[Outcome]:
    """Those that are done already, then the others as they end."""
    done = [job for job in jobs if (job.out / "metrics.json").is_file()]
    for job in done:
        yield Outcome(job.name, kept=True)
    yield from runner.run([job for job in jobs if job not in done])


def _stem(bag: Path) -> Path:
    return bag.with_suffix("") if bag.suffix in (".mcap", ".db3") else bag
