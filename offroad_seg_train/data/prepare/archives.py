# SPDX-License-Identifier: Apache-2.0
"""Unpacking archives of data sets without trusting them.

An archive comes from the internet. Nothing is written outside the target folder, no link is made, no device, and what
comes out is counted while it is written: a header may lie about sizes.
"""

from __future__ import annotations

import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from offroad_seg.compile.images import IMAGE_SUFFIXES
from offroad_seg.errors import DataError, InputError
from offroad_seg.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GIB = 1 << 30
DEFAULT_LIMIT = 200 * GIB
MAX_MEMBERS = 2_000_000
# Kept free on the disk.
_RESERVE = GIB // 2
_CHUNK = 1 << 20
_LIST_SUFFIXES = frozenset({".txt", ".lst", ".yaml", ".yml", ".json", ".csv"})
# What the libraries raise for damaged files, and for codings that they do not know.
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    EOFError,
    RuntimeError,
    UnicodeError,
)
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")


@dataclass
class Unpacked:
    """What came out of an archive.

    Attributes:
        files: Number of files.
        bytes: Their size.
        left_packed: Files of a kind that no layout reads (point clouds, bags …), by suffix.
        links: Links that were left out.
    """

    files: int = 0
    bytes: int = 0
    left_packed: dict[str, int] = field(default_factory=dict)
    links: int = 0


@dataclass(frozen=True)
class _Member:
    """One entry of an archive, whatever its kind."""

    name: str
    size: int
    kind: str  # file, folder, link, other
    open: Callable[[], IO[bytes]]


def is_archive(path: Path) -> bool:
    """Whether a file is called like an archive that can be unpacked."""
    return path.is_file() and path.name.lower().endswith(_ARCHIVES)


def unpack(archive: Path, target: Path, *, limit: int = DEFAULT_LIMIT, show: bool = True) -> Unpacked:
    """Unpack the pictures and lists of a zip or tar archive, and of archives inside it.

    Args:
        archive: The file.
        target: An existing folder.
        limit: Most bytes that may come out.
        show: Show progress.

    Raises:
        InputError: The file is no archive that is known.
        DataError: It is damaged or encrypted, wants to write outside ``target``, would become too large, or the disk is
            full.
    """
    result = Unpacked()
    _unpack(archive, target, limit, result, show)
    # Some sets come as archives in an archive; one level is enough, and a riddle of more is none of ours.
    for inner in sorted(path for path in target.rglob("*") if is_archive(path)):
        folder = inner.with_name(f"{inner.name}.unpacked")
        folder.mkdir(parents=True, exist_ok=True)
        _unpack(inner, folder, limit, result, show)
        result.bytes -= inner.stat().st_size
        result.files -= 1
        inner.unlink()
    return result


def _unpack(archive: Path, target: Path, limit: int, result: Unpacked, show: bool) -> None:
    base = target.resolve()
    with _opened(archive) as members:
        for member in progress(members, what=f"unpacking {archive.name}", unit="file", show=show):
            path = _place(base, member, archive)
            if member.kind == "other":
                raise _refused(archive, f"it holds a device or pipe: {member.name}")
            if member.kind == "link":
                result.links += 1
            elif member.kind == "file" and not _is_wanted(path):
                suffix = path.suffix.lower() or path.name
                result.left_packed[suffix] = result.left_packed.get(suffix, 0) + 1
            elif member.kind == "file":
                _check_room(member, base, archive, limit, result)
                _write(member, path, archive, limit, result)


def _place(base: Path, member: _Member, archive: Path) -> Path:
    """Where a member goes; refuses what would lie elsewhere."""
    name = member.name.replace("\\", "/")
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts or (relative.parts and ":" in relative.parts[0]):
        raise _refused(archive, f"it wants to write outside its folder: {member.name}")
    if "\0" in name or not name.isprintable():
        raise _refused(archive, f"a name that cannot be printed: {member.name!r}")
    path = base.joinpath(*relative.parts)
    # No link is ever made here, so this holds by construction; it is the last door.
    if not path.resolve().is_relative_to(base):
        raise _refused(archive, f"it wants to write outside its folder: {member.name}")
    return path


