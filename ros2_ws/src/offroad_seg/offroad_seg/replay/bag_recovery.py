# SPDX-License-Identifier: Apache-2.0
"""mcap files that were cut or carry no index: read as a stream, record by record, up to the damage.

A recorder that is killed leaves no footer, and rosbags (like ``ros2 bag``) refuses the file. mcap is a log: every
whole chunk before the damage is good. Its own stream reader finds them.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import BagError
from offroad_seg.replay.bag_parts import BagMessage, Topic

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_TOO_LARGE = 1 << 31
# Opcode, record length, start and end time, uncompressed size, CRC, length of the compression's name.
_CHUNK_HEAD = struct.Struct("<BQQQQII")


@dataclass
class _Scan:
    """How far a file can be read."""

    good_bytes: int = 0
    finished: bool = False
    reason: str = ""


class McapStreamPart:
    """An mcap file without a usable index.

    The file is scanned once when it is opened, to know its topics and how far it is good; memory stays at one chunk.

    Args:
        path: The file.
        refused: Why rosbags would not read it.

    Raises:
        BagError: It is no mcap file, or not even its first chunk is whole.
    """

    def __init__(self, path: Path, refused: str) -> None:
        self.path = path
        self.losses: list[str] = []
        self._schemas: dict[int, Any] = {}
        self._channels: dict[int, Any] = {}
        counts: Counter[int] = Counter()
        scan = _Scan()
        for message in self._records(scan):
            counts[message.channel_id] += 1
        if not counts:
            raise BagError(
                f"nothing of the bag can be read: {refused}; {scan.reason or 'no message in it'}",
                where=str(path),
                mend="record it again",
            )
        self.topics = [self._topic(channel, counts[channel.id]) for channel in self._channels.values()]
        self.typestore = self._load_types()
        if not scan.finished:
            size = path.stat().st_size
            self.losses.append(
                f"{path.name} was cut: {sum(counts.values())} messages in the first {scan.good_bytes:,} bytes were "
                f"read; the last {size - scan.good_bytes:,} bytes, and whatever was cut off, are lost ({scan.reason})"
            )

    def messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        """As ``BagPart``: in the order of the file, which a recorder writes in order of time."""
        for message in self._records(_Scan()):
            channel = self._channels[message.channel_id]
            if channel.topic in topics:
                msgtype = self._schemas[channel.schema_id].name
                yield BagMessage(channel.topic, msgtype, message.log_time, message.data)

    def close(self) -> None:
        """As ``BagPart``; nothing stays open."""

    def _records(self, scan: _Scan) -> Iterator[Any]:
        from mcap.exceptions import EndOfFile, McapError
        from mcap.records import Chunk, Footer
        from mcap.stream_reader import StreamReader, breakup_chunk

        with self.path.open("rb") as stream:
            reader = StreamReader(stream, emit_chunks=True, record_size_limit=_TOO_LARGE)
            try:
                for record in reader.records:
                    inner = (
                        breakup_chunk(record, validate_crc=True) if isinstance(record, Chunk) else [record]
                    )
                    yield from self._take(inner)
                    scan.good_bytes = stream.tell()
                    scan.finished = scan.finished or isinstance(record, Footer)
            except GeneratorExit:
                raise
            except EndOfFile:
                scan.reason = "the file ends inside a record"
                rest, scan.good_bytes = _open_chunk(self.path, scan.good_bytes)
                yield from self._take(rest)
            except McapError as error:
                scan.reason = " ".join(str(error).split()) or type(error).__name__
            except Exception as error:  # noqa: BLE001 – three decompressors and struct, each with its own errors
                scan.reason = f"damaged: {' '.join(str(error).split()) or type(error).__name__}"

    def _take(self, records: list[Any]) -> list[Any]:
        """Note schemas and channels; the messages in order of time (inside a chunk they may lie in any order)."""
        from mcap.records import Channel, Message, Schema

        for item in records:
            if isinstance(item, Schema):
                self._schemas.setdefault(item.id, item)
            elif isinstance(item, Channel) and item.schema_id in self._schemas:
                self._channels.setdefault(item.id, item)
        messages = [m for m in records if isinstance(m, Message) and m.channel_id in self._channels]
        return sorted(messages, key=lambda m: m.log_time)

    def _topic(self, channel: Any, count: int) -> Topic:
        return Topic(channel.topic, self._schemas[channel.schema_id].name, count)

    def _load_types(self) -> Any:
        from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

        store = get_typestore(Stores.ROS2_JAZZY)
        for schema in self._schemas.values():
            if schema.name in store.fielddefs:
                continue
            text = schema.data.decode("utf-8", errors="replace")
            try:
                types = (
                    get_types_from_msg(text, schema.name)
                    if schema.encoding == "ros2msg"
                    else get_types_from_idl(text)
                )
                store.register(
                    {name: fields for name, fields in types.items() if name not in store.fielddefs}
                )
            except Exception:  # noqa: BLE001, S112 – an odd type that nobody asks for must not stop the replay
                continue
        return store


def _open_chunk(path: Path, start: int) -> tuple[list[Any], int]:
    """The whole records inside a last chunk that was cut, if it is not compressed.

    Args:
        path: The file.
        start: Where the chunk's record begins; 0 where not even the header was read.

    Returns:
        The records, and up to which byte the file is good.
    """
    from mcap.data_stream import ReadDataStream
    from mcap.exceptions import EndOfFile
    from mcap.opcode import Opcode
    from mcap.records import Channel, Message, Schema

    with path.open("rb") as stream:
        stream.seek(start)
        head = stream.read(_CHUNK_HEAD.size)
        if start == 0 or len(head) < _CHUNK_HEAD.size:
            return [], start
        opcode, *_, compression_length = _CHUNK_HEAD.unpack(head)
        if opcode != Opcode.CHUNK or compression_length != 0 or len(stream.read(8)) < 8:
            return [], start
        records: list[Any] = []
        data, begin, size = ReadDataStream(stream), stream.tell(), path.stat().st_size
        good = begin
        try:
            while True:
                kind, length = data.read1(), data.read8()
                # The library's stream gives what is there where more is asked for.
                if begin + data.count + length > size:
                    return records, good if records else start
                if kind == Opcode.SCHEMA:
                    records.append(Schema.read(data))
                elif kind == Opcode.CHANNEL:
                    records.append(Channel.read(data))
                elif kind == Opcode.MESSAGE:
                    records.append(Message.read(data, length))
                else:
                    data.read(length)
                good = begin + data.count
        except EndOfFile:
            return records, good if records else start
