# SPDX-License-Identifier: Apache-2.0
"""Small data sets on disk, in every layout; never square."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

HEIGHT, WIDTH = 30, 52
RAW = (100, 200, 300, 500, 550, 600, 700, 800, 7100, 10000)


def write_duality(root: Path, names: list[str], seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    for folder in ("Color_Images", "Segmentation"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        image = random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        mask = random.choice(np.array(RAW, np.uint16), (HEIGHT, WIDTH))
        cv2.imwrite(str(root / "Color_Images" / f"{name}.png"), image[..., ::-1])
        cv2.imwrite(str(root / "Segmentation" / f"{name}.png"), mask)


def write_ycor(root: Path, frames: list[str], seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    for frame in frames:
        (root / frame).mkdir(parents=True)
        Image.fromarray(random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).save(root / frame / "rgb.jpg")
        mask = Image.fromarray(random.integers(0, 9, (HEIGHT, WIDTH), np.uint8), "P")
        # Two indexes share a colour: whoever reads colours instead of indexes cannot tell them apart.
        mask.putpalette(
            [7, 7, 7, 200, 10, 10, 200, 10, 10] + [v for i in range(3, 256) for v in (i, 0, 255 - i)]
        )
        mask.save(root / frame / "labels.png")


def write_ai4mars(root: Path, stems: list[str], seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for stem in stems:
        Image.fromarray(random.integers(0, 256, (HEIGHT, WIDTH), np.uint8)).save(
            root / "images" / f"{stem}.jpg"
        )
        mask = random.choice(np.array([0, 1, 2, 3, 255], np.uint8), (HEIGHT, WIDTH))
        Image.fromarray(mask).save(root / "masks" / f"{stem}.png")


@pytest.fixture
def duality(tmp_path: Path) -> Path:
    write_duality(tmp_path / "duality", [f"cc{i:07d}" for i in range(4)])
    return tmp_path / "duality"


@pytest.fixture
def ycor(tmp_path: Path) -> Path:
    write_ycor(tmp_path / "ycor", ["0000", "0003", "0012"])
    return tmp_path / "ycor"


@pytest.fixture
def ai4mars(tmp_path: Path) -> Path:
    write_ai4mars(tmp_path / "mars", ["NLA_1", "NLB_2", "NLB_10"])
    return tmp_path / "mars"
