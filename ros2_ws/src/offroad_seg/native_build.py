# SPDX-License-Identifier: Apache-2.0
"""How the C kernels are compiled: for ``setup.py`` here (colcon) and for the one at the root of the repository (pip).

Without a compiler the installation goes on, and numpy does their work.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from setuptools import Extension

FOLDER = Path(__file__).resolve().parent / "offroad_seg" / "native"
FLAGS = "-O3 -std=c99 -Wall -Wextra -fvisibility=hidden -ffp-contract=off -fno-math-errno -fno-trapping-math"


def fingerprint() -> str:
    """Of the sources: ``offroad_seg.native.library`` works out the same."""
    found = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.[ch]")):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def kernels(root: str = "") -> Any:
    """The library as setuptools builds it.

    Args:
        root: From ``setup.py`` to this folder, with a slash at its end.
    """
    folder = f"{root}offroad_seg/native"
    return Extension(
        "offroad_seg.native._kernels",
        sources=[f"{folder}/{path.name}" for path in sorted(FOLDER.glob("*.c"))],
        depends=[f"{folder}/{path.name}" for path in sorted(FOLDER.glob("*.h"))],
        define_macros=[("OFFROAD_SEG_SOURCES", f'"{fingerprint()}"')],
        # No fused multiply-add: the same figures as numpy's, to the last bit, on every processor. Nothing here looks at
        # errno or at floating-point traps, which would keep loops from being vectorised.
        extra_compile_args=FLAGS.split(),
        libraries=["m"],
        optional=True,
    )
