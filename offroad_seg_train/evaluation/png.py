# SPDX-License-Identifier: Apache-2.0
"""Writing a PNG row by row, so that a mask needs no memory of its size: OpenCV and Pillow want all of it at once."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray
    from typing_extensions import Self

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB = 0, 2
_UP = 2  # filter: difference to the row above, which is nearly all zero in masks
_LEVEL = 3
_CHUNK = 1 << 20


class PngWriter:
    """A PNG of grey values or RGB colours, from top to bottom. A context manager; the file ends with its block.

    Args:
        path: The file; written directly, so write into a folder that is not in place yet.
        height: Rows.
        width: Columns.
        like: An array of the type and number of dimensions that will be written: uint8 or uint16 (h, W), or uint8
            (h, W, 3).

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, path: Path, height: int, width: int, like: NDArray[Any]) -> None:
        self._left = height
        self._dtype, self._colors = like.dtype, like.ndim == 3
        depth = 16 if like.dtype == np.uint16 else 8
        self._packer = zlib.compressobj(_LEVEL)
        self._above = np.zeros(width * (3 if self._colors else depth // 8), np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        self._file.write(_SIGNATURE)
        self._chunk(
            b"IHDR", struct.pack(">IIBBBBB", width, height, depth, _RGB if self._colors else _GREY, 0, 0, 0)
        )
        self._waiting = bytearray()

    def write(self, rows: NDArray[Any]) -> None:
        """The next rows, as ``like``.

        Raises:
            ValueError: They are of another type, or more than the picture has.
            OSError: The disk is full.
        """
        if rows.dtype != self._dtype or (rows.ndim == 3) != self._colors or len(rows) > self._left:
            raise ValueError(f"{rows.dtype} {rows.shape} does not fit the rest of the picture")
        self._left -= len(rows)
        plain = rows.astype(">u2").view(np.uint8) if rows.dtype == np.uint16 else rows
        flat = np.ascontiguousarray(plain).reshape(len(rows), -1)
        filtered = np.empty((len(rows), flat.shape[1] + 1), np.uint8)
        filtered[:, 0] = _UP
        filtered[0, 1:] = flat[0] - self._above
        np.subtract(flat[1:], flat[:-1], out=filtered[1:, 1:])
        self._above = flat[-1].copy()
        self._waiting += self._packer.compress(filtered.tobytes())
        if len(self._waiting) >= _CHUNK:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if error is None:
                if self._left:
                    raise ValueError(f"{self._left} rows are missing")
                self._waiting += self._packer.flush()
                self._flush()
                self._chunk(b"IEND", b"")
        finally:
            self._file.close()

    def _flush(self) -> None:
        if self._waiting:
            self._chunk(b"IDAT", bytes(self._waiting))
            self._waiting.clear()

    def _chunk(self, kind: bytes, data: bytes) -> None:
        self._file.write(struct.pack(">I", len(data)) + kind + data)
        self._file.write(struct.pack(">I", zlib.crc32(kind + data)))
