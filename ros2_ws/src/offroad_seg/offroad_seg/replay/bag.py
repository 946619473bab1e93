# SPDX-License-Identifier: Apache-2.0
"""Reading bags without ROS: sqlite3 and mcap, folders and single files, Humble to Jazzy, whole or damaged.

rosbags reads what is whole. A file that it refuses because it was cut (the recorder was killed, the disk was
full) goes to ``bag_recovery``, which reads up to the damage; what is lost is said in ``Bag.losses``.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import BagError
from offroad_seg.replay.bag_parts import BagMessage, BagPart, Topic

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["Bag", "BagMessage", "Topic", "open_bag"]

STORAGE_SUFFIXES = (".mcap", ".db3")


class RosbagsPart:
    """What rosbags can read by itself.

    Args:
        path: A bag folder with ``metadata.yaml``, or one storage file.

    Raises:
        BagError: rosbags refuses it.
    """

    def __init__(self, path: Path) -> None:
        from rosbags.highlevel import AnyReader

        self.losses: list[str] = []
        try:
            self._reader = AnyReader([path], default_typestore=default_typestore(path))
            self._reader.open()
        except Exception as error:  # noqa: BLE001 – rosbags, sqlite and YAML each have their own errors
            raise BagError(f"the bag cannot be read: {_words(error)}", where=str(path)) from None
        self.typestore = self._reader.typestore
        counts: Counter[tuple[str, str]] = Counter()
        for connection in self._reader.connections:
            counts[connection.topic, connection.msgtype] += connection.msgcount
        self.topics = [Topic(name, msgtype, n) for (name, msgtype), n in counts.items()]

    def messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        """As ``BagPart``. Damage in the middle ends the stream and is said in ``losses``."""
        connections = [c for c in self._reader.connections if c.topic in topics]
        if not connections:
            return
        read = 0
        try:
            for connection, log_time, data in self._reader.messages(connections):
                yield BagMessage(connection.topic, connection.msgtype, log_time, bytes(data))
                read += 1
        except GeneratorExit:
            raise
        except Exception as error:  # noqa: BLE001 – as above
            expected = sum(c.msgcount for c in connections)
            loss = f"damaged after {read} of {expected} messages: {_words(error)}"
            if loss not in self.losses:
                self.losses.append(loss)

    def close(self) -> None:
        """As ``BagPart``."""
        self._reader.close()


class Bag:
    """An open bag: one or more parts that follow one another.

    Args:
        path: What the user named.
        parts: Its files in order.
        losses: What is known to be lost already.

    Attributes:
        topics: Name → topic.
    """

    def __init__(self, path: Path, parts: list[BagPart], losses: list[str]) -> None:
        self.path = path
        self._parts = parts
        self._losses = losses
        self.topics: dict[str, Topic] = {}
        for topic in (t for part in parts for t in part.topics):
            known = self.topics.get(topic.name)
            # One topic with two types: the one with more messages is the one that is meant.
            if known is None or (known.msgtype != topic.msgtype and topic.count > known.count):
                self.topics[topic.name] = topic
            elif known.msgtype == topic.msgtype:
                self.topics[topic.name] = replace(known, count=known.count + topic.count)

    @property
    def losses(self) -> list[str]:
        """What could not be read, in words; grows while damaged parts are read."""
        return [*self._losses, *(loss for part in self._parts for loss in part.losses)]

    @property
    def message_count(self) -> int:
        """Number of messages, as far as it is known."""
        return sum(topic.count for topic in self.topics.values())

    @property
    def typestore(self) -> Any:
        """The type store of rosbags with the types of this bag."""
        return self._parts[0].typestore

    def of_type(self, *msgtypes: str) -> list[Topic]:
        """The topics of some types, those with messages first, then by name."""
        found = (t for t in self.topics.values() if t.msgtype in msgtypes)
        return sorted(found, key=lambda t: (t.count == 0, t.name))

    def messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        """The messages of some topics in the order of their recording."""
        wanted = {name for name in topics if name in self.topics}
        if not wanted:
            return
        for part in self._parts:
            for message in part.messages(wanted):
                if message.msgtype == self.topics[message.topic].msgtype:
                    yield message

    def first(self, topic: str) -> Any:
        """The first message of a topic, deserialised, or None."""
        for message in self.messages([topic]):
            return self.deserialize(message)
        return None

    def deserialize(self, message: BagMessage) -> Any:
        """The message as an object with the fields of its type; arrays are numpy views of its bytes.

        Raises:
            BagError: Its bytes do not fit its type, or the type is not known.
        """
        store = self.typestore
        if message.msgtype not in store.fielddefs:
            store = default_typestore(self.path)
        try:
            return store.deserialize_cdr(message.data, message.msgtype)
        except Exception as error:  # noqa: BLE001 – generated code raises whatever the bytes lead to
            raise BagError(
                f"a {message.msgtype} cannot be deserialised: {_words(error)}",
                where=f"{self.path}, topic {message.topic}",
                mend="record the bag again, or convert it with rosbags-convert",
            ) from None

    def close(self) -> None:
        """Close its files."""
        for part in self._parts:
            part.close()

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_bag(path: str | Path) -> Bag:
    """Open a bag folder, an ``.mcap`` or a ``.db3`` file, and keep what is readable of a damaged one.

    Raises:
        BagError: There is no bag, nothing of it can be read, or it holds no message.
    """
    path = Path(path)
    if not path.exists():
        raise BagError("there is no such bag", where=str(path), mend="give a bag folder, .mcap or .db3 file")
    if path.suffix == ".bag":
        raise BagError(
            "this is a ROS 1 bag", where=str(path), mend=f"rosbags-convert --src {path} --dst {path.stem}"
        )
    parts, losses = _open_parts(path)
    bag = Bag(path, parts, losses)
    if not bag.topics or bag.message_count == 0:
        bag.close()
        said = f" ({'; '.join(bag.losses)})" if bag.losses else ""
        raise BagError(f"the bag holds no messages{said}", where=str(path), mend="record it again")
    return bag


def default_typestore(path: Path) -> Any:
    """The types of messages for bags that carry no definitions (sqlite3 before Iron): the bag's distribution's own."""
    from rosbags.typesys import Stores, get_typestore

    metadata = path / "metadata.yaml"
    text = metadata.read_text(encoding="utf-8", errors="replace") if metadata.is_file() else ""
    distribution = re.search(r"^\s*ros_distro:\s*['\"]?(\w+)", text, re.MULTILINE)
    stores = {
        "humble": Stores.ROS2_HUMBLE,
        "iron": Stores.ROS2_IRON,
        "jazzy": Stores.ROS2_JAZZY,
        "kilted": Stores.LATEST,
    }
    return get_typestore(stores.get(distribution[1] if distribution else "", Stores.ROS2_HUMBLE))


def _open_parts(path: Path) -> tuple[list[BagPart], list[str]]:
    files = _storage_files(path)
    whole_folder = path.is_dir() and (path / "metadata.yaml").is_file()
    if path.is_file() or whole_folder:
        try:
            return [RosbagsPart(path)], []
        except BagError as error:
            refused = error
    else:
        refused = BagError("metadata.yaml is missing", where=str(path))
    if not files:
        raise BagError(
            f"this is not a bag: {refused.what}",
            where=str(path),
            mend="give a bag folder, an .mcap or a .db3 file",
        ) from None
    parts = [_open_file(file, refused) for file in files]
    if path.is_file():
        return parts, []
    if not whole_folder:
        return parts, ["metadata.yaml is missing: the files of the folder were read one by one"]
    expected, found = _count_in_metadata(path), sum(t.count for part in parts for t in part.topics)
    return parts, [f"{expected - found} of {expected} messages are lost"] if expected > found else []


def _open_file(file: Path, refused: BagError) -> BagPart:
    from offroad_seg.replay.bag_recovery import McapStreamPart
    from offroad_seg.replay.bag_recovery_sqlite import SqliteRowsPart

    try:
        return RosbagsPart(file)
    except BagError as error:
        reason = error.what if file != Path(refused.where) else refused.what
    if file.stat().st_size == 0:
        raise BagError("the bag file is empty (0 bytes)", where=str(file), mend="record it again")
    return McapStreamPart(file, reason) if file.suffix == ".mcap" else SqliteRowsPart(file, reason)


def _count_in_metadata(path: Path) -> int:
    text = (path / "metadata.yaml").read_text(encoding="utf-8", errors="replace")
    found = re.search(r"^  message_count:\s*(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


def _storage_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix in STORAGE_SUFFIXES else []

    def number(file: Path) -> tuple[str, int]:
        found = re.search(r"^(.*?)_?(\d+)$", file.stem)
        return (found[1], int(found[2])) if found else (file.stem, -1)

    return sorted((f for f in path.iterdir() if f.suffix in STORAGE_SUFFIXES), key=number)


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
