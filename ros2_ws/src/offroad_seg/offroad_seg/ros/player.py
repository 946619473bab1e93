# SPDX-License-Identifier: Apache-2.0
"""``replay --via-ros``: plays a bag over DDS into the real node in another process, and gives its answers.

Without a rate, the next image is played when the node has answered the one before: every frame is judged. With a
rate R the bag's own times, divided by R, say when; what the node then drops is counted.

The player publishes /clock from the bag, and the node runs by it (``use_sim_time``), so that ``max_age`` and the
stall watchdog go by the bag's time. Messages go out as the CDR that lies in the bag.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.replay.frames import BagFrame, Drop
from offroad_seg.ros.dds import use_large_image_profile
from offroad_seg.ros.replay_node import NAMESPACE, ReplayNode, own_domain
from offroad_seg.ros.waits import ANSWER_S, LEAD_NS, SETTLE_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from offroad_seg.replay.frames import FrameSource
    from offroad_seg.ros.link import Link
    from offroad_seg.types import Perception

    Items = Iterable[BagFrame | Drop]
    Results = Iterator[tuple[BagFrame, Perception] | Drop]


class NodeReplay:
    """A node to play to; started with the first frame, ended by ``close`` or at the end of the ``with``.

    Args:
        source: The bag, for its frames' names and topics.
        values: The node's parameters.
        bundle: The bundle's folder.
        rate: Times real time; None waits for the node.

    Attributes:
        engine: What really runs, as the node says.
    """

    def __init__(
        self, source: FrameSource, values: dict[str, Any], bundle: Path, *, rate: float | None = None
    ) -> None:
        self._source, self._rate = source, rate
        self._parameters = {
            **values,
            "bundle": str(bundle.resolve()),
            "image_transport": "compressed" if source.topics.compressed else "raw",
            "use_sim_time": True,
            "autostart": True,
        }
        if rate is None:
            # Every frame shall be judged, however slow this machine is.
            waits = {"max_age": 0.0, "max_rate": 0.0, "stall_timeout": 3600.0}
            self._parameters |= waits | {"tf_timeout": max(2.0, values.get("tf_timeout", 0.0))}
        self._stack = ExitStack()
        self._remarks: list[str] = []
        self._link: Link | None = None
        self.engine: dict[str, Any] = {}

    def __enter__(self) -> NodeReplay:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def extra(self) -> dict[str, Any]:
        """What else belongs into ``metrics.json``."""
        node: dict[str, Any] = {}
        if self._link is not None:
            self._link.spin_for(1.2)  # the next diagnostics, which tell of the last frames
            node = {"dropped": self._link.recorder.drops(), "reasons": self._link.recorder.reasons()}
            told = self._link.recorder.diagnostics.get("inference", {})
            node["stages_ms"] = {k: float(v) for k, v in told.items() if "_ms.p" in k}
        return {"node": node, "rate": self._rate, "remarks": self._remarks}

    def perceive(self, items: Items) -> Results:
        """The node's answer to each frame, in order; see the top of this module.

        Raises:
            EngineError: The node refuses the bundle, ends, or answers no more.
        """
        from offroad_seg.ros.pacing import play_in_step, play_in_time

        for item in items:
            if isinstance(item, Drop):
                yield item
                continue
            link = self._start(item)
            rest = _chain(item, items)
            if self._rate is None:
                yield from play_in_step(link, rest)
            else:
                yield from play_in_time(link, rest, self._rate)
            return

    def _start(self, first: BagFrame) -> Link:
        from offroad_seg.ros.link import Link, has_tf, mount_parameters

        if not has_tf() and "camera_mount.z" not in self._parameters and first.base_T_camera is not None:
            # The wheels have no tf2_msgs: the camera's place is told as it is at the first frame.
            self._parameters |= mount_parameters(first.base_T_camera)
            self._remarks.append(
                "tf2_msgs is not installed: the camera's mount was taken from the first frame"
            )
        domain = self._stack.enter_context(own_domain())
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="offroad_seg_replay_")))
        use_large_image_profile()  # before rclpy is initialised, for this process and the node's
        node = self._stack.enter_context(ReplayNode(self._parameters, domain, folder))
        self._link = self._stack.enter_context(Link(self._source, NAMESPACE, domain, node))
        node.wait_until_configured()
        self._link.wait_until_connected(time.monotonic() + ANSWER_S)
        # The node's watchdogs see the clock leap from 0 to the bag's time: that shall be over before the first frame.
        self._link.tell_time(first.frame.stamp_ns - LEAD_NS)
        self._link.spin_for(SETTLE_S)
        told = self._link.recorder.diagnostics.get("node", {})
        self.engine |= {k: told[k] for k in ("backend", "device", "precision", "providers") if k in told}
        return self._link


def _chain(first: BagFrame, rest: Items) -> Iterator[BagFrame | Drop]:
    yield first
    yield from rest
