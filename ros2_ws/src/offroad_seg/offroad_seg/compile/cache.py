# SPDX-License-Identifier: Apache-2.0
"""Engines that were built on this machine, kept so that nobody waits for the same one twice.

An entry is a whole bundle. Its place follows from everything that it depends on: the portable bundle's digest, back
end and precision, the versions that build it, and what it is bound to (GPU, compute capability and driver, or the
CPU's instruction sets). The folder may be deleted at any time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from offroad_seg import __version__
from offroad_seg.bundle import Bundle
from offroad_seg.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offroad_seg.compile.builder import Plan

_LOG = logging.getLogger(__name__)
_KEY_LENGTH = 16


def default_cache() -> Path:
    """``$OFFROAD_SEG_CACHE``, else ``$XDG_CACHE_HOME/offroad_seg/engines``, else the same in ``~/.cache``."""
    if folder := os.environ.get("OFFROAD_SEG_CACHE"):
        return Path(folder)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "offroad_seg" / "engines"


def entry_path(cache: Path, bundle: Bundle, plan: Plan, calibration: str = "") -> Path:
    """Where the engine of a plan lies, if it was built.

    Args:
        cache: The cache's folder.
        bundle: The portable bundle.
        plan: What would be built.
        calibration: Digest of the pictures that int8 took its ranges from.
    """
    depends_on = {
        "portable": bundle.manifest.digest,
        "backend": plan.backend,
        "precision": plan.precision,
        "versions": plan.versions,
        "bound_to": plan.bound_to or {"device": plan.device},
        "calibration": calibration,
        "offroad_seg": __version__,
    }
    key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:_KEY_LENGTH]
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", bundle.manifest.name).strip(".") or "model"
    return cache / f"{name}-{plan.backend}-{plan.precision}-{key}"


def load_entry(path: Path) -> Bundle | None:
    """The engine of an entry, verified; None where there is none. A damaged one counts as none, and is built anew."""
    if not path.is_dir():
        return None
    try:
        return Bundle.load(path)
    except BundleError as error:
        _LOG.warning("the engine in the cache is damaged and is built anew: %s", error.one_line())
        return None


def engines_of(cache: Path, digest: str) -> list[Bundle]:
    """Engines in the cache that were built from the portable bundle of that digest."""
    found = []
    for path in sorted(cache.glob("*-*-*-*")):
        engine = load_entry(path)
        if engine is not None and engine.manifest.source.get("portable_digest") == digest:
            found.append(engine)
    return found


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold an entry while it is looked at and built; another process that wants the same one waits.

    Yields:
        Whether the cache can be used; it cannot where its folder cannot be written.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = lock.open("w")
    except OSError as error:
        _LOG.warning("the cache cannot be used, the engine is built without it: %s", error)
        yield False
        return
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _LOG.info("another process builds this engine; waiting for it")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield True
