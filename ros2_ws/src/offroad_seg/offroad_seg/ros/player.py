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
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import InputError
from offroad_seg.replay.frames import BagFrame, Drop
from offroad_seg.ros.dds import use_large_image_profile
from offroad_seg.ros.replay_node import NAMESPACE, ReplayNode, own_domain
from offroad_seg.ros.waits import ANSWER_S, LEAD_NS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from offroad_seg.replay.frames import FrameSource
    from offroad_seg.replay.topics import Topics
    from offroad_seg.ros.link import Link
    from offroad_seg.types import Perception

    Items = Iterable[BagFrame | Drop]
    Results = Iterator[tuple[BagFrame, Perception] | Drop]


_AHEAD = 50
"""Images at most among which the first of each camera is looked for."""


class NodeReplay:
    """A node to play to; started with the first frame, ended by ``close`` or at the end of the ``with``.

    Args:
        source: The bag, for its frames' names and topics.
        values: The node's parameters.
        bundle: The bundle's folder.
        rate: Times real time; None waits for the node.

    Raises:
        InputError: Some cameras' images are compressed and others' are not.

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
            "image_transport": _transport(source.topics),
            "use_sim_time": True,
            "autostart": True,
        }
        if rate is None:
            # Every frame shall be judged, however slow this machine is.
            waits = {"max_age": 0.0, "max_rate": 0.0, "stall_timeout": 3600.0}
            self._parameters |= waits | {"tf_timeout": max(2.0, values.get("tf_timeout", 0.0))}
        if len(source.topics.names) > 1:
            self._parameters["cameras"] = list(source.topics.names)
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
            self._link.hear_diagnostics()  # which tell of the last frames
            recorder, names = self._link.recorder, self._source.topics.names
            node = {"dropped": recorder.drops(), "reasons": recorder.reasons()}
            if len(names) > 1:
                node["cameras"] = {
                    name: {"dropped": recorder.drops(name), "reasons": recorder.reasons(name)}
                    for name in names
                }
            told = recorder.diagnostics.get("inference", {})
            node["stages_ms"] = {k: float(v) for k, v in told.items() if "_ms.p" in k}
        return {"node": node, "rate": self._rate, "remarks": self._remarks}

    def perceive(self, items: Items) -> Results:
        """The node's answer to each frame, in order; see the top of this module.

        Raises:
            EngineError: The node refuses the bundle, ends, or answers no more.
        """
        from offroad_seg.ros.pacing import play_in_step, play_in_time

        rest = iter(items)
        ahead = self._first_of_each(rest)
        frames = [item for item in ahead if isinstance(item, BagFrame)]
        if not frames:
            yield from (item for item in ahead if isinstance(item, Drop))
            return
        link, played = self._start(frames), chain(ahead, rest)
        if self._rate is None:
            yield from play_in_step(link, played)
        else:
            yield from play_in_time(link, played, self._rate)

    def _first_of_each(self, items: Iterator[BagFrame | Drop]) -> list[BagFrame | Drop]:
        """Items until every camera whose mount must be told has shown a frame."""
        from offroad_seg.ros.link import has_tf

        missing, ahead = set(self._source.topics.names), list[BagFrame | Drop]()
        for item in items:
            ahead.append(item)
            if isinstance(item, BagFrame):
                missing.discard(item.camera)
                if has_tf() or not missing or len(ahead) >= _AHEAD:
                    break
        return ahead

    def _start(self, frames: list[BagFrame]) -> Link:
        from offroad_seg.ros.link import Link, has_tf, mount_parameters

        first, several = frames[0], len(self._source.topics.names) > 1
        if not has_tf():
            # The wheels have no tf2_msgs: each camera's place is told as it is at its first frame.
            mounts: dict[str, float] = {}
            for frame in reversed(frames):
                if frame.base_T_camera is not None:
                    mounts |= mount_parameters(frame.base_T_camera, frame.camera if several else "")
            new = {name: value for name, value in mounts.items() if name not in self._parameters}
            self._parameters |= new
            if new:
                self._remarks.append(
                    "tf2_msgs is not installed: the camera's mount was taken from the first frame"
                )
        domain = self._stack.enter_context(own_domain())
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="offroad_seg_replay_")))
        use_large_image_profile()  # before rclpy is initialised, for this process and the node's
        node = self._stack.enter_context(ReplayNode(self._parameters, domain, folder))
        with_depth = self._parameters.get("projection") == "depth"
        link = Link(self._source, NAMESPACE, domain, node, with_depth=with_depth)
        self._link = self._stack.enter_context(link)
        node.wait_until_configured()
        self._link.wait_until_connected(time.monotonic() + ANSWER_S)
        # The node's watchdogs see the clock leap from 0 to the bag's time: that shall be over before the first frame.
        self._link.tell_time(first.frame.stamp_ns - LEAD_NS)
        self._link.settle()
        told = self._link.recorder.diagnostics.get("node", {})
        self.engine |= {k: told[k] for k in ("backend", "device", "precision", "providers") if k in told}
        return self._link


def _transport(topics: Topics) -> str:
    kinds = {camera.compressed for camera in topics.cameras}
    if len(kinds) > 1:
        raise InputError(
            "the node takes raw or compressed images of all cameras, not of each its own",
            where=f"--topic {', '.join(camera.image.name for camera in topics.cameras)}",
            mend="choose topics of one type, or replay without --via-ros",
        )
    return "compressed" if True in kinds else "raw"
