# SPDX-License-Identifier: Apache-2.0
"""Coloured triangle meshes: small models, many copies of them, and one soup of them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    F32 = NDArray[np.float32]
    F64 = NDArray[np.float64]
    I32 = NDArray[np.int32]


@dataclass(frozen=True)
class Mesh:
    """A mesh with a normal and a colour for each vertex.

    Attributes:
        vertices_N3: Metres.
        normals_N3: Unit shading normals; for leaves and blades they are those of the plant's shape, not of the leaf.
        colors_N3: Linear reflectance. Plants are darker at the root: light does not reach there.
        faces_M3: Vertex indices.
    """

    vertices_N3: F32
    normals_N3: F32
    colors_N3: F32
    faces_M3: I32


def join(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of several."""
    offsets = np.cumsum([0, *(len(m.vertices_N3) for m in meshes)])
    return Mesh(
        np.concatenate([m.vertices_N3 for m in meshes]),
        np.concatenate([m.normals_N3 for m in meshes]),
        np.concatenate([m.colors_N3 for m in meshes]),
        np.concatenate([m.faces_M3 + np.int32(o) for m, o in zip(meshes, offsets[:-1], strict=True)]),
    )


def instances(model: Mesh, at_K3: F64, yaw_K: F64, scale_K3: F64, tint_K3: F64) -> Mesh:
    """Copies of a model.

    Args:
        model: The model, its foot at the origin.
        at_K3: Where each copy stands, metres.
        yaw_K: Turn about z, radians.
        scale_K3: Scale along the model's axes.
        tint_K3: Factor on its colours.

    Returns:
        One mesh of K copies, in order.
    """
    k, n = len(at_K3), len(model.vertices_N3)
    cos, sin = np.cos(yaw_K).astype(np.float32)[:, None], np.sin(yaw_K).astype(np.float32)[:, None]
    scaled = model.vertices_N3[None] * scale_K3[:, None].astype(np.float32)
    vertices = np.empty((k, n, 3), np.float32)
    vertices[..., 0] = cos * scaled[..., 0] - sin * scaled[..., 1]
    vertices[..., 1] = sin * scaled[..., 0] + cos * scaled[..., 1]
    vertices[..., 2] = scaled[..., 2]
    vertices += at_K3[:, None].astype(np.float32)
    normals = np.empty((k, n, 3), np.float32)
    normals[..., 0] = cos * model.normals_N3[:, 0] - sin * model.normals_N3[:, 1]
    normals[..., 1] = sin * model.normals_N3[:, 0] + cos * model.normals_N3[:, 1]
    normals[..., 2] = model.normals_N3[:, 2]
    colors = np.clip(model.colors_N3[None] * tint_K3[:, None].astype(np.float32), 0.0, 1.0)
    faces = model.faces_M3[None] + (np.arange(k, dtype=np.int32) * n)[:, None, None]
    return Mesh(vertices.reshape(-1, 3), normals.reshape(-1, 3), colors.reshape(-1, 3), faces.reshape(-1, 3))


def unit(v: NDArray[np.floating]) -> NDArray[np.floating]:
    """Vectors along the last axis scaled to length 1."""
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)


