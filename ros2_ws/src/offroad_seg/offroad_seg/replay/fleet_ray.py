# SPDX-License-Identifier: Apache-2.0
"""Bags over the workers of a Ray cluster: one task a bag, done again where its worker dies."""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import InputError, OffroadSegError
from offroad_seg.replay.fleet import Job, Outcome, do

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

RETRIES = 3
"""How often a bag is begun again after its worker was killed; a bag that kills every worker is given up then."""
LOCAL, AUTO = "local", "auto"
_STORE_BYTES = 100 * 2**20
_WAIT_S = 1.0
_CONNECT_S = 5.0


class OnRay:
    """Use as a context manager: connects, or starts a cluster on this machine, and ends what it started.

    A local cluster listens on the loopback interface only and reports nothing to anybody.

    Args:
        work: Replays a bag into a folder; it and what it holds are sent to the workers, where the same packages
            must be installed and the same paths lead to the same files.
        address: ``local``, ``auto`` for the cluster that this machine belongs to, or HOST:PORT.
        workers: How many bags at once; None is as many as the cluster has CPU cores.
        gpu: Whether the tasks may use GPUs; they share those that the cluster has.

    Raises:
        InputError: Ray is not installed.
        OffroadSegError: There is no such cluster.
    """

    def __init__(
        self,
        work: Callable[[Path, Path], None],
        *,
        address: str = LOCAL,
        workers: int | None = None,
        gpu: bool = False,
    ) -> None:
        self._work, self._workers = work, workers
        # Read when ray is imported. The second is what keeps a cluster of one machine on its loopback interface.
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        if address == LOCAL:
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        try:
            import ray
        except ImportError:
            raise InputError(
                "Ray is not installed",
                where=f"--ray-address {address}",
                mend="pip install 'offroad-seg[fleet]'; without --ray-address and --workers the bags are replayed "
                "one after the other",
            ) from None
        self._ray = ray
        self._gpu = gpu
        self._address = address

    def __enter__(self) -> OnRay:
        if self._address not in (LOCAL, AUTO):
            _check_reachable(self._address)
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self._address == LOCAL:
            options |= {
                "num_cpus": self._workers or len(os.sched_getaffinity(0)),
                "include_dashboard": False,
                "object_store_memory": _STORE_BYTES,
            }
        try:
            self._ray.init(address=self._address, **options)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            raise OffroadSegError(
                f"there is no Ray cluster to use: {' '.join(str(error).split())[:300]}",
                where=f"--ray-address {self._address}",
                mend="ray start --head starts one; --ray-address local uses this machine alone",
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """As ``Runner``."""
        cores, gpus = (int(self._ray.cluster_resources().get(kind, 0)) for kind in ("CPU", "GPU"))
        at_once = max(1, min(self._workers or cores, cores or 1))
        # A task that asks for no GPU is shown none, even where there are some.
        share = min(1.0, gpus / at_once) if self._gpu else 0.0
        task = self._ray.remote(num_cpus=1, num_gpus=share, max_retries=RETRIES)(do)
        work = self._ray.put(self._work)
        waiting = list(jobs)[::-1]
        running: dict[Any, Job] = {}
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.pop()
                running[task.remote(work, job)] = job
            ended, _ = self._ray.wait(list(running), timeout=_WAIT_S)
            for reference in ended:
                yield self._outcome(reference, running.pop(reference))

    def _outcome(self, reference: Any, job: Job) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            # A dead worker, no memory, or an error that `do` does not know.
            text = " ".join(str(error).split())
            return Outcome(job.name, f"its worker failed: {text[-300:]}")
        return outcome


def _check_reachable(address: str) -> None:
    # Ray itself tries for many minutes.
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise OffroadSegError(
            f"there is no Ray cluster to use: {error}",
            where=f"--ray-address {address}",
            mend="give HOST:PORT as `ray start --head` prints it, or local, or auto",
        ) from None
