# SPDX-License-Identifier: Apache-2.0
"""sqlite3 bags that were cut: read row by row, leaving out the rows whose pages are lost."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import BagError
from offroad_seg.replay.bag_parts import BagMessage, Topic

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

# After so many ids in a row without a readable row, the rest is taken as lost.
_GIVE_UP_AFTER = 2000
_PAGE_SIZE_OFFSET, _PAGE_COUNT_OFFSET = 16, 28


class SqliteRowsPart:
    """A damaged rosbag2 database.

    SQLite refuses a file that is shorter than its header says, unless the schema is writable; then each row can be
    asked for by its id, and only those on lost pages fail. rosbag2 writes rows in order of time.

    Args:
        path: The ``.db3`` file.
        refused: Why rosbags would not read it.

    Raises:
        BagError: Not even the list of topics, or no message, can be read.
    """

    def __init__(self, path: Path, refused: str) -> None:
        self.path = path
        self.losses: list[str] = []
        try:
            self._connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True, check_same_thread=False)
            self._connection.execute("PRAGMA writable_schema=ON")
            rows = self._connection.execute("SELECT id, name, type FROM topics").fetchall()
        except sqlite3.Error as error:
            raise self._hopeless(refused, str(error)) from None
        self._topics = {int(i): (str(name), str(msgtype)) for i, name, msgtype in rows}
        counts: Counter[int] = Counter()
        self._last_id = 0
        for row_id, topic_id, _ in self._headers():
            counts[topic_id] += 1
            self._last_id = row_id
        if not counts:
            raise self._hopeless(refused, "no row of its messages is whole")
        self.topics = [Topic(name, msgtype, counts[i]) for i, (name, msgtype) in self._topics.items()]
        self.typestore = self._load_types()
        read = f"{sum(counts.values())} messages were read row by row"
        missing = self._missing_bytes()
        cut = f"{path.name} was cut: {missing:,} bytes, and the messages in them, are lost; {read}"
        self.losses.append(f"{cut if missing > 0 else f'{path.name} is damaged: {read}'} ({refused})")

    def messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        """As ``BagPart``, in the order in which the rows were written."""
        for row_id, topic_id, log_time in self._headers(self._last_id):
            name, msgtype = self._topics[topic_id]
            if name not in topics:
                continue
            data = self._row("SELECT data FROM messages WHERE id = ?", row_id)
            if data is not None:
                yield BagMessage(name, msgtype, log_time, bytes(data[0]))

    def close(self) -> None:
        """As ``BagPart``."""
        self._connection.close()

    def _headers(self, last_id: int | None = None) -> Iterator[tuple[int, int, int]]:
        """(row id, topic id, time) of every row that is whole."""
        row_id = missed = 0
        while missed < _GIVE_UP_AFTER and (last_id is None or row_id < last_id):
            row_id += 1
            # length(data) reads no overflow page; the last byte of the blob shows whether its pages are there.
            row = self._row(
                "SELECT topic_id, timestamp, substr(data, length(data)) FROM messages WHERE id = ?", row_id
            )
            if row is None or row[0] not in self._topics:
                missed += 1
                continue
            missed = 0
            yield row_id, int(row[0]), int(row[1])

    def _row(self, query: str, row_id: int) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None = self._connection.execute(query, (row_id,)).fetchone()
        except sqlite3.Error:
            return None
        return row

    def _missing_bytes(self) -> int:
        """Bytes that the header promises and the file lacks."""
        with self.path.open("rb") as stream:
            header = stream.read(100)
        page = int.from_bytes(header[_PAGE_SIZE_OFFSET : _PAGE_SIZE_OFFSET + 2], "big")
        pages = int.from_bytes(header[_PAGE_COUNT_OFFSET : _PAGE_COUNT_OFFSET + 4], "big")
        return pages * (65536 if page == 1 else page) - self.path.stat().st_size

    def _hopeless(self, refused: str, reason: str) -> BagError:
        return BagError(
            f"nothing of the bag can be read: {refused}; {reason}",
            where=str(self.path),
            mend="record it again",
        )

    def _load_types(self) -> Any:
        from rosbags.typesys import Stores, get_typestore

        return get_typestore(Stores.ROS2_HUMBLE)
