# SPDX-License-Identifier: Apache-2.0
"""Finding files that ship with the project, and writing results without harming what is there."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from offroad_seg.errors import InputError
from offroad_seg.scratch import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterator


def share_folders() -> list[Path]:
    """Folders that may hold ``config/`` and ``launch/``, the nearest first.

    ``$OFFROAD_SEG_SHARE``; the source tree; every prefix on ``$AMENT_PREFIX_PATH``; this Python's prefix.
    """
    folders = []
    if override := os.environ.get("OFFROAD_SEG_SHARE"):
        folders.append(Path(override))
    # ros2_ws/src/offroad_seg/offroad_seg/resources.py → the repository root.
    parents = Path(__file__).resolve().parents
    if len(parents) > 4:
        folders.append(parents[4])
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    folders.extend(Path(prefix) / "share" / "offroad_seg" for prefix in prefixes if prefix)
    folders.append(Path(sys.prefix) / "share" / "offroad_seg")
    return folders


def find(relative: str) -> Path:
    """The path of a file that ships with the project, such as ``config/ontologies/rellis3d.yaml``.

    Raises:
        InputError: It is in none of the folders.
    """
    tried = share_folders()
    for folder in tried:
        if (folder / relative).exists():
            return folder / relative
    raise InputError(
        f"{relative} is not installed",
        where=", ".join(str(folder) for folder in tried),
        mend="install the package again, or set OFFROAD_SEG_SHARE to the folder that holds config/",
    )


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse an output that would harm what is there.

    Raises:
        InputError: ``path`` is a file, or a non-empty folder and ``overwrite`` is false.
    """
    if path.is_file():
        raise InputError("the output folder is a file", where=str(path), mend="give another path")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise InputError(
            "the output folder is not empty",
            where=str(path),
            mend="give another folder, or --overwrite to replace it",
        )


def keep_sources(path: Path, *sources: Path | str | None) -> None:
    """Refuse an output folder that is, or holds, what its content is made from: replacing it would delete that.

    Raises:
        InputError: A source lies in ``path``. None stands for a source that is not used.
    """
    resolved = path.resolve()
    for source in sources:
        place = None if source is None else Path(source).resolve()
        if place is not None and (place == resolved or resolved in place.parents):
            raise InputError(
                "the results would replace their source",
                where=f"{path} is or holds {source}",
                mend="give another folder for the results",
            )


def prepare_output(path: Path, *, overwrite: bool) -> Path:
    """Check an output folder as ``check_output`` and make it; with ``overwrite`` it is emptied.

    Raises:
        InputError: As ``check_output``, or ``path`` is a folder that must not be emptied.
    """
    check_output(path, overwrite=overwrite)
    if path.is_dir() and overwrite:
        _refuse_precious(path)
        shutil.rmtree(path)
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def replacing_folder(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary folder beside ``path`` that takes its place when the block ends without an error.

    Raises:
        InputError: As ``prepare_output``; before the block runs.
    """
    check_output(path, overwrite=overwrite)
    if path.is_dir():
        _refuse_precious(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The old folder is moved aside first: a crash in between leaves it, never half of each. It is found again here.
    aside = path.with_name(f".{path.name}.old")
    if aside.is_dir():
        if path.exists():
            shutil.rmtree(aside)
        else:
            aside.rename(path)
            check_output(path, overwrite=overwrite)
    with scratch_folder(path.parent, f".{path.name}.") as temporary:
        yield temporary
        if path.is_dir():
            path.rename(aside)
            temporary.rename(path)
            shutil.rmtree(aside)
        else:
            temporary.rename(path)


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that is renamed onto it when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    temporary.chmod(0o644)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a small text file whole or not at all."""
    with replacing_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _refuse_precious(path: Path) -> None:
    resolved = path.resolve()
    precious = {Path.home().resolve(), Path.cwd().resolve(), Path("/")}
    if resolved in precious or (resolved / ".git").exists():
        raise InputError(
            "this folder will not be replaced: it is the working, home or root folder, or a repository",
            where=str(resolved),
            mend="give a folder of its own for the results",
        )
