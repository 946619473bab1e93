# SPDX-License-Identifier: Apache-2.0
"""Telling that a disk is full, also where a run time hides it behind an error of its own."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from typing import TYPE_CHECKING

from offroad_seg.errors import OffroadSegError

if TYPE_CHECKING:
    from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MIB = 1 << 20


def require_space(folder: Path, needed: int) -> None:
    """Refuse to begin where the result will not fit.

    Args:
        folder: Where it will be written.
        needed: Bytes.

    Raises:
        OffroadSegError: Fewer bytes are free.
    """
    if shutil.disk_usage(folder).free < needed:
        raise _no_space(folder, needed)


def full_disk(error: BaseException, folder: Path, needed: int) -> OffroadSegError | None:
    """The error to raise where something failed because nothing more could be written; None where that was not it.

    Args:
        error: What was raised.
        folder: Where it was writing.
        needed: Bytes that the result takes: where so many cannot be had now, that was the reason.
    """
    if isinstance(error, OSError) and error.errno in _FULL:
        return _no_space(folder, needed)
    return None if _can_write(folder, needed) else _no_space(folder, needed)


def _can_write(folder: Path, size: int) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            os.posix_fallocate(stream.fileno(), 0, max(1, size))
    except OSError as error:
        return error.errno not in _FULL
    return True


def _no_space(folder: Path, needed: int) -> OffroadSegError:
    free = shutil.disk_usage(folder).free
    return OffroadSegError(
        f"no space left: about {max(1, needed // _MIB)} MiB are needed, {free // _MIB} MiB are free"
        + (" and a limit on the size of files may be set (ulimit -f)" if free >= needed else ""),
        where=str(folder),
        mend="free some space, or give --out, and --cache DIR or --no-cache, another place",
    )