def _is_wanted(path: Path) -> bool:
    suffixes = IMAGE_SUFFIXES | _LIST_SUFFIXES
    return path.suffix.lower() in suffixes or path.name.lower().endswith(_ARCHIVES)


def _check_room(member: _Member, base: Path, archive: Path, limit: int, result: Unpacked) -> None:
    """Refuse what says by itself that it is too much; what lies about it is caught while it is written."""
    if result.files >= MAX_MEMBERS:
        raise _refused(archive, f"it holds more than {MAX_MEMBERS} files")
    if result.bytes + member.size > limit:
        raise _too_large(archive, limit)
    if shutil.disk_usage(base).free - member.size < _RESERVE:
        raise DataError(
            f"the disk is too full for {archive.name}",
            where=str(base.parent),
            mend="make room, or give --out on another disk",
        )


def _write(member: _Member, path: Path, archive: Path, limit: int, result: Unpacked) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as source, path.open("xb") as out:
            while chunk := source.read(_CHUNK):
                result.bytes += len(chunk)
                if result.bytes > limit:
                    raise _too_large(archive, limit)
                out.write(chunk)
    except FileExistsError:
        raise _refused(archive, f"two members have one name: {member.name}") from None
    except _BROKEN as error:
        raise DataError(
            f"the archive is damaged at {member.name}: {error}", where=str(archive), mend="download it again"
        ) from None
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}", where=str(archive)) from None
    result.files += 1


@contextmanager
def _opened(archive: Path) -> Iterator[Iterator[_Member]]:
    try:
        if archive.name.lower().endswith(".zip"):
            with zipfile.ZipFile(archive) as packed:
                yield _zip_members(packed, archive)
        else:
            # Read as a stream: a member at a time, without going back.
            with tarfile.open(archive, "r|*") as stream:
                yield _tar_members(stream)
    except _BROKEN as error:
        raise DataError(
            f"the archive cannot be read: {error}", where=str(archive), mend="download it again"
        ) from None
    except OSError as error:
        raise DataError(
            f"the archive cannot be read: {error.strerror or error}",
            where=str(archive),
            mend="download it again",
        ) from None


def _zip_members(packed: zipfile.ZipFile, archive: Path) -> Iterator[_Member]:
    for info in packed.infolist():
        if info.flag_bits & 1:
            raise DataError(
                "the archive is encrypted",
                where=str(archive),
                mend="unpack it with its password and give the folder",
            )
        mode = info.external_attr >> 16
        if info.is_dir():
            kind = "folder"
        elif stat.S_ISLNK(mode):
            kind = "link"
        else:
            kind = "other" if stat.S_IFMT(mode) not in (0, stat.S_IFREG) else "file"
        yield _Member(info.filename, info.file_size, kind, lambda info=info: packed.open(info))  # type: ignore[misc]


def _tar_members(stream: tarfile.TarFile) -> Iterator[_Member]:
    for info in stream:
        if info.isdir():
            kind = "folder"
        elif info.issym() or info.islnk():
            kind = "link"
        else:
            kind = "file" if info.isreg() else "other"

        def opened(info: tarfile.TarInfo = info) -> IO[bytes]:
            source = stream.extractfile(info)
            if source is None:
                raise tarfile.ReadError("no data")
            return source

        yield _Member(info.name, info.size, kind, opened)


def _refused(archive: Path, why: str) -> DataError:
    return DataError(f"the archive is refused: {why}", where=str(archive), mend="do not trust this archive")


def _too_large(archive: Path, limit: int) -> DataError:
    return DataError(
        f"the archive is refused: more than {limit / GIB:.3g} GiB would come out of it",
        where=str(archive),
        mend="if that is right, raise the limit with --max-unpacked GIB",
    )


def check_archive(path: Path) -> None:
    """Refuse a file that is no archive.

    Raises:
        InputError: It is missing or of another kind.
    """
    if not path.exists():
        raise InputError("there is no such folder or archive", where=str(path))
    if not is_archive(path):
        raise InputError(
            "this file is no archive that can be unpacked",
            where=str(path),
            mend=f"give a folder, or a file called {', '.join(_ARCHIVES)}",
        )
