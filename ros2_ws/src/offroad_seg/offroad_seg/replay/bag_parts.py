# SPDX-License-Identifier: Apache-2.0
"""What a bag consists of: messages, topics, and the files that are read in one way or another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


class BagMessage(NamedTuple):
    """One message as it lies in the bag.

    Attributes:
        topic: Its topic.
        msgtype: ROS name of its type, as ``sensor_msgs/msg/Image``.
        log_time_ns: When it was recorded.
        data: CDR.
    """

    topic: str
    msgtype: str
    log_time_ns: int
    data: bytes


@dataclass(frozen=True)
class Topic:
    """A topic of a bag: name, type and number of messages."""

    name: str
    msgtype: str
    count: int


class BagPart(Protocol):
    """One file of a bag, or a folder of them, open for reading."""

    topics: list[Topic]
    losses: list[str]
    typestore: Any

    def messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        """The messages of some topics in the order of their recording."""

    def close(self) -> None:
        """Close the files."""
