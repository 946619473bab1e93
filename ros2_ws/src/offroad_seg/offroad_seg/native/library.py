# SPDX-License-Identifier: Apache-2.0
"""Finds the compiled kernels and calls them.

They take plain pointers and free Python's lock while they run. Every array is looked at before its pointer is handed
over: a kernel trusts what it is told.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import threading
from functools import cache, lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SWITCH = "OFFROAD_SEG_NATIVE"
"""Environment variable, looked at once: 0 leaves the compiled kernels out."""
OTHER = "OFFROAD_SEG_KERNELS"
"""Environment variable: the path of a library of one's own making, such as one with a sanitizer in it."""

_FOLDER = Path(__file__).parent
_STEM = "_kernels"
_KINDS = {"p": ctypes.c_void_p, "i": ctypes.c_int64, "f": ctypes.c_float, "d": ctypes.c_double}


def fingerprint(folder: Path) -> str:
    """Of the C sources in a folder: the same as ``native_build.py`` writes into the library."""
    found = hashlib.sha256()
    for path in sorted(folder.glob("*.[ch]")):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


@lru_cache(maxsize=1)
def find() -> tuple[ctypes.CDLL | None, str]:
    """The library, and what is to be said of it: which file it is, or why there is none."""
    other = os.environ.get(OTHER)
    for path in [Path(other)] if other else [_FOLDER / f"{_STEM}{suffix}" for suffix in EXTENSION_SUFFIXES]:
        if not path.is_file():
            continue
        try:
            library = ctypes.CDLL(str(path))
            library.offroad_seg_sources.restype = ctypes.c_char_p
            made_of = library.offroad_seg_sources().decode("ascii")
        except (OSError, AttributeError, UnicodeDecodeError) as error:
            return None, f"{path.name} cannot be loaded: {error}"
        if made_of != fingerprint(_FOLDER):
            return None, f"{path.name} was made of other sources: install the package again"
        return library, path.name
    return None, "not compiled at installation (no C compiler?): numpy does their work, several times slower"


_wanted = os.environ.get(SWITCH, "") != "0"


def want(kernels: bool) -> bool:
    """Let kernels work from now on, or leave them out; returns what held before."""
    global _wanted
    before, _wanted = _wanted, kernels
    return before


def enabled() -> bool:
    """Whether compiled kernels are there and wanted (``OFFROAD_SEG_NATIVE=0`` says no)."""
    return _wanted and find()[0] is not None


def function(name: str, kinds: str) -> Callable[..., None] | None:
    """A kernel, or None where numpy must do its work.

    Args:
        name: Of the C function, which returns nothing.
        kinds: Its arguments, a letter each: ``p`` pointer, ``i`` int64, ``f`` float, ``d`` double.
    """
    return _function(name, kinds) if enabled() else None


@cache
def _function(name: str, kinds: str) -> Callable[..., None]:
    # By index, which makes a function object of its own; an attribute would be one that all kinds share.
    library: Any = find()[0]
    found = library[name]
    found.argtypes = [_KINDS[kind] for kind in kinds]
    found.restype = None
    call: Callable[..., None] = found
    return call


# Asking an array for its address takes longer than many a kernel does: it is remembered for as long as the array lives.
# Nothing here ever resizes one in place, which would move it.
# What it holds, too, as it was asked for when its type and order were looked at: neither ever changes in place.
_addresses: dict[int, tuple[ref[NDArray[Any]], int, Any]] = {}
_MOST_ADDRESSES = 1024


def pointer(array: NDArray[Any], dtype: Any, shape: tuple[int, ...] | None = None) -> int:
    """Where an array's memory begins.

    Args:
        array: C-contiguous.
        dtype: What it must be.
        shape: What it must be; None where another argument says it.

    Raises:
        ValueError: It is not what the kernel takes it for: a fault of the caller, never of a user's.
    """
    known = _addresses.get(id(array))
    is_known = known is not None and known[0]() is array
    if known is not None and is_known and known[2] is dtype and (shape is None or array.shape == shape):
        return known[1]
    if array.dtype != dtype or not array.flags.c_contiguous or (shape is not None and array.shape != shape):
        raise ValueError(
            f"a kernel wants {np.dtype(dtype)} {shape or ''}, C-contiguous, and got {array.dtype} {array.shape}"
        )
    return _remember(array, known[1] if known is not None and is_known else address(array), dtype)


def _remember(array: NDArray[Any], at: int, dtype: Any) -> int:
    if len(_addresses) >= _MOST_ADDRESSES:
        _addresses.clear()
    _addresses[id(array)] = (ref(array), at, dtype)
    return at


_BYTE: Any = ctypes.c_char  # before Python 3.12 an array is no buffer to a type checker


def address(array: NDArray[Any]) -> int:
    """Where an array's memory begins, whatever its order: not remembered, for arrays that are new in every frame."""
    try:
        # Quicker than to ask numpy, which makes an object of several layers for it.
        return ctypes.addressof(_BYTE.from_buffer(array))
    except (BufferError, TypeError, ValueError):  # not to be written, rows that lie apart, or empty
        return int(array.ctypes.data)


class _Room(threading.local):
    def __init__(self) -> None:
        self.kept: dict[int, tuple[NDArray[np.uint8], int]] = {}


_room = _Room()
_MOST_ROOMS = 16


def room(size: int) -> int:
    """Where a kernel may write that many bytes to work in: kept for each thread, until it asks for as many again.

    Never more than was asked for, so that a sanitizer sees who writes behind it.
    """
    found = _room.kept.get(size)
    if found is None:
        if len(_room.kept) >= _MOST_ROOMS:
            _room.kept.clear()
        array = np.empty(size, np.uint8)
        found = _room.kept[size] = array, address(array)
    return found[1]
