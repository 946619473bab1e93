# SPDX-License-Identifier: Apache-2.0
"""Reading picture files without being fooled by damaged ones.

OpenCV and libpng decode a truncated PNG or JPEG without a word and leave the rest grey. So the container is
checked before it is decoded.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_START_OF_SCAN = 0xDA


def damage(data: bytes) -> str:
    """What is wrong with a PNG or JPEG file's container; empty where nothing is, or for other formats."""
    if data.startswith(_PNG):
        return _png_damage(data)
    if data.startswith(_JPEG):
        return _jpeg_damage(data)
    return "" if data else "the file is empty"


def read_image(path: Path) -> NDArray[np.uint8]:
    """A picture file as RGB, uint8 (H, W, 3), turned as its EXIF orientation says.

    Raises:
        ImageError: It is missing, truncated, damaged, or no picture.
    """
    data = read_whole(path)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # OpenCV refuses absurd sizes by raising
        image = None
    if image is None:
        raise ImageError("this is not a picture that can be read", where=str(path), mend=_AGAIN)
    rgb: NDArray[np.uint8] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return rgb


def read_whole(path: Path) -> bytes:
    """The bytes of a picture file whose container is whole.

    Raises:
        ImageError: It is missing, truncated or damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"the picture cannot be read: {error.strerror}", where=str(path)) from None
    if problem := damage(data):
        raise ImageError(problem, where=str(path), mend=_AGAIN)
    return data


def list_images(folder: Path) -> list[Path]:
    """The picture files of a folder and its subfolders, in order of name; hidden ones left out.

    Raises:
        ImageError: There is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise ImageError("there is no such folder of images", where=str(folder))
    found = sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file() and not p.name.startswith(".")
    )
    if not found:
        raise ImageError(
            "there is no picture in this folder",
            where=str(folder),
            mend=f"give a folder with {', '.join(sorted(IMAGE_SUFFIXES))}",
        )
    return found


_AGAIN = "copy or make the file again, or remove it"


def _png_damage(data: bytes) -> str:
    position = len(_PNG)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        kind = data[position + 4 : position + 8]
        (expected,) = struct.unpack_from(">I", data, end - 4)
        # Ancillary chunks (lower-case first letter) hold no pixels: viewers forgive their errors, and so do we.
        if kind[:1].isupper() and zlib.crc32(data[position + 4 : end - 4]) != expected:
            return f"damaged PNG (chunk {kind.decode('latin-1')} fails its checksum)"
        if kind == b"IEND":
            return ""
        position = end
    return f"truncated PNG ({len(data)} bytes, no end)"


def _jpeg_damage(data: bytes) -> str:
    # Segments up to the first scan are skipped by their length: an EXIF thumbnail has an end marker of its own.
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        if data[position + 1] == _START_OF_SCAN:
            # Inside a scan 0xFF is always followed by 0 or a restart marker, so the end cannot be mistaken.
            return (
                "" if data.find(_JPEG_END, position) >= 0 else f"truncated JPEG ({len(data)} bytes, no end)"
            )
        if data[position + 1] == 0xFF:  # fill byte
            position += 1
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        position += 2 + length
    return f"truncated JPEG ({len(data)} bytes, no picture data)"
