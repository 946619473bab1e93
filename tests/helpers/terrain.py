# SPDX-License-Identifier: Apache-2.0
"""Classes of terrain, cameras that look at it, pictures of it at random, and where camera and vehicle may be."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from offroad_seg.camera import CameraModel
from offroad_seg.ontology import Ontology

TRACK, GRASS, ROCK, BUSH, SKY = range(5)
_K = (150.0, 0, 158.0, 0, 152.0, 92.0, 0, 0, 1)
PINHOLE = CameraModel.pinhole(320, 180, 150.0)
DISTORTED = CameraModel.from_info(320, 180, "plumb_bob", (-0.25, 0.07, 0.001, -0.001, -0.008), _K)
FISHEYE = CameraModel.from_info(320, 180, "equidistant", (-0.02, 0.006, -0.003, 0.0004), _K)
CAMERAS = (PINHOLE, DISTORTED, FISHEYE)

POSES = st.tuples(
    st.floats(-0.4, 0.4),
    st.floats(-0.4, 0.4),
    st.floats(-3.1, 3.1),
    st.floats(-500, 500),
    st.floats(-9, 9),
)
"""Roll, pitch, yaw, x and y of a vehicle."""


def mounts(ahead: float, aside: float, yaw: float) -> st.SearchStrategy[tuple[float, ...]]:
    """Where and how a camera sits, as ``camera_mount`` takes it: level, looking down or at the sky, on its side.

    Args:
        ahead: At most so far from the base frame along x.
        aside: Along y.
        yaw: At most so far turned.
    """
    return st.tuples(
        st.floats(-ahead, ahead),
        st.floats(-aside, aside),
        st.floats(0.3, 3),
        st.floats(-3.1, 3.1),
        st.floats(-0.3, 1.5),
        st.floats(-yaw, yaw),
    )


def class_blocks(
    rng: np.random.Generator, classes: list[int], block: int, shape: tuple[int, int]
) -> np.ndarray:
    """Random classes in square blocks, uint8 (H, W)."""
    coarse = rng.choice(classes, (shape[0] // block + 1, shape[1] // block + 1))
    return np.kron(coarse, np.ones((block, block)))[: shape[0], : shape[1]].astype(np.uint8)


def track_rock_sky() -> Ontology:
    """One class of ground, one that stands, and the sky, with ids 0, 1 and 2."""
    return Ontology.from_dict(
        {
            "name": "test",
            "classes": [
                {"name": "track", "color": [200, 180, 140], "raw": [1], "cost": 0},
                {"name": "rock", "color": [90, 90, 90], "raw": [2], "cost": "lethal", "standing": True},
                {"name": "sky", "color": [130, 180, 230], "raw": [3], "cost": "unknown"},
            ],
        }
    )


def terrain_classes(*, soft_grass: bool = False) -> Ontology:
    """Two classes of ground, two that stand, and the sky; the names above are their ids."""
    return Ontology.from_dict(
        {
            "name": "test",
            "classes": [
                {"name": "track", "color": [200, 180, 140], "raw": [1], "cost": 0},
                {"name": "grass", "color": [100, 200, 80], "raw": [2], "cost": 40, "soft": soft_grass},
                {"name": "rock", "color": [90, 90, 90], "raw": [3], "cost": "lethal", "standing": True},
                {"name": "bush", "color": [60, 120, 60], "raw": [4], "cost": 85, "standing": True},
                {"name": "sky", "color": [130, 180, 230], "raw": [5], "cost": "unknown"},
            ],
        }
    )
