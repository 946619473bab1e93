# SPDX-License-Identifier: Apache-2.0
"""Rays against the world's triangles, by Embree (embreex)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

if TYPE_CHECKING:
    from numpy.typing import NDArray

    F32 = NDArray[np.float32]
    I32 = NDArray[np.int32]


@dataclass(frozen=True)
class Hits:
    """What N rays met first.

    Attributes:
        triangle_N: Index of the triangle, −1 where the ray meets nothing.
        share_N2: Barycentric shares of the triangle's second and third corner.
        distance_N: In lengths of the ray's direction; infinite where it meets nothing.
    """

    triangle_N: I32
    share_N2: F32
    distance_N: F32


class RayScene:
    """Triangles in a tree that rays can be cast into.

    Args:
        vertices_V3: Metres.
        faces_F3: Vertex indices.
    """

    def __init__(self, vertices_V3: F32, faces_F3: I32) -> None:
        self._scene = EmbreeScene()
        # Embree keeps pointers into the mesh object: it must live as long as the scene.
        self._mesh = TriangleMesh(
            self._scene, np.ascontiguousarray(vertices_V3), np.ascontiguousarray(faces_F3)
        )

    def cast(self, origins_N3: F32, directions_N3: F32) -> Hits:
        """First hit of each ray; directions need no unit length."""
        out = self._scene.run(np.ascontiguousarray(origins_N3), np.ascontiguousarray(directions_N3), output=1)
        triangle = out["primID"]
        distance = np.where(triangle >= 0, out["tfar"], np.float32(np.inf))
        return Hits(triangle, np.stack([out["u"], out["v"]], -1), distance)

    def occluded(self, origins_N3: F32, directions_N3: F32) -> NDArray[np.bool_]:
        """Whether anything lies on each ray."""
        hit = self._scene.run(
            np.ascontiguousarray(origins_N3), np.ascontiguousarray(directions_N3), query="OCCLUDED"
        )
        return np.asarray(hit) != -1
