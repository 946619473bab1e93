# SPDX-License-Identifier: Apache-2.0
"""Damaged picture files are refused before they are decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from offroad_seg.compile.images import damage, list_images, read_image
from offroad_seg.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (37, 61, 3), np.uint8)


def encoded(suffix: str, *flags: int) -> bytes:
    return bytes(cv2.imencode(suffix, picture(), list(flags))[1])


def test_png_comes_back_as_rgb(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(".png"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture()[..., ::-1])


@pytest.mark.parametrize("flags", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)])
def test_whole_jpeg_of_each_kind_is_accepted(tmp_path: Path, flags: tuple[int, ...]) -> None:
    data = encoded(".jpg", *flags)
    assert damage(data) == ""
    assert damage(data + b"\0" * 7) == ""  # cameras pad their files
    (tmp_path / "a.jpg").write_bytes(data)
    assert read_image(tmp_path / "a.jpg").shape == (37, 61, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_cut_anywhere_is_found(tmp_path: Path, suffix: str) -> None:
    data = encoded(suffix)
    for length in {*range(12, len(data), 97), len(data) - 1, len(data) - 3}:
        assert damage(data[:length]), length
    (tmp_path / f"a{suffix}").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="truncated") as caught:
        read_image(tmp_path / f"a{suffix}")
    assert f"a{suffix}" in caught.value.where


def test_end_marker_of_a_thumbnail_is_no_end() -> None:
    data = encoded(".jpg")
    thumbnail = b"\xff\xe1" + (2 + 6).to_bytes(2, "big") + b"Ex\xff\xd9if"
    assert damage(data[:2] + thumbnail + data[2:]) == ""
    assert "truncated" in damage(data[:2] + thumbnail + data[2:-40])


def test_changed_byte_in_a_png_is_found() -> None:
    data = bytearray(encoded(".png"))
    data[len(data) // 2] ^= 1
    assert "checksum" in damage(bytes(data))


def test_what_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ImageError, match="empty"):
        read_image(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"not a picture at all")
    with pytest.raises(ImageError, match="not a picture"):
        read_image(tmp_path / "b.png")
    with pytest.raises(ImageError, match="No such file"):
        read_image(tmp_path / "c.png")


def test_listing(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no picture"):
        list_images(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("b.PNG", "a.jpg", "sub/c.png", ".hidden.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [p.name for p in list_images(tmp_path)] == ["a.jpg", "b.PNG", "c.png"]
    with pytest.raises(ImageError, match="no such folder"):
        list_images(tmp_path / "nowhere")
