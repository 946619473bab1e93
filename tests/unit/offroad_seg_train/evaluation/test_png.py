# SPDX-License-Identifier: Apache-2.0
"""A PNG written in strips is the PNG that other programs read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from offroad_seg.compile.images import damage
from offroad_seg_train.evaluation.png import PngWriter

if TYPE_CHECKING:
    from pathlib import Path


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 70),
    kind=st.sampled_from(["u8", "u16", "rgb"]),
    cuts=st.lists(st.integers(1, 59), max_size=5),
    seed=st.integers(0, 99),
)
def test_strips_make_one_picture(
    tmp_path: Path, height: int, width: int, kind: str, cuts: list[int], seed: int
) -> None:
    random = np.random.default_rng(seed)
    dtype = np.uint16 if kind == "u16" else np.uint8
    shape = (height, width, 3) if kind == "rgb" else (height, width)
    pixels = random.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    path = tmp_path / "a.png"
    with PngWriter(path, height, width, pixels) as writer:
        for rows in np.split(pixels, sorted({c for c in cuts if c < height})):
            writer.write(rows)
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert read.dtype == dtype
    np.testing.assert_array_equal(read[..., ::-1] if kind == "rgb" else read, pixels)
    assert damage(path.read_bytes()) == ""
    with Image.open(path) as picture:
        picture.load()


def test_wrong_rows_are_refused(tmp_path: Path) -> None:
    like = np.zeros((1, 5), np.uint8)
    with (
        pytest.raises(ValueError, match="rows are missing"),
        PngWriter(tmp_path / "a.png", 3, 5, like) as writer,
    ):
        writer.write(like)
    with PngWriter(tmp_path / "b.png", 2, 5, like) as writer:
        for wrong in (like.astype(np.uint16), np.zeros((3, 5), np.uint8), np.zeros((1, 5, 3), np.uint8)):
            with pytest.raises(ValueError, match="does not fit"):
                writer.write(wrong)
        writer.write(np.zeros((2, 5), np.uint8))
