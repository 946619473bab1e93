# SPDX-License-Identifier: Apache-2.0
"""Decoded frames, packed behind each other: in memory, or in a file that the operating system pages in.

A frame is its image and its labels, uint8, 4 bytes a pixel. Both stores hold frames of any size and give views of
their pixels without copying; worker processes share the one copy.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from offroad_seg.errors import DataError
from offroad_seg.resources import replacing_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    U8 = NDArray[np.uint8]

log = logging.getLogger(__name__)

BYTES_PER_PIXEL = 4
_CHUNK = 64 << 20
_GIB = 1 << 30
_FORMAT = 1
_PIXELS = "frames.bin"
_INDEX = "index.json"


class MemoryStore:
    """Frames in few large blocks of memory."""

    def __init__(self) -> None:
        self.nbytes = 0
        # Torch's memory, since it is shared with worker processes however they are started.
        self._chunks: list[torch.Tensor] = []
        self._used = 0
        self._places: list[tuple[int, int, int, int]] = []

    def append(self, image_HWC: U8, labels_HW: U8) -> None:
        """Keep a copy of one more frame."""
        height, width = labels_HW.shape
        size = height * width * BYTES_PER_PIXEL
        if not self._chunks or self._used + size > len(self._chunks[-1]):
            self._chunks.append(torch.empty(max(size, _CHUNK), dtype=torch.uint8))
            self._used = 0
        self._places.append((len(self._chunks) - 1, self._used, height, width))
        self._used += size
        self.nbytes += size
        image, labels = self[len(self._places) - 1]
        image[:], labels[:] = image_HWC, labels_HW

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._places)

    def __getitem__(self, index: int) -> tuple[U8, U8]:
        """Image (h, w, 3) and labels (h, w) of one frame."""
        chunk, start, height, width = self._places[index]
        return _unpack(self._chunks[chunk].numpy(), start, height, width)


class DiskStore:
    """Frames in a folder that ``write_store`` made, read only.

    Args:
        folder: The folder.

    Raises:
        ValueError: What is in the folder is not whole, or of another format.
    """

    def __init__(self, folder: Path) -> None:
        try:
            index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            if index["format"] != _FORMAT:
                raise ValueError(f"format {index['format']}")
            self._places = [(int(start), int(h), int(w)) for start, h, w in index["frames"]]
            self.nbytes = int(index["bytes"])
            found = (folder / _PIXELS).stat().st_size
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{folder}: {error}") from None
        if found != self.nbytes:
            raise ValueError(f"{folder}: {found} bytes of pixels instead of {self.nbytes}")
        self.folder = folder
        self._pixels: U8 | None = None

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._places)

    def __getitem__(self, index: int) -> tuple[U8, U8]:
        """Image (h, w, 3) and labels (h, w) of one frame."""
        if self._pixels is None:
            self._pixels = np.memmap(self.folder / _PIXELS, np.uint8, mode="r")
        return _unpack(self._pixels, *self._places[index])

    def __getstate__(self) -> dict[str, Any]:
        """Without the pixels: a process that gets a copy maps the file itself."""
        return {**self.__dict__, "_pixels": None}


def open_store(folder: Path) -> DiskStore | None:
    """The store in a folder; None where there is none, or none that is whole."""
    if not folder.is_dir():
        return None
    try:
        return DiskStore(folder)
    except ValueError as error:
        log.warning("the cache of images is not whole and is made again: %s", error)
        return None


def write_store(folder: Path, frames: Iterable[tuple[U8, U8]], n: int) -> DiskStore:
    """Write frames into a folder, whole or not at all, and open it.

    Args:
        folder: ``NAME-STATE``, as ``store_name`` gives it. What another state of the same name left is removed.
        frames: Image (h, w, 3) and labels (h, w) of each.
        n: How many there are, to see early whether the disk has room.

    Raises:
        DataError: The disk is full, or the folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            # Another process may have been faster.
            if (store := open_store(folder)) is not None:
                return store
            with replacing_folder(folder, overwrite=True) as temporary:
                _write(temporary, frames, n)
            _remove_old_states(folder)
    except OSError as error:
        what = (
            "the disk is full" if error.errno == errno.ENOSPC else f"it cannot be written: {error.strerror}"
        )
        raise DataError(f"the cache of images: {what}", where=str(folder.parent), mend=_ELSEWHERE) from None
    return DiskStore(folder)


_ELSEWHERE = "data.cache_dir=DIR on a disk with room, or data.cache=none"


def store_name(what: dict[str, Any], files: Iterable[Path]) -> str:
    """A name of what frames are made of, and of the state that their files are in.

    The first half changes with the settings and the list of files, the second with their sizes and times of change:
    pixels of files that have changed are never taken for those that are there.

    Args:
        what: Plain values that the pixels follow from.
        files: The files that they are read from.

    Raises:
        DataError: A file is gone.
    """
    paths = [path.resolve() for path in files]
    try:
        stats = [path.stat() for path in paths]
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror}", where=str(error.filename)) from None
    name = hashlib.sha256(json.dumps([_FORMAT, what, [str(p) for p in paths]], sort_keys=True).encode())
    state = hashlib.sha256(json.dumps([(s.st_size, s.st_mtime_ns) for s in stats]).encode())
    return f"{name.hexdigest()[:16]}-{state.hexdigest()[:16]}"


def default_folder() -> Path:
    """Where stores lie that have no folder of their own: the user's cache (XDG base directories)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "offroad_seg" / "frames"


def _write(folder: Path, frames: Iterable[tuple[U8, U8]], n: int) -> None:
    places, end = [], 0
    with (folder / _PIXELS).open("wb") as file:
        for image_HWC, labels_HW in frames:
            height, width = labels_HW.shape
            if end == 0:
                _check_room(folder, height * width * BYTES_PER_PIXEL * n)
            places.append((end, height, width))
            file.write(np.ascontiguousarray(image_HWC).data)
            file.write(np.ascontiguousarray(labels_HW).data)
            end += height * width * BYTES_PER_PIXEL
        file.flush()
        os.fsync(file.fileno())
    index = {"format": _FORMAT, "bytes": end, "frames": places}
    (folder / _INDEX).write_text(json.dumps(index), encoding="utf-8")


def _check_room(folder: Path, expected: int) -> None:
    free = shutil.disk_usage(folder).free
    if expected > free:
        raise DataError(
            f"the cache of images needs about {expected / _GIB:.1f} GiB, and {free / _GIB:.1f} GiB are free",
            where=str(folder.parent),
            mend=_ELSEWHERE,
        )


def _remove_old_states(folder: Path) -> None:
    name = folder.name.split("-")[0]
    for old in folder.parent.glob(f"{name}-*"):
        if old != folder and old.is_dir():
            shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process of this machine at a time writes a store; the others wait, and find it."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system: both write, and the last one stays
        yield
        return
    with (folder.parent / f".{folder.name.split('-')[0]}.lock").open("w") as file:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _unpack(block: U8, start: int, height: int, width: int) -> tuple[U8, U8]:
    pixels = height * width
    middle, end = start + 3 * pixels, start + BYTES_PER_PIXEL * pixels
    return block[start:middle].reshape(height, width, 3), block[middle:end].reshape(height, width)
