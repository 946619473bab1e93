# SPDX-License-Identifier: Apache-2.0
"""Models of trees: Joshua trees, columns, and broad crowns. Foot at the origin, 3–7 m high."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offroad_seg_train.synthetic.mesh import Mesh, blades, frames, join, tube, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg_train.synthetic.style import Palette

    F64 = NDArray[np.float64]

_UP = np.array([0.0, 0.0, 1.0])


def _limb(
    rng: np.random.Generator,
    start: F64,
    direction: F64,
    length: float,
    radius: tuple[float, float],
    points: int,
) -> tuple[F64, F64]:
    """A bent limb that turns upward as it grows: path (P, 3) and radii (P,)."""
    path = [start]
    heading = unit(direction)
    for _ in range(points - 1):
        heading = unit(heading + 0.16 * _UP + rng.normal(0, 0.10, 3))
        path.append(path[-1] + heading * length / (points - 1))
    return np.asarray(path), np.linspace(radius[0], radius[1], points)


def _spikes(
    rng: np.random.Generator, path: F64, count: int, length: float, width: float, palette: Palette
) -> Mesh:
    """Sword leaves around a limb, denser and greener toward its end."""
    t = rng.uniform(0, 1, count) ** 0.55
    at = t * (len(path) - 1)
    low = np.minimum(at.astype(int), len(path) - 2)
    share = (at - low)[:, None]
    centre = path[low] * (1 - share) + path[low + 1] * share
    axis = unit(path[low + 1] - path[low])
    first, second = frames(axis)
    angle = rng.uniform(0, 2 * np.pi, count)
    out = np.cos(angle)[:, None] * first + np.sin(angle)[:, None] * second
    # Old leaves hang, young ones stand around the tip.
    along = unit(out + axis * (1.6 * t[:, None] - 0.6) + rng.normal(0, 0.12, (count, 3)))
    size = length * rng.uniform(0.75, 1.15, count)
    side = unit(np.cross(along, rng.normal(0, 1, (count, 3))))
    young = np.clip((t - 0.25) / 0.5, 0, 1)[:, None]
    color = np.asarray(palette.spike) * young + np.asarray(palette.bark) * 1.1 * (1 - young)
    color = color * np.exp(rng.normal(0, 0.18, (count, 1)))
    normal = out * 0.8 + 0.45 * _UP + rng.normal(0, 0.15, (count, 3))
    return blades(
        centre,
        centre + along * size[:, None],
        along * 0,
        np.full(count, width),
        side,
        normal,
        color * 0.35,
        color,
        1,
    )


def _bark(rng: np.random.Generator, palette: Palette, points: int) -> F64:
    return (
        np.asarray(palette.bark)[None]
        * np.exp(rng.normal(0, 0.12, (points, 1)))
        * np.linspace(0.7, 1, points)[:, None]
    )


def joshua_tree(rng: np.random.Generator, palette: Palette, detail: float) -> Mesh:
    """A forked trunk whose limbs end in rosettes of sword leaves; ``detail`` 1 is close by, 0.1 far away."""
    sides = 8 if detail > 0.5 else 4 if detail > 0.2 else 3
    points = 5 if detail > 0.5 else 3 if detail > 0.2 else 2
    spikes = max(int(210 * detail), 12)
    width = 0.045 / np.sqrt(max(detail, 0.05))
    parts: list[Mesh] = []
    trunk, radii = _limb(rng, np.array([0, 0, -0.2]), _UP, rng.uniform(1.3, 2.4), (0.27, 0.20), points)
    parts.append(tube(trunk, radii, sides, _bark(rng, palette, points)))
    level = [(trunk[-1], unit(trunk[-1] - trunk[-2]))]
    for depth in range(2 if detail < 0.3 else 3):
        grown = []
        for start, heading in level:
            forks = int(rng.integers(2, 4))
            turn = rng.uniform(0, 2 * np.pi)
            for k in range(forks):
                angle = turn + 2 * np.pi * k / forks + rng.normal(0, 0.3)
                first, second = frames(heading[None])
                out = np.cos(angle) * first[0] + np.sin(angle) * second[0]
                direction = unit(heading * 0.75 + out * rng.uniform(0.6, 1.0))
                length = rng.uniform(0.55, 0.95) * (0.9**depth)
                path, radius = _limb(
                    rng, start, direction, length, (0.18 - 0.03 * depth, 0.15 - 0.03 * depth), points
                )
                parts.append(tube(path, radius, sides, _bark(rng, palette, points)))
                last = depth == (1 if detail < 0.3 else 2) or rng.random() < 0.25
                parts.append(_spikes(rng, path, spikes if last else spikes // 3, 0.38, width, palette))
                if not last:
                    grown.append((path[-1], unit(path[-1] - path[-2])))
        level = grown
    return join(parts)


def column_tree(rng: np.random.Generator, palette: Palette, detail: float) -> Mesh:
    """A single shaggy pole of 3–5 m, sometimes with an arm."""
    points = 7 if detail > 0.5 else 3 if detail > 0.2 else 2
    sides = 8 if detail > 0.5 else 4 if detail > 0.2 else 3
    spikes = max(int(900 * detail), 40)
    width = 0.045 / np.sqrt(max(detail, 0.06))
    path, radii = _limb(rng, np.array([0, 0, -0.2]), _UP, rng.uniform(3.0, 5.0), (0.20, 0.13), points)
    parts = [
        tube(path, radii, sides, _bark(rng, palette, points)),
        _spikes(rng, path, spikes, 0.30, width, palette),
    ]
    if rng.random() < 0.6:
        start = path[points // 2]
        arm, radius = _limb(rng, start, rng.normal(0, 1, 3) * [1, 1, 0] + 0.5 * _UP, 1.2, (0.12, 0.10), 3)
        parts += [
            tube(arm, radius, sides, _bark(rng, palette, 3)),
            _spikes(rng, arm, spikes // 3, 0.28, width, palette),
        ]
    return join(parts)


def broad_tree(rng: np.random.Generator, palette: Palette, detail: float) -> Mesh:
    """A mesquite or juniper: a leaning trunk, limbs, and clouds of small leaves around their ends."""
    sides = 8 if detail > 0.5 else 4 if detail > 0.2 else 3
    points = 5 if detail > 0.5 else 3 if detail > 0.2 else 2
    trunk, radii = _limb(
        rng, np.array([0, 0, -0.2]), _UP + rng.normal(0, 0.15, 3), rng.uniform(1.3, 2.0), (0.22, 0.15), points
    )
    parts = [tube(trunk, radii, sides, _bark(rng, palette, points))]
    ends = []
    limbs = int(rng.integers(5, 8))
    for k in range(limbs):
        angle = 2 * np.pi * k / limbs + rng.normal(0, 0.3)
        direction = np.array([np.cos(angle), np.sin(angle), rng.uniform(0.3, 1.1)])
        path, radius = _limb(rng, trunk[-1], direction, rng.uniform(0.9, 1.7), (0.09, 0.03), points)
        parts.append(tube(path, radius, max(4, sides // 2), _bark(rng, palette, points)))
        ends.append(path[-1])
    centres = np.asarray([*ends, trunk[-1] + [0, 0, 1.2]])
    n = max(int(2600 * detail), 110)
    lobe = rng.integers(len(centres), size=n)
    out = unit(rng.normal(0, 1, (n, 3)))
    depth = rng.uniform(0.3, 1.0, n) ** 0.5
    radius = rng.uniform(0.55, 0.85, len(centres))[lobe]
    at = centres[lobe] + out * (radius * depth)[:, None] * [1, 1, 0.7]
    along = unit(out + rng.normal(0, 0.6, (n, 3)) + 0.2 * _UP)
    side = unit(np.cross(along, rng.normal(0, 1, (n, 3))))
    size = (0.10 / np.sqrt(max(detail, 0.06))) * rng.uniform(0.7, 1.3, n)
    middle = centres.mean(0) - [0, 0, 0.4]
    normal = 0.6 * unit(at - middle) + 0.5 * out + rng.normal(0, 0.2, (n, 3))
    light = (0.35 + 0.65 * depth**2) * (0.6 + 0.4 * np.clip(out[:, 2] + 0.3, 0, 1))
    share = rng.uniform(0, 1, (n, 1))
    color = (np.asarray(palette.lush) * (1 - share) + np.asarray(palette.spike) * share) * light[:, None]
    color = color * np.exp(rng.normal(0, 0.15, (n, 1)))
    parts.append(
        blades(
            at, at + along * size[:, None], along * 0, size * 0.5, side, normal, color * 0.8, color * 1.15, 1
        )
    )
    return join(parts)
