# SPDX-License-Identifier: Apache-2.0
"""Five classes of terrain, and cameras that look at it."""

from __future__ import annotations

from offroad_seg.camera import CameraModel
from offroad_seg.ontology import Ontology

TRACK, GRASS, ROCK, BUSH, SKY = range(5)
_K = (150.0, 0, 158.0, 0, 152.0, 92.0, 0, 0, 1)
PINHOLE = CameraModel.pinhole(320, 180, 150.0)
DISTORTED = CameraModel.from_info(320, 180, "plumb_bob", (-0.25, 0.07, 0.001, -0.001, -0.008), _K)
FISHEYE = CameraModel.from_info(320, 180, "equidistant", (-0.02, 0.006, -0.003, 0.0004), _K)
CAMERAS = (PINHOLE, DISTORTED, FISHEYE)


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
