# SPDX-License-Identifier: Apache-2.0
"""A scene that is known by heart: sky above, plain ground below, one rock ahead."""

from __future__ import annotations

import numpy as np

from offroad_seg.camera import CameraModel
from offroad_seg.ontology import Ontology

HEIGHT, WIDTH = 120, 200
MOUNT = {"x": 0.5, "y": 0.0, "z": 1.5, "roll": 0.0, "pitch": 0.3, "yaw": 0.0}
CAMERA = CameraModel.pinhole(WIDTH, HEIGHT, 120.0)


def scene_labels(ontology: Ontology) -> np.ndarray:
    """Class ids, shape (120, 200): sky, ground, a rock left of the middle."""
    labels_HW = np.full((HEIGHT, WIDTH), ontology.id_of("Landscape"), np.uint8)
    labels_HW[:20] = ontology.id_of("Sky")
    labels_HW[45:70, 60:85] = ontology.id_of("Rocks")
    return labels_HW


def scene_image(ontology: Ontology) -> np.ndarray:
    """The scene in the ontology's own colours, uint8 RGB (120, 200, 3)."""
    return ontology.colorize(scene_labels(ontology))


def mount_parameters() -> list[str]:
    """The camera's mount as options of ``offroad-seg node``."""
    return [word for name, value in MOUNT.items() for word in ("--param", f"camera_mount.{name}={value}")]