def frames(axis_N3: F64) -> tuple[F64, F64]:
    """Two unit vectors at right angles to each axis and to each other, each (N, 3)."""
    helper = np.where(np.abs(axis_N3[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    first = unit(np.cross(helper, axis_N3))
    return first, np.cross(axis_N3, first)


def blades(
    roots_N3: F64,
    tips_N3: F64,
    droop_N3: F64,
    width_N: F64,
    side_N3: F64,
    normals_N3: F64,
    root_color_N3: F64,
    tip_color_N3: F64,
    segments: int,
) -> Mesh:
    """Thin strips that narrow to a tip and bend: grass, twigs, leaves, spikes.

    Args:
        roots_N3: Where each begins.
        tips_N3: Where each ends before bending.
        droop_N3: Added to the tip in proportion to the square of the way along.
        width_N: Width at the root, metres.
        side_N3: Unit direction of the width.
        normals_N3: Shading normals.
        root_color_N3: Colour at the root.
        tip_color_N3: Colour at the tip.
        segments: 1 is one triangle, 2 is three, 3 is five.
    """
    n = len(roots_N3)
    rings = []
    for step in range(segments):
        t = step / segments
        middle = roots_N3 + (tips_N3 - roots_N3) * t + droop_N3 * t * t
        half = side_N3 * (width_N * (1.0 - 0.55 * t) / 2)[:, None]
        rings += [(middle - half, t), (middle + half, t)]
    rings.append((tips_N3 + droop_N3, 1.0))
    vertices = np.stack([r for r, _ in rings], 1)
    share = np.array([t for _, t in rings])[None, :, None]
    colors = root_color_N3[:, None] * (1 - share) + tip_color_N3[:, None] * share
    strip = []
    for step in range(segments - 1):
        a = 2 * step
        strip += [(a, a + 1, a + 3), (a, a + 3, a + 2)]
    strip.append((2 * segments - 2, 2 * segments - 1, 2 * segments))
    faces = np.asarray(strip, np.int32)[None] + (np.arange(n, dtype=np.int32) * len(rings))[:, None, None]
    normals = np.repeat(unit(normals_N3)[:, None], len(rings), 1)
    return Mesh(
        vertices.reshape(-1, 3).astype(np.float32),
        normals.reshape(-1, 3).astype(np.float32),
        colors.reshape(-1, 3).astype(np.float32),
        faces.reshape(-1, 3),
    )


def tube(path_P3: F64, radius_P: F64, sides: int, color_P3: F64) -> Mesh:
    """A closed tube of straight pieces, each with a lid at both ends.

    The lids inside are never seen; they make each piece solid for rays from above, so that a trunk cut off at a
    height still covers its whole foot.
    """
    around = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    direction = unit(np.gradient(path_P3, axis=0))
    first, second = frames(direction)
    out = np.cos(around)[None, :, None] * first[:, None] + np.sin(around)[None, :, None] * second[:, None]
    ring = path_P3[:, None] + out * radius_P[:, None, None]
    p = len(path_P3)
    # Rings of vertices for the wall, then for each point of the path a lid with normals along the path.
    wall_v, wall_n = ring.reshape(-1, 3), out.reshape(-1, 3)
    lid_v = np.concatenate([ring, path_P3[:, None]], 1).reshape(-1, 3)
    lid_normal = direction.copy()
    lid_normal[0] *= -1
    lid_n = np.repeat(lid_normal[:, None], sides + 1, 1).reshape(-1, 3)
    j = np.arange(sides)
    wall_f = []
    for i in range(p - 1):
        a, b = i * sides + j, i * sides + (j + 1) % sides
        wall_f += [np.stack([a, b, b + sides], -1), np.stack([a, b + sides, a + sides], -1)]
    base = p * sides
    lid_f = [
        np.stack(
            [
                base + i * (sides + 1) + j,
                base + i * (sides + 1) + (j + 1) % sides,
                np.full(sides, base + i * (sides + 1) + sides),
            ],
            -1,
        )
        for i in range(p)
    ]
    # Bark is mottled: a fixed pattern over the wall's corners.
    mottle = 0.78 + 0.11 * ((np.arange(p)[:, None] * 3 + np.arange(sides)[None] * 7) % 5)
    wall_c = (color_P3[:, None] * mottle[..., None]).reshape(-1, 3)
    colors = np.concatenate([wall_c, np.repeat(color_P3, sides + 1, 0)])
    return Mesh(
        np.concatenate([wall_v, lid_v]).astype(np.float32),
        np.concatenate([wall_n, lid_n]).astype(np.float32),
        colors.astype(np.float32),
        np.concatenate(wall_f + lid_f).astype(np.int32),
    )
