# SPDX-License-Identifier: Apache-2.0
"""An executor that leaves the processor to the network.

For every message rclpy's own makes a task and a coroutine, and builds the set of all that it waits for anew, twice.
The active node has a dozen services, and two events for each topic: so a message of odometry took 0.9 to 1.8 ms of
Python there and takes 0.4 to 0.9 here, most of which is the message itself; on a shared AMD EPYC. That is time which
the network misses, as it wants every core, and whoever publishes its answer, as it is Python's lock.

rclpy's ``EventsExecutor``, which builds no sets either, is experimental, is not in Humble, and can end the process when
publishers are destroyed (ros2/rclpy issue 1644).
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from rclpy.exceptions import InvalidHandle
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

LOOK_PERIOD_S = 0.25
_ENTITIES = ("subscription", "timer", "client", "service")
_LOG = logging.getLogger(__name__)


class FrameExecutor(SingleThreadedExecutor):  # type: ignore[misc]
    """rclpy's single-threaded executor, with a short way from some subscriptions to their callbacks.

    As long as there are such subscriptions, the others, timers, services and clients are waited for at the same time
    and served by rclpy, as ever; its events (somebody's quality of service does not fit) are looked at four times a
    second, as the middleware keeps them. There is no place for actions. Without them it is rclpy's.

    Args:
        quick: The subscriptions as they are now. Their callbacks are plain functions of the message alone.
        arguments: As rclpy's.
    """

    def __init__(self, quick: Callable[[], Sequence[Any]] = tuple, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.quick = quick
        self._works = True
        self._served: frozenset[int] = frozenset()  # identities; rclpy compares by handle, which takes longer
        self._sizes: tuple[int, ...] = ()
        self._set: Any = None
        self._next_look_s = 0.0

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait for something to do, and do it; as rclpy's."""
        quick = self.quick() if self._works and self.context.ok() else ()
        self._served = frozenset(map(id, quick))
        if not quick:
            self._set, self._sizes = None, ()
            super().spin_once(timeout_sec)
            return
        try:
            ready, others = self._wait(quick, -1 if timeout_sec is None else int(1e9 * timeout_sec))
        except Exception:  # noqa: BLE001 – whatever it is
            # Another rclpy than those that are known. A slower node is better than a deaf one.
            _LOG.warning("rclpy's own executor serves the inputs from now on", exc_info=True)
            self._works = False
            return
        for subscription in ready:
            _take(subscription)
        now_s = time.monotonic()
        if others or now_s >= self._next_look_s:
            self._next_look_s = now_s + LOOK_PERIOD_S
            super().spin_once(0.0)

    def can_execute(self, entity: Any) -> bool:
        """As rclpy's, which asks this of all that it might wait for."""
        return id(entity) not in self._served and bool(super().can_execute(entity))

    def _wait(self, quick: Sequence[Any], timeout_ns: int) -> tuple[list[Any], bool]:
        """Which of ``quick`` have a message, and whether anything else is ready."""
        nodes = self.get_nodes()
        rest = [s for node in nodes for s in node.subscriptions if id(s) not in self._served]
        timers, clients, services = (
            _handles(entity for node in nodes for entity in getattr(node, kind))
            for kind in ("timers", "clients", "services")
        )
        subscriptions = _handles((*quick, *rest))
        sizes = (len(subscriptions), 0, len(timers), len(clients), len(services), 0)
        if sizes != self._sizes:
            self._set, self._sizes = rclpy_implementation.WaitSet(*sizes, self.context.handle), sizes
        waits = self._set
        waits.clear_entities()
        for add, handles in (
            (waits.add_subscription, subscriptions),
            (waits.add_timer, timers),
            (waits.add_client, clients),
            (waits.add_service, services),
        ):
            for handle in handles:
                add(handle)
        waits.wait(timeout_ns)
        found = {kind: waits.get_ready_entities(kind) for kind in _ENTITIES}
        ready = [s for s in quick if s.handle.pointer in found["subscription"]]
        return ready, sum(map(len, found.values())) > len(ready)


def _handles(entities: Iterable[Any]) -> list[Any]:
    return [entity.handle for entity in entities]


def _take(subscription: Any) -> None:
    try:
        with subscription.handle:
            taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
    except InvalidHandle:  # another callback has destroyed it
        return
    if taken is not None:
        subscription.callback(taken[0])
