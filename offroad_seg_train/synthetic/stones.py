# SPDX-License-Identifier: Apache-2.0
"""Models of what lies: rocks, pebbles, sticks and logs. About 1 m across (rocks, pebbles), foot at the origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import trimesh

from offroad_seg_train.synthetic.mesh import Mesh, blades, join, tube, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg_train.synthetic.style import Palette

    F64 = NDArray[np.float64]


def rock(rng: np.random.Generator, palette: Palette, subdivisions: int) -> Mesh:
    """A boulder: an icosphere that is pushed by soft noise and cut by planes, sunk a quarter into the ground."""
    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    v = np.asarray(ball.vertices, np.float64)
    direction = unit(rng.normal(0, 1, (9, 3)))
    swell = np.cos(v @ direction.T * 3.1 + rng.uniform(0, 6.28, 9)).mean(1) * 0.35
    v = v * (0.52 * (1.0 + swell))[:, None]
    # Planes that cut a little off give the flat faces of broken stone.
    for normal in unit(rng.normal(0, 1, (9, 3))):
        over = v @ normal - rng.uniform(0.28, 0.46)
        v = v - np.maximum(over, 0)[:, None] * normal * 0.9
    v = v * np.array([1.0, rng.uniform(0.65, 1.0), rng.uniform(0.55, 0.85)])
    v[:, 2] += 0.20
    shape = trimesh.Trimesh(v, ball.faces, process=False)
    share = rng.uniform(0, 1)
    base = np.asarray(palette.stone) * (1 - share) + np.asarray(palette.stone_other) * share
    height = np.clip(v[:, 2] / 0.5, 0, 1)
    light = 0.62 + 0.38 * height
    stain = 1.0 + 0.14 * np.cos(v @ direction[0] * 11 + 3 * np.cos(v @ direction[1] * 7))
    colors = base[None] * (light * stain)[:, None]
    # Each face has its own corners, whose normals lie between the face's and the smooth ones: worn edges.
    corners = np.asarray(ball.faces).ravel()
    flat = np.repeat(np.asarray(shape.face_normals), 3, 0)
    normals = unit(0.55 * flat + 0.45 * np.asarray(shape.vertex_normals)[corners])
    v, colors = v[corners], colors[corners]
    return Mesh(
        v.astype(np.float32),
        normals.astype(np.float32),
        np.clip(colors, 0, 1).astype(np.float32),
        np.arange(len(corners), dtype=np.int32).reshape(-1, 3),
    )


def pebble(rng: np.random.Generator, palette: Palette, *, coarse: bool = False) -> Mesh:
    """A stone of 20 triangles, or 8 where it is coarse, 1 m across before scaling."""
    ball = trimesh.creation.icosphere(subdivisions=0)
    if coarse:
        ball = trimesh.convex.convex_hull(np.concatenate([np.eye(3), -np.eye(3)]))
    v = (
        np.asarray(ball.vertices)
        * rng.uniform(0.36, 0.55, (len(ball.vertices), 1))
        * np.array([1.0, 0.8, 0.62])
    )
    v[:, 2] += 0.15
    share = rng.uniform(0, 1)
    base = np.asarray(palette.stone) * share + np.asarray(palette.stone_other) * (1 - share)
    colors = base[None] * (0.75 + 0.4 * np.clip(v[:, 2:] / 0.4, 0, 1)) * rng.uniform(0.85, 1.3)
    shape = trimesh.Trimesh(v, ball.faces, process=False)
    return Mesh(
        v.astype(np.float32),
        np.asarray(shape.vertex_normals, np.float32),
        np.clip(colors, 0, 1).astype(np.float32),
        np.asarray(ball.faces, np.int32),
    )


def litter(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A handful of dead sticks flat on the ground, 0.8 m across."""
    n = 9
    azimuth = rng.uniform(0, 2 * np.pi, n)
    along = np.stack([np.cos(azimuth), np.sin(azimuth), rng.uniform(0.0, 0.16, n)], -1)
    start = np.concatenate([rng.normal(0, 0.15, (n, 2)), rng.uniform(0.0, 0.02, (n, 1))], -1)
    size = rng.uniform(0.2, 0.5, n)
    side = unit(np.cross(along, [0, 0, 1.0]) + rng.normal(0, 0.2, (n, 3)))
    color = np.asarray(palette.twig)[None] * np.exp(rng.normal(0, 0.2, (n, 1)))
    up = np.array([0, 0, 1.0]) + rng.normal(0, 0.3, (n, 3))
    return blades(
        start, start + along * size[:, None], along * 0, np.full(n, 0.03), side, up, color * 0.8, color, 2
    )


def log(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A weathered trunk that lies along x, 2–3.5 m long, with the stubs of its branches."""
    length = rng.uniform(2.0, 3.5)
    points = 9
    x = np.linspace(-length / 2, length / 2, points)
    path = np.stack(
        [x, 0.10 * np.cos(x * rng.uniform(0.7, 1.5) + rng.uniform(0, 6)), np.full(points, 0.0)], -1
    )
    radius = np.linspace(0.19, 0.11, points) * np.exp(rng.normal(0, 0.06, points))
    path[:, 2] = radius * 0.8
    wood = np.asarray(palette.wood)
    color = wood[None] * np.exp(rng.normal(0, 0.10, (points, 1)))
    parts = [tube(path, radius, 10, color)]
    for _ in range(int(rng.integers(1, 4))):
        k = int(rng.integers(2, points - 1))
        angle = rng.uniform(0.15, np.pi - 0.15)
        out = np.array([rng.normal(0, 0.4), np.cos(angle), np.sin(angle)])
        stub = path[k] + np.outer(np.linspace(0, rng.uniform(0.25, 0.6), 3), unit(out))
        parts.append(tube(stub, np.array([0.06, 0.045, 0.02]), 6, np.repeat(wood[None] * 0.9, 3, 0)))
    return join(parts)
