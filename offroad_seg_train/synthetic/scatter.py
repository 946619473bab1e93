# SPDX-License-Identifier: Apache-2.0
"""Where things stand: densities by ground cover, free space on the trail, finer models near it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg_train.synthetic import plants, stones, trees
from offroad_seg_train.synthetic.mesh import Mesh, instances
from offroad_seg_train.synthetic.terrain import HALF

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from offroad_seg_train.synthetic.style import Style
    from offroad_seg_train.synthetic.terrain import Terrain

    F64 = NDArray[np.float64]

# Beyond the detailed square things are coarse; past this they would be smaller than a pixel.
OUTER_HALF = 230.0
NEAR, MIDDLE = 8.0, 24.0


@dataclass
class Things:
    """Everything on the ground.

    Attributes:
        parts: Class name and mesh of each lot.
        obstacles_K3: x, y and radius in metres of what stands: trees' trunks, rocks, bushes, logs.
        obstacle_names: Class name of each obstacle.
        grass_xy_K2: Places of the tufts, for the shade at their foot.
    """

    parts: list[tuple[str, Mesh]] = field(default_factory=list)
    obstacles_K3: F64 = field(default_factory=lambda: np.zeros((0, 3)))
    obstacle_names: list[str] = field(default_factory=list)
    grass_xy_K2: F64 = field(default_factory=lambda: np.zeros((0, 2)))

    def add_obstacles(self, name: str, places: Places, radius_K: F64) -> None:
        """Remember what stands where."""
        rows = np.column_stack([places.xy_K2, radius_K])
        self.obstacles_K3 = np.concatenate([self.obstacles_K3, rows])
        self.obstacle_names += [name] * len(rows)


@dataclass(frozen=True)
class Places:
    """Places (metres) with their distance to the trail and their cover (grass, stones, flowers)."""

    xy_K2: F64
    trail_K: F64
    cover_K3: NDArray[np.float32]

    def take(self, mask: NDArray[np.bool_]) -> Places:
        """Those where the mask is true."""
        return Places(self.xy_K2[mask], self.trail_K[mask], self.cover_K3[mask])

    def __len__(self) -> int:
        return len(self.xy_K2)


def _candidates(
    rng: np.random.Generator, terrain: Terrain, per_m2: float, half: float, hole: float = 0.0
) -> Places:
    n = int(per_m2 * 4 * half * half)
    xy = rng.uniform(-half, half, (n, 2))
    if hole:
        xy = xy[(np.abs(xy) > hole).any(1)]
        distance = np.full(len(xy), 99.0)
    else:
        distance = terrain.near_trail(xy[:, 0], xy[:, 1])
    off = np.clip((distance - 0.9) / 1.0, 0.0, 1.0)
    return Places(xy, distance, terrain.cover(xy[:, 0], xy[:, 1], off))


def _plant(
    rng: np.random.Generator,
    terrain: Terrain,
    places: Places,
    models: Sequence[Mesh],
    size_K: F64,
    *,
    spread: float = 0.12,
    lift_K: F64 | None = None,
) -> list[Mesh]:
    """Copies of the models, turned, scaled and tinted at random, on the ground at the places."""
    z = terrain.height(places.xy_K2[:, 0], places.xy_K2[:, 1])
    if lift_K is not None:
        z = z + lift_K
    n = len(places)
    which = rng.integers(len(models), size=n)
    yaw = rng.uniform(0, 2 * np.pi, n)
    scale = size_K[:, None] * rng.uniform(0.85, 1.18, (n, 3))
    tint = np.exp(rng.normal(0, spread, (n, 1))) * np.exp(rng.normal(0, spread * 0.4, (n, 3)))
    at = np.column_stack([places.xy_K2, z])
    return [
        instances(model, at[which == k], yaw[which == k], scale[which == k], tint[which == k])
        for k, model in enumerate(models)
        if (which == k).any()
    ]


def populate(rng: np.random.Generator, style: Style, terrain: Terrain) -> Things:
    """Fill a world; every class gets its share near the trail."""
    things = Things()
    _trees(rng, style, terrain, things)
    _rocks(rng, style, terrain, things)
    _logs(rng, style, terrain, things)
    _bushes(rng, style, terrain, things)
    _grass(rng, style, terrain, things)
    _flowers(rng, style, terrain, things)
    _clutter(rng, style, terrain, things)
    return things


def _bands(places: Places, cuts: tuple[float, float] = (NEAR, MIDDLE)) -> list[NDArray[np.bool_]]:
    near, middle = places.trail_K < cuts[0], places.trail_K < cuts[1]
    return [near, middle & ~near, ~middle]


def _grass(rng: np.random.Generator, style: Style, terrain: Terrain, things: Things) -> None:
    p = style.palette
    levels = (
        # tufts per m², blades, width (m), segments, size
        (4.0, [plants.grass_tuft(rng, p, 20, 0.010, 2) for _ in range(4)], 1.0),
        (1.8, [plants.grass_tuft(rng, p, 10, 0.025, 1) for _ in range(3)], 1.1),
        (0.8, [plants.grass_tuft(rng, p, 7, 0.050, 1) for _ in range(3)], 1.35),
    )
    places = _candidates(rng, terrain, levels[0][0], HALF)
    dense = np.clip(places.cover_K3[:, 0] * 1.15, 0.0, 1.0) + 0.05 * (places.trail_K > 1.2)
    draw = rng.uniform(size=len(places))
    for band, (per_m2, models, size) in zip(_bands(places), levels, strict=True):
        chosen = places.take(band & (draw < dense * per_m2 / levels[0][0]))
        height = size * (0.52 + 0.5 * chosen.cover_K3[:, 0]) * rng.uniform(0.6, 1.35, len(chosen))
        # A rutted trail is grazed: grass at its rim is low.
        height *= np.clip(0.45 + 0.25 * chosen.trail_K, 0.45, 1.0)
        things.parts += [("Dry Grass", m) for m in _plant(rng, terrain, chosen, models, height, spread=0.16)]
        things.grass_xy_K2 = np.concatenate([things.grass_xy_K2, chosen.xy_K2])
    outer = _candidates(rng, terrain, 0.16, OUTER_HALF, hole=HALF)
    outer = outer.take(rng.uniform(size=len(outer)) < outer.cover_K3[:, 0] + 0.04)
    size = rng.uniform(1.3, 2.4, len(outer))
    things.parts += [("Dry Grass", m) for m in _plant(rng, terrain, outer, levels[2][1], size, spread=0.16)]


def _ring(
    rng: np.random.Generator,
    terrain: Terrain,
    things: Things,
    name: str,
    per_m2: float,
    outer_share: float,
    keep: Callable[[Places], F64],
    models: tuple[Sequence[Mesh], Sequence[Mesh], Sequence[Mesh]],
    *,
    sizes: tuple[float, float],
    radius: float,
    clear: float,
    spread: float = 0.12,
) -> None:
    """Scatter one kind of standing thing in three levels of detail; none closer to the trail than ``clear``."""
    places = _candidates(rng, terrain, per_m2, HALF)
    size = rng.uniform(*sizes, len(places))
    stays = (places.trail_K > clear + radius * size) & (rng.uniform(size=len(places)) < keep(places))
    for band, lot in zip(_bands(places, (13.0, 32.0)), models, strict=True):
        mask = band & stays
        chosen = places.take(mask)
        things.parts += [(name, m) for m in _plant(rng, terrain, chosen, lot, size[mask], spread=spread)]
        things.add_obstacles(name, chosen, radius * size[mask])
    outer = _candidates(rng, terrain, per_m2 * outer_share, OUTER_HALF, hole=HALF)
    outer = outer.take(rng.uniform(size=len(outer)) < keep(outer))
    far = rng.uniform(*sizes, len(outer)) * 1.1
    things.parts += [(name, m) for m in _plant(rng, terrain, outer, models[2], far, spread=spread)]


def _bushes(rng: np.random.Generator, style: Style, terrain: Terrain, things: Things) -> None:
    p = style.palette
    lush = (
        [plants.lush_bush(rng, p, 720, 0.088, 6) for _ in range(4)],
        [plants.lush_bush(rng, p, 210, 0.17, 3) for _ in range(3)],
        [plants.lush_bush(rng, p, 40, 0.38, 1) for _ in range(2)],
    )
    _ring(
        rng, terrain, things, "Lush Bushes", style.bushes / 100 * 1.5, 0.5,
        lambda at: 0.25 + 0.75 * np.abs(at.cover_K3[:, 0].astype(np.float64) - 0.3), lush,
        sizes=(0.55, 1.7), radius=0.70, clear=1.7,
    )  # fmt: skip
    dry = (
        [plants.dry_bush(rng, p, 220, 0.013) for _ in range(4)],
        [plants.dry_bush(rng, p, 80, 0.028) for _ in range(3)],
        [plants.dry_bush(rng, p, 26, 0.070) for _ in range(2)],
    )
    _ring(
        rng, terrain, things, "Dry Bushes", style.dry_bushes / 100, 0.5,
        lambda at: np.ones(len(at)), dry, sizes=(0.6, 1.5), radius=0.55, clear=1.6, spread=0.18,
    )  # fmt: skip


def _trees(rng: np.random.Generator, style: Style, terrain: Terrain, things: Things) -> None:
    p = style.palette
    kinds = [trees.joshua_tree, trees.column_tree, trees.broad_tree]
    # One kind leads in each world.
    weights = rng.dirichlet([2.2, 0.8, 1.2])
    lead = [kinds[k] for k in rng.choice(3, size=5, p=weights)]
    models = tuple([kind(rng, p, detail) for kind in lead] for detail in (1.0, 0.35, 0.06))
    _ring(
        rng, terrain, things, "Trees", style.trees / 1000, 1.3, lambda at: np.ones(len(at)),
        (models[0], models[1], models[2]), sizes=(0.75, 1.35), radius=0.35, clear=3.2, spread=0.10,
    )  # fmt: skip


def _rocks(rng: np.random.Generator, style: Style, terrain: Terrain, things: Things) -> None:
    p = style.palette
    models = (
        [stones.rock(rng, p, 3) for _ in range(4)],
        [stones.rock(rng, p, 2) for _ in range(5)],
        [stones.rock(rng, p, 1) for _ in range(4)],
        [stones.rock(rng, p, 0) for _ in range(4)],
    )
    # Many small ones, few big ones: two lots.
    for share, sizes, clear, finest in ((0.75, (0.30, 0.8), 1.6, 1), (0.25, (0.8, 2.4), 2.4, 0)):
        _ring(
            rng, terrain, things, "Rocks", style.rocks / 100 * share, 0.5,
            lambda at: 0.45 + 0.55 * at.cover_K3[:, 1].astype(np.float64),
            (models[finest], models[finest + 1], models[min(finest + 2, 3)]),
            sizes=sizes, radius=0.5, clear=clear,
        )  # fmt: skip


def _logs(rng: np.random.Generator, style: Style, terrain: Terrain, things: Things) -> None:
    p = style.palette
    places = _candidates(rng, terrain, style.logs / 1000, HALF)
    # A few always lie where the camera passes.
    beside = terrain.trail.xy_N2[rng.integers(len(terrain.trail.xy_N2), size=14)]
    extra = beside + rng.uniform(3.2, 9.0, (14, 1)) * _directions(rng, 14)
    distance = terrain.trail_distance(extra[:, 0], extra[:, 1])
    xy = np.concatenate([places.xy_K2, extra])
    trail = np.concatenate([places.trail_K, distance])
    everything = Places(xy, trail, np.zeros((len(xy), 3), np.float32))
    chosen = everything.take(trail > 3.2)
    which = rng.integers(4, size=len(chosen))
    for k in range(4):
        model, lot = stones.log(rng, p), chosen.take(which == k)
        if len(lot) == 0:
            continue
        size = rng.uniform(0.8, 1.5, len(lot))
        # Sunk a little: a log on uneven ground is held by it.
        things.parts += [("Logs", m) for m in _plant(rng, terrain, lot, [model], size, lift_K=-0.05 * size)]
        things.add_obstacles("Logs", lot, 0.9 * size)


def _directions(rng: np.random.Generator, n: int) -> F64:
    angle = rng.uniform(0, 2 * np.pi, n)
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def _flowers(rng: np.random.Generator, style: Style, terrain: Terrain, things: Things) -> None:
    p = style.palette
    levels = (
        (2.6, [plants.flower(rng, p, 11, k % 2, 5) for k in range(4)], 1.0),
        (1.4, [plants.flower(rng, p, 7, k % 2, 4) for k in range(2)], 1.25),
        (0.5, [plants.flower(rng, p, 5, k % 2, 3) for k in range(2)], 1.8),
    )
    places = _candidates(rng, terrain, levels[0][0], HALF)
    dense = places.cover_K3[:, 2] + 0.004 * (places.trail_K > 1.5)
    draw = rng.uniform(size=len(places))
    for band, (per_m2, models, size) in zip(_bands(places), levels, strict=True):
        chosen = places.take(band & (draw < dense * per_m2 / levels[0][0]))
        height = size * rng.uniform(0.7, 1.5, len(chosen))
        things.parts += [("Flowers", m) for m in _plant(rng, terrain, chosen, models, height)]


def _clutter(rng: np.random.Generator, style: Style, terrain: Terrain, things: Things) -> None:
    p = style.palette
    near = [stones.pebble(rng, p) for _ in range(6)]
    far = [stones.pebble(rng, p, coarse=True) for _ in range(4)]
    places = _candidates(rng, terrain, 9.0, HALF)
    dense = places.cover_K3[:, 1] ** 1.5 + 0.015 * (places.trail_K > 1.0)
    reach = np.array([1.0, 0.16, 0.02])[np.digitize(places.trail_K, [8.0, 20.0])]
    chosen = places.take(rng.uniform(size=len(places)) < dense * reach)
    size = np.exp(rng.normal(np.log(0.09), 0.45, len(chosen))) * np.where(chosen.trail_K > 8.0, 1.5, 1.0)
    close = chosen.trail_K < 5.0
    for models, mask in ((near, close), (far, ~close)):
        stones_here = _plant(rng, terrain, chosen.take(mask), models, size[mask], spread=0.2)
        things.parts += [("Ground Clutter", m) for m in stones_here]
    sticks = [stones.litter(rng, p) for _ in range(3)]
    places = _candidates(rng, terrain, 0.10, HALF)
    chosen = places.take(
        (places.trail_K > 1.8) & (places.trail_K < 30) & (rng.uniform(size=len(places)) < 0.6)
    )
    size = rng.uniform(0.6, 1.4, len(chosen))
    things.parts += [("Ground Clutter", m) for m in _plant(rng, terrain, chosen, sticks, size)]
