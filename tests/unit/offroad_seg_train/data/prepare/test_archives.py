# SPDX-License-Identifier: Apache-2.0
"""Archives give what they hold, and nothing gets out of the folder that they are unpacked into."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from offroad_seg.errors import DataError, InputError
from offroad_seg_train.data.prepare import archives
from offroad_seg_train.data.prepare.archives import check_archive, unpack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILES = {"set/images/a.png": b"image" * 100, "set/masks/a.png": b"mask", "set/train.lst": b"a\n"}
ESCAPES = ["../evil.png", "a/../../evil.png", "/tmp/evil.png", "..\\evil.png", "C:\\evil.png", "C:/evil.png"]


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return path


def write_tar(path: Path, files: dict[str, bytes], *links: tarfile.TarInfo) -> Path:
    mode = {"gz": "w:gz", "xz": "w:xz", "ar": "w", "z2": "w:bz2"}[path.name[-2:]]
    with tarfile.open(path, mode) as packed:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
        for link in links:
            packed.addfile(link)
    return path


WRITERS: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    "a.zip": write_zip,
    "a.tar": write_tar,
    "a.tar.gz": write_tar,
    "a.tar.xz": write_tar,
    "a.tar.bz2": write_tar,
}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "inside" / "target").mkdir(parents=True)
    return tmp_path / "inside" / "target"


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", WRITERS)
def test_pictures_and_lists_come_out_and_the_rest_stays(name: str, tmp_path: Path, target: Path) -> None:
    archive = WRITERS[name](tmp_path / name, {**FILES, "set/cloud.bin": b"x" * 1000, "set/b.BIN": b""})
    result = unpack(archive, target, show=False)
    assert contents(target) == FILES
    assert (result.files, result.bytes) == (3, sum(map(len, FILES.values())))
    assert result.left_packed == {".bin": 2}


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
@pytest.mark.parametrize("evil", ESCAPES)
def test_nothing_is_written_outside(name: str, evil: str, tmp_path: Path, target: Path) -> None:
    archive = WRITERS[name](tmp_path / name, {"fine.png": b"x", evil: b"evil"})
    before = {p for p in tmp_path.rglob("*") if target not in p.parents}
    with pytest.raises(DataError, match="outside its folder") as caught:
        unpack(archive, target, show=False)
    assert str(archive) in caught.value.where
    assert {p for p in tmp_path.rglob("*") if target not in p.parents} == before


def link(name: str, kind: bytes, to: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


def test_links_are_left_out_so_nothing_can_be_written_through_them(tmp_path: Path, target: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as packed:
        packed.addfile(link("door", tarfile.SYMTYPE, str(tmp_path)))
        packed.addfile(link("stolen.png", tarfile.LNKTYPE, str(secret)))
        info = tarfile.TarInfo("door/planted.png")
        info.size = 4
        packed.addfile(info, io.BytesIO(b"evil"))
    result = unpack(archive, target, show=False)
    assert result.links == 2
    assert contents(target) == {"door/planted.png": b"evil"}
    assert not (tmp_path / "planted.png").exists()
    assert not any(p.is_symlink() for p in target.rglob("*"))


def test_links_in_a_zip_are_left_out(tmp_path: Path, target: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        info = zipfile.ZipInfo("door.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(info, str(tmp_path))
    assert unpack(archive, target, show=False).links == 1
    assert contents(target) == {}


def test_devices_are_refused(tmp_path: Path, target: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", {}, link("pipe.png", tarfile.FIFOTYPE, ""))
    with pytest.raises(DataError, match="device or pipe: pipe.png"):
        unpack(archive, target, show=False)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.xz"])
def test_bombs_stop_at_the_limit(name: str, tmp_path: Path, target: Path) -> None:
    archive = WRITERS[name](tmp_path / name, {f"{i}.png": bytes(1 << 20) for i in range(12)})
    assert archive.stat().st_size < 1 << 16
    with pytest.raises(DataError, match="more than .* GiB would come out") as caught:
        unpack(archive, target, limit=5 << 20, show=False)
    assert "--max-unpacked" in caught.value.mend
    assert sum(map(len, contents(target).values())) <= 5 << 20


def test_a_header_that_lies_about_the_size_is_caught_while_writing(tmp_path: Path, target: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a.png": bytes(8 << 20)})
    data = archive.read_bytes()
    real, lie = (8 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little")
    archive.write_bytes(data.replace(real, lie))
    with pytest.raises(DataError, match="damaged|more than"):
        unpack(archive, target, limit=1 << 20, show=False)
    assert sum(map(len, contents(target).values())) <= 2 << 20


def test_what_comes_out_is_counted_whatever_was_announced(tmp_path: Path, target: Path) -> None:
    liar = archives._Member("a.png", 1, "file", lambda: io.BytesIO(bytes(4 << 20)))
    with pytest.raises(DataError, match="would come out"):
        archives._write(liar, target / "a.png", tmp_path / "a.zip", 2 << 20, archives.Unpacked())
    assert (target / "a.png").stat().st_size <= 2 << 20


def test_bombs_inside_archives_count_too(tmp_path: Path, target: Path) -> None:
    inner = write_zip(tmp_path / "inner.zip", {f"{i}.png": bytes(1 << 20) for i in range(12)})
    archive = write_zip(tmp_path / "a.zip", {"inner.zip": inner.read_bytes()})
    with pytest.raises(DataError, match="would come out"):
        unpack(archive, target, limit=5 << 20, show=False)


def test_archives_inside_an_archive_are_unpacked_and_removed(tmp_path: Path, target: Path) -> None:
    inner = write_zip(tmp_path / "2_Ortho_RGB.zip", {"a.tif": b"image"})
    archive = write_zip(tmp_path / "a.zip", {"Potsdam/2_Ortho_RGB.zip": inner.read_bytes()})
    result = unpack(archive, target, show=False)
    assert contents(target) == {"Potsdam/2_Ortho_RGB.zip.unpacked/a.tif": b"image"}
    assert (result.files, result.bytes) == (1, 5)


@pytest.mark.parametrize("name", WRITERS)
def test_truncated_archives_say_so(name: str, tmp_path: Path, target: Path) -> None:
    noise = bytes((i * i * 31 + i // 7) % 251 for i in range(30000))
    archive = WRITERS[name](tmp_path / name, {f"{i}.png": noise[i:] for i in range(5)})
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="archive (cannot be read|is damaged)") as caught:
        unpack(archive, target, show=False)
    assert caught.value.mend == "download it again"


def test_a_flipped_bit_in_a_zip_is_found(tmp_path: Path, target: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("a.png", b"x" * 1000)
    data = bytearray(archive.read_bytes())
    data[500] ^= 1
    archive.write_bytes(data)
    with pytest.raises(DataError, match=r"damaged at a\.png"):
        unpack(archive, target, show=False)


def test_two_members_of_one_name(tmp_path: Path, target: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("a.png", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            packed.writestr("a.png", b"2")
    with pytest.raises(DataError, match="two members have one name"):
        unpack(archive, target, show=False)


def test_encrypted_zip(tmp_path: Path, target: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a.png": b"x"})
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        unpack(archive, target, show=False)


def test_full_disk_is_said_before_it_is_full(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a.png": b"x"})
    monkeypatch.setattr(archives, "_RESERVE", 1 << 62)
    with pytest.raises(DataError, match="disk is too full"):
        unpack(archive, target, show=False)


def test_no_archive(tmp_path: Path, target: Path) -> None:
    (tmp_path / "a.rar").write_bytes(b"x")
    with pytest.raises(InputError, match="no archive that can be unpacked"):
        check_archive(tmp_path / "a.rar")
    with pytest.raises(InputError, match="no such folder or archive"):
        check_archive(tmp_path / "b.zip")
    (tmp_path / "c.zip").write_bytes(b"this is a web page that says: log in first")
    with pytest.raises(DataError, match="cannot be read"):
        unpack(tmp_path / "c.zip", target, show=False)
