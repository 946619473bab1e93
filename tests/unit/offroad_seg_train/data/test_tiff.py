# SPDX-License-Identifier: Apache-2.0
"""A TIFF read in windows is the TIFF read as a whole, however it is coded; a damaged one says so."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from offroad_seg.compile.images import read_image
from offroad_seg.errors import ImageError
from offroad_seg_train.data.image_sources import ArraySource, open_source
from offroad_seg_train.data.tiff import TiffSource

HEIGHT, WIDTH = 211, 137


def picture(channels: int = 3) -> np.ndarray:
    grid = np.random.default_rng(1).integers(0, 256, (9, 7, 3), np.uint8)
    image = np.asarray(cv2.resize(grid, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)
    return image if channels == 3 else np.ascontiguousarray(image[..., 0])


def write_tiled(path: Path, image_HWC: np.ndarray, tile: int = 48) -> None:
    """A TIFF of deflated tiles with a predictor, as GDAL writes orthophotos."""
    height, width = image_HWC.shape[:2]
    parts = []
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            block = np.zeros((tile, tile, 3), np.uint8)
            inside = image_HWC[y : y + tile, x : x + tile]
            block[: inside.shape[0], : inside.shape[1]] = inside
            block[:, 1:] -= block[:, :-1].copy()
            parts.append(zlib.compress(block.tobytes()))
    entries: list[tuple[int, int, list[int]]] = [
        (256, 4, [width]), (257, 4, [height]), (258, 3, [8, 8, 8]), (259, 3, [8]), (262, 3, [2]), (277, 3, [3]),
        (284, 3, [1]), (317, 3, [2]), (322, 3, [tile]), (323, 3, [tile]),
    ]  # fmt: skip
    table_size = 2 + 12 * (len(entries) + 2) + 4
    extra_at = 8 + table_size
    data_at = extra_at + 6 + 8 * len(parts)
    offsets = [data_at + sum(map(len, parts[:i])) for i in range(len(parts))]
    table, extra = struct.pack("<H", len(entries) + 2), b""
    for tag, kind, values in [*entries, (324, 4, offsets), (325, 4, [len(p) for p in parts])]:
        packed = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) <= 4:
            field = packed.ljust(4, b"\0")
        else:
            field = struct.pack("<I", extra_at + len(extra))
            extra += packed
        table += struct.pack("<HHI", tag, kind, len(values)) + field
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + table + b"\0\0\0\0" + extra + b"".join(parts))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiff")
    image = Image.fromarray(picture())
    for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        image.save(root / f"{name}.tif", compression=name, tiffinfo={278: 24})  # rows of a strip
    image.save(root / "big.tif", compression="tiff_lzw", big_tiff=True)
    cv2.imwrite(str(root / "one_strip.tif"), picture()[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 1])
    Image.fromarray(picture(1)).save(root / "grey.tif", compression="tiff_lzw")
    write_tiled(root / "tiled.tif", picture())
    return root


NAMES = ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "big", "one_strip", "grey", "tiled"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(NAMES), corners=st.tuples(*[st.integers(0, 1000)] * 4))
def test_every_window_is_a_part_of_the_whole(folder: Path, name: str, corners: tuple[int, ...]) -> None:
    path = folder / f"{name}.tif"
    whole = read_image(path)
    source = open_source(path)
    assert isinstance(source, TiffSource)
    assert (source.height, source.width) == (HEIGHT, WIDTH)
    top, left = corners[0] % HEIGHT, corners[1] % WIDTH
    bottom, right = top + 1 + corners[2] % (HEIGHT - top), left + 1 + corners[3] % (WIDTH - left)
    part = source.read(top, bottom, left, right).astype(int)
    # JPEG decoders may differ by a rounding, and by how they enlarge colour.
    limit = 12 if name == "jpeg" else 0
    assert np.abs(part - whole[top:bottom, left:right]).max() <= limit
    source.close()


def test_only_what_is_near_stays_decoded(folder: Path) -> None:
    source = TiffSource(folder / "tiled.tif")
    for top in range(0, HEIGHT - 40, 20):
        source.read(top, top + 40, 0, WIDTH)
        rows = {index // 3 for index in source._decoded}  # 137 columns are 3 tiles of 48
        assert len(rows) <= 3
    assert len(source._decoded) <= 6
    source.close()


@pytest.mark.parametrize("kind", ["16 bit", "palette", "planes", "png"])
def test_what_cannot_be_read_in_windows_is_read_as_a_whole(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("a.png" if kind == "png" else "a.tif")
    image: Any = picture()
    if kind == "16 bit":
        cv2.imwrite(str(path), image.astype(np.uint16) * 257)
    elif kind == "palette":
        Image.fromarray(image).quantize(32).save(path)
    elif kind == "planes":
        Image.fromarray(image).save(path, tiffinfo={284: 1}, compression="raw")
        data = path.read_bytes()
        entry = struct.pack("<HHIHH", 284, 3, 1, 1, 0)
        assert entry in data
        path.write_bytes(data.replace(entry, struct.pack("<HHIHH", 284, 3, 1, 2, 0)))
        with pytest.raises(NotImplementedError, match="planes lie apart"):
            TiffSource(path)
        return
    else:
        cv2.imwrite(str(path), image[..., ::-1])
    source = open_source(path)
    assert isinstance(source, ArraySource)
    np.testing.assert_array_equal(source.read(3, 90, 5, 60), read_image(path)[3:90, 5:60])


@pytest.mark.parametrize("name", ["raw", "tiff_lzw", "tiled"])
def test_damage_is_said(tmp_path: Path, folder: Path, name: str) -> None:
    data = (folder / f"{name}.tif").read_bytes()
    path = tmp_path / "bad.tif"

    def read() -> None:
        source = open_source(path)
        try:
            source.read(0, source.height, 0, source.width)
        finally:
            source.close()

    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(ImageError, match=r"TIFF|picture"):
        read()
    path.write_bytes(b"II*\0" + bytes(60))
    with pytest.raises(ImageError, match="TIFF"):
        read()
    path.write_bytes(b"no picture at all")
    with pytest.raises(ImageError, match="TIFF"):
        read()
    path.unlink()
    with pytest.raises(ImageError, match="No such file"):
        read()
