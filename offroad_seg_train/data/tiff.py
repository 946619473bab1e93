# SPDX-License-Identifier: Apache-2.0
"""Reading a TIFF window by window: only the strips or tiles that a window needs are decoded.

Pillow parses the directory and decodes; each strip or tile is handed to it as a picture of its own.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    U8 = NDArray[np.uint8]

_UNCOMPRESSED = 1
_ROWS_AT_ONCE = 64
_SEGMENT_PIXELS = 16 << 20
_AGAIN = "copy or make the file again, or remove it"
# Tags that a strip or tile needs to be decoded by itself: name → (number, type); 3 = SHORT, 5 = RATIONAL, 7 = bytes.
_HANDED_ON = {
    "bits": (258, 3),
    "compression": (259, 3),
    "photometric": (262, 3),
    "samples": (277, 3),
    "predictor": (317, 3),
    "extra": (338, 3),
    "jpeg_tables": (347, 7),
    "subsampling": (530, 3),
}


class TiffSource:
    """``ImageSource`` over a large TIFF.

    Decoded strips and tiles are kept while rows at their height are read, so reading should go downwards.

    Args:
        path: The file.

    Raises:
        ImageError: It cannot be read.
        NotImplementedError: It is a TIFF that must be decoded as a whole; the message says why.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise ImageError(f"the picture cannot be read: {error.strerror}", where=str(path)) from None
        try:
            self._tags = _Directory(self._file, path)
        except BaseException:
            self._file.close()
            raise
        self.height, self.width = self._tags.height, self._tags.width
        self._decoded: dict[int, U8] = {}

    def read(self, top: int, bottom: int, left: int, right: int) -> U8:
        """RGB, uint8 (bottom − top, right − left, 3).

        Raises:
            ImageError: A strip or tile is missing or damaged.
        """
        tags = self._tags
        for index in [i for i in self._decoded if (i // tags.across + 1) * tags.segment_height <= top]:
            del self._decoded[index]
        window = np.empty((bottom - top, right - left, 3), np.uint8)
        for index, y, x in tags.segments(top, bottom, left, right):
            if index not in self._decoded:
                self._decoded[index] = self._decode(index)
            segment = self._decoded[index]
            y0, y1 = max(top, y), min(bottom, y + segment.shape[0])
            x0, x1 = max(left, x), min(right, x + segment.shape[1])
            window[y0 - top : y1 - top, x0 - left : x1 - left] = segment[y0 - y : y1 - y, x0 - x : x1 - x]
        return window

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._decoded.clear()

    def _decode(self, index: int) -> U8:
        from PIL import Image

        offset, count, height, width = self._tags.place(index)
        self._file.seek(offset)
        data = self._file.read(count)
        if len(data) < count:
            raise ImageError(f"truncated TIFF (part {index} is cut off)", where=str(self._path), mend=_AGAIN)
        if self._tags.compression == _UNCOMPRESSED:
            pixels = np.frombuffer(data, np.uint8, height * width * self._tags.samples)
            raw = pixels.reshape(height, width, self._tags.samples)
            return raw.repeat(3, axis=2) if self._tags.samples == 1 else raw[..., :3]
        try:
            with Image.open(io.BytesIO(self._tags.picture(height, width, data))) as picture:
                return np.asarray(picture.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            raise ImageError(
                f"damaged TIFF (part {index}): {error}", where=str(self._path), mend=_AGAIN
            ) from None


class _Directory:
    """Where the parts of the first picture in a file lie, and how they are coded."""

    def __init__(self, file: Any, path: Path) -> None:
        from PIL import TiffImagePlugin

        header = file.read(8)
        if header[2:4] in (b"+\0", b"\0+"):  # BigTIFF
            header += file.read(8)
        try:
            entries = TiffImagePlugin.ImageFileDirectory_v2(header)
            file.seek(entries.next)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a directory that is cut off is said below
                entries.load(file)
            self._entries: dict[int, Any] = dict(entries)
            self.width, self.height = self._one(256), self._one(257)
        except (OSError, SyntaxError, KeyError, TypeError, ValueError, struct.error) as error:
            raise ImageError(f"damaged TIFF: {error}", where=str(path), mend=_AGAIN) from None
        self.samples, self.compression = self._one(277, 1), self._one(259, 1)
        if reason := self._unfit():
            raise NotImplementedError(reason)
        tiled = 324 in self._entries
        self._offsets, self._counts = (self._many(tag) for tag in ((324, 325) if tiled else (273, 279)))
        self.segment_width = self._one(322) if tiled else self.width
        self.segment_height = self._one(323) if tiled else min(self._one(278, self.height), self.height)
        self._tiled = tiled
        if self.compression == _UNCOMPRESSED and not tiled:
            self._cut_strips()
        self.across = -(-self.width // self.segment_width)
        down = -(-self.height // self.segment_height)
        if self.segment_width * self.segment_height > _SEGMENT_PIXELS:
            raise NotImplementedError(
                f"its parts are {self.segment_width}×{self.segment_height} pixels large"
            )
        if len(self._offsets) < self.across * down or len(self._counts) < self.across * down:
            raise ImageError("damaged TIFF: parts are missing", where=str(path), mend=_AGAIN)

    def segments(self, top: int, bottom: int, left: int, right: int) -> Iterator[tuple[int, int, int]]:
        """Number, top and left of the parts that touch a window."""
        for row in range(top // self.segment_height, -(-bottom // self.segment_height)):
            for column in range(left // self.segment_width, -(-right // self.segment_width)):
                yield row * self.across + column, row * self.segment_height, column * self.segment_width

    def place(self, index: int) -> tuple[int, int, int, int]:
        """Offset, bytes, rows and columns of a part as it is stored."""
        height = self.segment_height
        if not self._tiled:  # the last strip ends with the picture; tiles are always whole
            height = min(height, self.height - index * height)
        return self._offsets[index], self._counts[index], height, self.segment_width

    def picture(self, height: int, width: int, data: bytes) -> bytes:
        """A TIFF of one strip that holds a part's bytes."""
        entries: list[tuple[int, int, bytes]] = [
            (256, 4, struct.pack("<I", width)),
            (257, 4, struct.pack("<I", height)),
            (278, 4, struct.pack("<I", height)),
            (279, 4, struct.pack("<I", len(data))),
        ]
        for tag, kind in _HANDED_ON.values():
            if tag in self._entries:
                value = self._entries[tag]
                packed = value if kind == 7 else struct.pack(f"<{len(self._many(tag))}H", *self._many(tag))
                entries.append((tag, kind, packed))
        entries.append((273, 4, b"\0\0\0\0"))
        entries.sort()
        position = 8 + 2 + 12 * len(entries) + 4
        start = position + sum(len(v) + len(v) % 2 for _, _, v in entries if len(v) > 4)
        table, beyond = b"", b""
        for tag, kind, value in entries:
            packed = struct.pack("<I", start) if tag == 273 else value
            size = {3: 2, 4: 4, 7: 1}[kind]
            if len(packed) > 4:
                table += struct.pack("<HHII", tag, kind, len(packed) // size, position + len(beyond))
                beyond += packed + b"\0" * (len(packed) % 2)
            else:
                table += struct.pack("<HHI", tag, kind, len(packed) // size) + packed.ljust(4, b"\0")
        head = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
        return head + table + b"\0\0\0\0" + beyond + data

    def _cut_strips(self) -> None:
        """Uncompressed strips can be read in parts, however many rows they have."""
        stride, rows = self.width * self.samples, min(_ROWS_AT_ONCE, self.segment_height)
        if len(self._offsets) > 1:  # the parts of every strip but the last must be equal
            rows = math.gcd(rows, self.segment_height)
        offsets = [
            offset + row * stride
            for number, offset in enumerate(self._offsets)
            for row in range(0, min(self.segment_height, self.height - number * self.segment_height), rows)
        ]
        self._offsets = tuple(offsets)
        self._counts = tuple(stride * min(rows, self.height - i * rows) for i in range(len(offsets)))
        self.segment_height = rows

    def _unfit(self) -> str:
        """Why the file must be decoded as a whole; empty where it need not."""
        photometric = self._one(262, 2)
        if set(self._many(258, (1,))) != {8} or self._one(339, 1) != 1:
            return "its samples are not 8 bits"
        if self.samples not in (1, 3, 4) or photometric not in ((1,) if self.samples == 1 else (2, 6)):
            return f"its colours are coded in a rare way ({self.samples} samples, photometric {photometric})"
        if self.samples == 4 and self._many(338, (0,))[0] == 1:
            return "its colours are multiplied with a transparency"
        if self._one(284, 1) != 1 and self.samples > 1:
            return "its colour planes lie apart"
        if self._one(274, 1) != 1 or self._one(266, 1) != 1:
            return "it is turned or its bits are in reverse"
        return ""

    def _one(self, tag: int, default: int | None = None) -> int:
        value = self._entries[tag] if default is None else self._entries.get(tag, default)
        return int(value[0] if isinstance(value, tuple) else value)

    def _many(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        value = self._entries.get(tag, default)
        return tuple(int(v) for v in (value if isinstance(value, tuple) else (value,)))
