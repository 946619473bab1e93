# SPDX-License-Identifier: Apache-2.0
"""Temporary folders that a killed process does not leave behind for ever.

Each is locked while its process lives. Whoever makes the next one in the same place removes those that nobody holds:
a process that was killed (power, out of memory, kill -9) cannot tidy up after itself.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STALE_S = 30.0
"""A folder younger than this is left alone: its process may not have locked it yet."""

_RANDOM = "[a-z0-9_]{8}"  # what tempfile puts between prefix and suffix


@contextmanager
def scratch_folder(parent: Path, prefix: str, suffix: str = ".tmp") -> Iterator[Path]:
    """A new folder in ``parent``, removed at the end of the block; left-overs of the same name are removed before.

    Args:
        parent: Where; it is on the file system of the result, so that moving the result there is one step.
        prefix: Begins the folder's name; with a dot, so that nobody takes it for a result.
        suffix: Ends it.
    """
    remove_stale(parent, prefix, suffix)
    path = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=parent))
    lock = _lock(path)
    try:
        path.chmod(0o755)
        yield path
    finally:
        if lock is not None:
            os.close(lock)
        shutil.rmtree(path, ignore_errors=True)


def remove_stale(parent: Path, prefix: str, suffix: str = ".tmp") -> list[Path]:
    """Remove the folders of that name that no living process holds; returns them."""
    name = re.compile(re.escape(prefix) + _RANDOM + re.escape(suffix))
    removed = []
    with suppress(OSError):
        for path in sorted(parent.iterdir()):
            if name.fullmatch(path.name) and path.is_dir() and not path.is_symlink() and _is_stale(path):
                shutil.rmtree(path, ignore_errors=True)
                removed.append(path)
    return removed


def _is_stale(path: Path) -> bool:
    with suppress(OSError):
        if time.time() - path.stat().st_mtime < STALE_S:
            return False
        lock = _lock(path)
        if lock is not None:
            os.close(lock)
            return True
    return False


def _lock(path: Path) -> int | None:
    """Lock a folder without waiting; None where another process holds it, or the file system knows no locks."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
