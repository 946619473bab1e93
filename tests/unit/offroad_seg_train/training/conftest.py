# SPDX-License-Identifier: Apache-2.0
"""A small data set on disk, and a recipe that trains on it in seconds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from offroad_seg_train.training.config import TrainConfig
from offroad_seg_train.training.recipe import load_recipe

RAW = (100, 300, 7100, 10000)


def write_frames(root: Path, n: int, seed: int = 0) -> None:
    """Pictures whose colours give the class away, in the Duality layout."""
    rng = np.random.default_rng(seed)
    for folder in ("Color_Images", "Segmentation"):
        (root / folder).mkdir(parents=True)
    colours = np.array([(40, 120, 30), (220, 190, 90), (180, 130, 90), (120, 180, 240)])
    for i in range(n):
        ids = np.kron(rng.integers(0, len(RAW), (3, 5)), np.ones((16, 16), np.int64))
        image = np.clip(colours[ids] + rng.normal(0, 10, (*ids.shape, 3)), 0, 255).astype(np.uint8)
        cv2.imwrite(str(root / "Color_Images" / f"f{i:03d}.png"), image[..., ::-1])
        cv2.imwrite(str(root / "Segmentation" / f"f{i:03d}.png"), np.array(RAW, np.uint16)[ids])


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty labelled pictures of 80×48. Do not write there."""
    root = tmp_path_factory.mktemp("frames") / "data"
    write_frames(root, 20)
    return root


@pytest.fixture
def recipe(frames: Path) -> TrainConfig:
    """``tiny``, even smaller."""
    words = ["data.height=48", "data.width=80", "data.workers=0", "model.width=8", "device=cpu"]
    return load_recipe("tiny", [*words, "epochs=3", "batch_size=4"], data=frames)
