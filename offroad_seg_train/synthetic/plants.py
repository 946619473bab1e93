# SPDX-License-Identifier: Apache-2.0
"""Models of what grows: grass tufts, lush and dry bushes, flowers. Each is about life-size, its foot at the origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import trimesh

from offroad_seg_train.synthetic.mesh import Mesh, blades, frames, join, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg_train.synthetic.style import Palette

    F64 = NDArray[np.float64]


def _upward(rng: np.random.Generator, n: int, spread: float) -> F64:
    """Directions around +z; ``spread`` 0 is straight up, 1 is the whole upper half."""
    azimuth = rng.uniform(0, 2 * np.pi, n)
    tilt = spread * np.pi / 2 * np.sqrt(rng.uniform(0, 1, n))
    return np.stack([np.sin(tilt) * np.cos(azimuth), np.sin(tilt) * np.sin(azimuth), np.cos(tilt)], -1)


def _tints(rng: np.random.Generator, color: NDArray[np.floating], n: int, spread: float) -> F64:
    brightness = np.exp(rng.normal(0, spread, (n, 1)))
    hue = np.exp(rng.normal(0, spread * 0.35, (n, 3)))
    return np.asarray(color, np.float64)[None] * brightness * hue


def grass_tuft(rng: np.random.Generator, palette: Palette, count: int, width: float, segments: int) -> Mesh:
    """A bunch of dry blades about 0.45 m high and 0.5 m wide."""
    direction = _upward(rng, count, 0.55)
    height = rng.uniform(0.22, 0.55, count)
    radius = 0.14 * np.sqrt(rng.uniform(0, 1, count))
    roots = np.zeros((count, 3))
    # Blades on the outside lean outward.
    outward = unit(direction[:, :2] + rng.normal(0, 0.2, (count, 2)))
    roots[:, :2] = outward * radius[:, None]
    roots[:, 2] = -0.03
    tips = roots + direction * height[:, None]
    droop = np.concatenate([direction[:, :2] * 0.5, -0.35 * np.ones((count, 1))], -1) * height[:, None] * 0.5
    side = unit(np.cross(direction, rng.normal(0, 1, (count, 3))))
    tip = _tints(rng, palette.grass_tip, count, 0.22)
    root = _tints(rng, palette.grass_root, count, 0.18) * 0.55
    normals = np.array([0, 0, 1.0]) + 0.55 * np.concatenate([outward, np.zeros((count, 1))], -1)
    normals = normals + rng.normal(0, 0.18, (count, 3))
    wide = np.full(count, width)
    # The taller half bends; the others are one triangle each, which nobody can tell.
    tall = height > np.median(height)
    lots = [(tall, segments), (~tall, 1)]
    return join(
        [
            blades(roots[m], tips[m], droop[m], wide[m], side[m], normals[m], root[m], tip[m], n)
            for m, n in lots
            if m.any()
        ]
    )


def dry_bush(rng: np.random.Generator, palette: Palette, count: int, width: float) -> Mesh:
    """A leafless, twiggy bush about 0.8 m high and 1.2 m wide."""
    stems = max(6, count // 9)
    direction = _upward(rng, stems, 0.85)
    length = rng.uniform(0.5, 0.95, stems)
    roots = np.concatenate([rng.normal(0, 0.06, (stems, 2)), np.full((stems, 1), -0.03)], -1)
    bend = rng.normal(0, 0.12, (stems, 3))
    bark = np.asarray(palette.twig, np.float64)

    def strips(
        start: F64, along: F64, size: F64, thick: float, tone: tuple[float, float], bow: F64, pieces: int
    ) -> Mesh:
        n = len(start)
        normal = unit(start + along * size[:, None] + np.array([0, 0, 0.25])) + rng.normal(0, 0.3, (n, 3))
        side = unit(np.cross(along, rng.normal(0, 1, (n, 3))))
        root, tip = _tints(rng, bark * tone[0], n, 0.15), _tints(rng, bark * tone[1], n, 0.2)
        tips = start + along * size[:, None]
        return blades(start, tips, bow, np.full(n, thick), side, normal, root, tip, pieces)

    parts = [strips(roots, direction, length, width * 1.7, (0.45, 0.85), bend, 2)]
    twigs = count - stems
    parent = rng.integers(stems, size=twigs)
    t = rng.uniform(0.2, 1.0, twigs)[:, None]
    start = roots[parent] + direction[parent] * length[parent][:, None] * t + bend[parent] * t * t
    along = unit(direction[parent] + rng.normal(0, 0.55, (twigs, 3)) + np.array([0, 0, 0.15]))
    size = rng.uniform(0.14, 0.36, twigs)
    parts.append(strips(start, along, size, width, (0.7, 1.35), rng.normal(0, 0.05, (twigs, 3)), 1))
    return join(parts)


def _lobed_dome(rng: np.random.Generator, lobes: int) -> tuple[F64, F64]:
    """Centres (L, 3) and radii (L,) of the balls that make up a bush of about 0.9 m height, 1.5 m width."""
    azimuth = np.linspace(0, 2 * np.pi, lobes, endpoint=False) + rng.uniform(0, 1, lobes)
    out = rng.uniform(0.18, 0.48, lobes)
    centres = np.stack([out * np.cos(azimuth), out * np.sin(azimuth), rng.uniform(0.22, 0.45, lobes)], -1)
    centres[0] = (0, 0, 0.45)
    return centres, rng.uniform(0.24, 0.38, lobes)


def lush_bush(rng: np.random.Generator, palette: Palette, leaves: int, size: float, core: int) -> Mesh:
    """A leafy bush about 0.85 m high and 1.4 m wide.

    Args:
        rng: The world's generator.
        palette: Colours.
        leaves: Their number.
        size: The leaves' length, metres.
        core: How many dark balls of 20 triangles fill it.
    """
    centres, radii = _lobed_dome(rng, 6)
    lobe = rng.integers(len(centres), size=leaves)
    out = unit(rng.normal(0, 1, (leaves, 3)))
    out[:, 2] = np.where(rng.uniform(size=leaves) < 0.8, np.abs(out[:, 2]), out[:, 2])
    depth = rng.uniform(0.55, 1.0, leaves) ** 0.5
    at = centres[lobe] + out * (radii[lobe] * depth)[:, None]
    at[:, 2] = np.abs(at[:, 2])
    along = unit(out * 0.8 + rng.normal(0, 0.5, (leaves, 3)) + np.array([0, 0, 0.55]))
    side = unit(np.cross(along, rng.normal(0, 1, (leaves, 3))))
    shape = unit(at - np.array([0, 0, 0.15]))
    normal = 0.75 * shape + 0.35 * out + rng.normal(0, 0.22, (leaves, 3))
    # What lies deep or low in the bush sees little sky.
    light = (0.45 + 0.55 * depth**3) * (0.55 + 0.45 * np.clip(at[:, 2] / 0.7, 0, 1))
    share = rng.uniform(0, 1, (leaves, 1)) ** 1.5
    hue = np.asarray(palette.lush) * (1 - share) + np.asarray(palette.lush_light) * share
    color = hue * light[:, None] * np.exp(rng.normal(0, 0.16, (leaves, 1)))
    length = size * rng.uniform(0.6, 1.5, leaves)
    leaf = blades(
        at,
        at + along * length[:, None],
        along * 0,
        length * 0.42,
        side,
        normal,
        color * 0.75,
        color * 1.15,
        1,
    )
    return join(
        [
            leaf,
            _core(
                centres[:core],
                radii[:core] * (0.55 if core > 4 else 0.62 if core > 1 else 0.8),
                np.asarray(palette.lush) * 0.42,
            ),
        ]
    )


def _core(centres: F64, radii: F64, color: NDArray[np.floating]) -> Mesh:
    """Dark balls inside a bush, so that one does not look through it."""
    ball = trimesh.creation.icosphere(subdivisions=0)
    parts = []
    for centre, radius in zip(centres, radii, strict=True):
        v = ball.vertices * radius + centre
        colors = np.repeat(np.asarray(color, np.float32)[None], len(v), 0)
        parts.append(
            Mesh(
                v.astype(np.float32),
                ball.vertices.astype(np.float32),
                colors,
                np.asarray(ball.faces, np.int32),
            )
        )
    return join(parts)


def flower(rng: np.random.Generator, palette: Palette, stems: int, which: int, petals: int) -> Mesh:
    """A cushion of flowering stems about 0.3 m high and 0.5 m wide."""
    direction = _upward(rng, stems, 0.6)
    height = rng.uniform(0.14, 0.32, stems)
    roots = np.concatenate([rng.normal(0, 0.10, (stems, 2)), np.full((stems, 1), -0.02)], -1)
    tips = roots + direction * height[:, None]
    side = unit(np.cross(direction, rng.normal(0, 1, (stems, 3))))
    green = _tints(rng, palette.lush_light, stems, 0.15)
    up = np.array([0, 0, 1.0]) + rng.normal(0, 0.25, (stems, 3))
    stalk = blades(roots, tips, direction * 0, np.full(stems, 0.012), side, up, green * 0.5, green, 1)
    leaves = stems * 2
    at = np.concatenate([rng.normal(0, 0.12, (leaves, 2)), rng.uniform(0, 0.08, (leaves, 1))], -1)
    along = _upward(rng, leaves, 0.9)
    leaf_side, _ = frames(along)
    leaf_green = _tints(rng, palette.lush_light, leaves, 0.2)
    leaf_up = np.array([0, 0, 1.0]) + rng.normal(0, 0.3, (leaves, 3))
    leaf = blades(
        at,
        at + along * 0.12,
        along * 0,
        np.full(leaves, 0.035),
        leaf_side,
        leaf_up,
        leaf_green * 0.5,
        leaf_green,
        1,
    )
    # Each blossom is a fan of triangles around its stem's tip, tilted like the stem.
    first, second = frames(unit(direction + rng.normal(0, 0.3, (stems, 3))))
    angle = np.tile(np.linspace(0, 2 * np.pi, petals, endpoint=False), stems)
    owner = np.repeat(np.arange(stems), petals)
    along = (
        np.cos(angle)[:, None] * first[owner]
        + np.sin(angle)[:, None] * second[owner]
        + np.array([0, 0, 0.35])
    )
    across = -np.sin(angle)[:, None] * first[owner] + np.cos(angle)[:, None] * second[owner]
    size = np.repeat(rng.uniform(0.020, 0.036, stems), petals)
    color = _tints(rng, palette.blossoms[which], stems, 0.12)[owner]
    # The wide end is outside: a blade that begins at the petal's rim and narrows toward the stem.
    petal = blades(
        tips[owner] + along * size[:, None],
        tips[owner] - along * size[:, None] * 0.15,
        along * 0,
        size * 1.5,
        across,
        np.array([0, 0, 1.0]) + 0.4 * along,
        color,
        color * 0.8,
        1,
    )
    return join([stalk, leaf, petal])
