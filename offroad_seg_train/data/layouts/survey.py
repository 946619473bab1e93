# SPDX-License-Identifier: Apache-2.0
"""One walk through a data folder, from which every layout is recognised and read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from offroad_seg.compile.images import IMAGE_SUFFIXES
from offroad_seg.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LEFT_OUT = {"__MACOSX"}


@dataclass(frozen=True)
class Survey:
    """The folders below a data folder and the files in them.

    Attributes:
        root: The data folder.
        folders: Names of the files in each folder, sorted; folders are relative to ``root``, which itself is ``.``.
            What is hidden is left out.
    """

    root: Path
    folders: dict[PurePosixPath, list[str]]

    def named(self, *names: str) -> list[PurePosixPath]:
        """Folders whose own name is one of these."""
        return [folder for folder in self.folders if folder.name in names]

    def matching(self, wanted: Callable[[str], object]) -> list[PurePosixPath]:
        """Folders whose own name fulfils a condition."""
        return [folder for folder in self.folders if wanted(folder.name)]

    def files(self, folder: PurePosixPath) -> list[PurePosixPath]:
        """The files of one folder."""
        return [folder / name for name in self.folders.get(folder, [])]

    def pictures(self, folder: PurePosixPath, *, below: bool = False) -> Iterator[PurePosixPath]:
        """The picture files of a folder; with ``below`` those of its subfolders too."""
        inner = (f for f in self.folders if below and folder in f.parents)
        for place in (folder, *inner):
            for path in self.files(place):
                if path.suffix.lower() in IMAGE_SUFFIXES:
                    yield path

    def path(self, relative: PurePosixPath) -> Path:
        """Where a file lies."""
        return self.root / relative


def survey(root: str | Path) -> Survey:
    """Walk through a data folder; linked folders too.

    Raises:
        DataError: There is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError("there is no such data folder", where=str(root))
    folders: dict[PurePosixPath, list[str]] = {}
    seen: set[str] = set()
    for current, inner, names in os.walk(root, followlinks=True):
        real = os.path.realpath(current)
        if real in seen:
            # A link to a folder above would go round for ever.
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(name for name in inner if not name.startswith(".") and name not in _LEFT_OUT)
        relative = PurePosixPath(Path(current).relative_to(root).as_posix())
        folders[relative] = sorted(name for name in names if not name.startswith("."))
    return Survey(root, folders)


def list_entries(found: Survey, name: str) -> list[str]:
    """The first word of each line of the list files of that name, wherever they lie.

    Raises:
        DataError: A list file cannot be read.
    """
    words = []
    for folder, names in found.folders.items():
        if name not in names:
            continue
        path = found.path(folder / name)
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"the list of frames cannot be read: {error}", where=str(path)) from None
        words += [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
    return words
