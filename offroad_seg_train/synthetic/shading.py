# SPDX-License-Identifier: Apache-2.0
"""Colour of what the rays hit: reflectance with texture, sun with shadow, light of the sky, haze."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg_train.synthetic.noise import detail_tile, sample, smoothstep
from offroad_seg_train.synthetic.terrain import WHEEL_TRACK
from offroad_seg_train.synthetic.world import GROUND, PLANT, SOLID, World

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg_train.synthetic.raycast import Hits

    F32 = NDArray[np.float32]

# Half the sun's width in the sky is 0.27°; a little more reads as soft shadow at this resolution.
_SUN_RADIUS = 0.005


@dataclass(frozen=True)
class Surface:
    """N points on the world's surface.

    Attributes:
        points_N3: Metres.
        normals_N3: Unit shading normals that face the viewer's side of solid things.
        albedo_N3: Linear reflectance.
        open_N: Openness to the sky, 0–1.
        kind_N: GROUND, PLANT or SOLID.
        class_N: Class ids.
    """

    points_N3: F32
    normals_N3: F32
    albedo_N3: F32
    open_N: F32
    kind_N: NDArray[np.uint8]
    class_N: NDArray[np.uint8]


def surface(world: World, hits: Hits, points_N3: F32, distance_N: F32) -> Surface:
    """Look up what lies at the hits (all of which must be hits), ``distance_N`` metres away."""
    faces = world.mesh.faces_M3[hits.triangle_N]
    w1, w2 = hits.share_N2[:, :1], hits.share_N2[:, 1:]
    w0 = 1.0 - w1 - w2
    normals = (
        w0 * world.mesh.normals_N3[faces[:, 0]]
        + w1 * world.mesh.normals_N3[faces[:, 1]]
        + w2 * world.mesh.normals_N3[faces[:, 2]]
    )
    albedo = (
        w0 * world.mesh.colors_N3[faces[:, 0]]
        + w1 * world.mesh.colors_N3[faces[:, 1]]
        + w2 * world.mesh.colors_N3[faces[:, 2]]
    )
    kind = world.triangle_kind_F[hits.triangle_N]
    ids = world.triangle_class_F[hits.triangle_N]
    openness = np.ones(len(points_N3), np.float32)
    ground = np.flatnonzero(kind == GROUND)
    if len(ground):
        look = _ground(world, points_N3[ground], normals[ground], distance_N[ground])
        albedo[ground], normals[ground], openness[ground], ids[ground] = look
    solid = np.flatnonzero(kind == SOLID)
    if len(solid):
        p = points_N3[solid]
        # Rocks and wood: one tile read on a slanted plane gives grain in every direction.
        grain = sample(
            detail_tile(), world.terrain.cover_frame, p[:, 0] + 0.8 * p[:, 2], p[:, 1] - 0.9 * p[:, 2], 9.0
        )
        near = _fade(distance_N[solid], 25.0)
        albedo[solid] *= 1.0 + 0.16 * np.clip(grain[:, :1], -2, 2) * near
        normals[solid, :2] -= 0.30 * grain[:, 1:3] * near
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    return Surface(points_N3, normals, np.clip(albedo, 0.0, 0.95), openness, kind, ids)


def _fade(distance_N: F32, reach: float) -> F32:
    """How much of a texture of that reach (metres) is left: far away it averages out."""
    return np.asarray(1.0 / (1.0 + (distance_N / reach) ** 2), np.float32)[:, None]


def _ground(
    world: World, points_N3: F32, normals_N3: F32, distance_N: F32
) -> tuple[F32, F32, F32, NDArray[np.uint8]]:
    """Albedo, normals, openness and class ids of the bare ground."""
    p = world.style.palette
    x, y = points_N3[:, 0], points_N3[:, 1]
    frame = world.terrain.cover_frame
    raster = world.raster(x, y)
    off_trail = smoothstep(0.9, 1.9, raster[:, 0])
    cover = world.terrain.cover(x, y, off_trail)
    wide = sample(detail_tile(), frame, x, y, 61.0) * _fade(distance_N, 300.0)
    middle = sample(detail_tile(), frame, x + 7.0, y, 13.0)
    fine = sample(detail_tile(), frame, y, x + 3.0, 2.6)
    near, close = _fade(distance_N, 30.0), _fade(distance_N, 9.0)

    tone = np.clip(0.5 + 0.20 * wide[:, :1] + 0.18 * middle[:, :1], 0.0, 1.0)
    albedo = p.soil * tone + p.soil_dark * (1 - tone)
    # The trail: pale, packed soil with two darker, smoother wheel tracks.
    trail = (1.0 - off_trail)[:, None]
    albedo = albedo * (1 - trail) + (0.35 * albedo + 0.65 * p.trail) * trail
    rut = np.exp(-(((raster[:, 0] - WHEEL_TRACK) / 0.22) ** 2))[:, None]
    albedo *= 1.0 - 0.20 * rut * trail
    # Stony ground: gravel in two sizes, coloured like the rocks.
    stony = smoothstep(0.30, 0.62, cover[:, 1])[:, None]
    speck = smoothstep(0.1, 0.9, middle[:, 3:] * 0.6 + fine[:, 3:])
    gravel = p.stone * (0.75 + 0.55 * speck) * (1 - 0.3 * smoothstep(0.4, 1.4, -fine[:, :1]))
    albedo = albedo * (1 - 0.75 * stony) + gravel * 0.75 * stony
    # Grassland: straw litter, streaked; far away it stands for the tufts themselves.
    grassy = smoothstep(0.30, 0.70, cover[:, 0])[:, None]
    straw_tone = np.clip(0.45 + 0.30 * fine[:, 3:] * near + 0.16 * middle[:, :1], 0.05, 1.0)
    straw = p.grass_root * 0.8 * (1 - straw_tone) + p.grass_tip * 0.85 * straw_tone
    albedo = albedo * (1 - 0.72 * grassy) + straw * 0.72 * grassy
    # Grain: sand, small stones and their hollows.
    albedo *= 1.0 + (0.07 * fine[:, :1] + 0.05 * fine[:, 3:]) * near
    sparse = smoothstep(1.75, 2.2, fine[:, 3:] + 0.3 * middle[:, 3:]) * close
    albedo = albedo * (1 - 0.55 * sparse) + p.stone_other * 0.8 * 0.55 * sparse

    # The far ranges show their strata.
    layers = np.sin(points_N3[:, 2:] * 0.33 + 1.6 * wide[:, :1]) + 0.6 * np.sin(points_N3[:, 2:] * 0.9)
    albedo *= 1.0 + 0.11 * layers * smoothstep(150.0, 400.0, distance_N)[:, None]

    rough = 0.10 + 0.16 * stony + 0.08 * grassy - 0.05 * trail
    bump = middle[:, 1:3] * 0.5 * near + fine[:, 1:3] * close
    normals_N3 = normals_N3.copy()
    normals_N3[:, :2] -= rough * bump
    return albedo.astype(np.float32), normals_N3, raster[:, 1], world.ground_classes(cover)


def shade(world: World, s: Surface, directions_N3: F32, rng: np.random.Generator) -> F32:
    """Radiance toward the viewer without haze, shape (N, 3); ``directions_N3`` are unit, from the viewer."""
    style = world.style
    sun = style.sun_3.astype(np.float32)
    n = len(s.points_N3)
    facing = s.normals_N3 @ sun
    plant = s.kind_N == PLANT
    # Leaves and blades scatter light around and through: a wrapped cosine.
    lambert = np.where(plant, np.clip((facing + 0.35) / 1.35, 0, 1), np.clip(facing, 0, 1))
    lit = np.zeros(n, np.float32)
    maybe = np.flatnonzero((lambert > 0.01) | plant)
    jitter = rng.standard_normal((len(maybe), 3), dtype=np.float32) * np.float32(_SUN_RADIUS)
    # Off the surface along its normal and toward the sun, so that it does not shade itself.
    start = s.points_N3[maybe] + 0.004 * sun
    # The ground's shading normals are smoother than its triangles: near the terminator they would stripe.
    lift = np.choose(s.kind_N[maybe], np.array([0.04, 0.0, 0.008], np.float32))
    start += lift[:, None] * s.normals_N3[maybe]
    lit[maybe] = ~world.scene.occluded(start.astype(np.float32), sun + jitter)
    through = np.where(plant, 0.28 * np.clip(directions_N3 @ sun, 0, 1) ** 2, 0.0)
    direct = (lit * (lambert + through))[:, None] * style.sun_color
    up = (0.5 + 0.5 * s.normals_N3[:, 2])[:, None]
    bounce = style.palette.soil * style.sun_color * max(float(sun[2]), 0.1) * 0.22
    ambient = (style.ambient * up + bounce * (1 - up)) * s.open_N[:, None]
    return (s.albedo_N3 * (direct * (0.35 + 0.65 * s.open_N[:, None]) + ambient)).astype(np.float32)


def haze(color_N3: F32, distance_N: F32, reach: float, sky_N3: F32) -> F32:
    """Air between the surface and the viewer takes light and adds that of the horizon (``sky_N3``)."""
    share = (1.0 - np.exp(-np.maximum(distance_N - 5.0, 0.0) / reach))[:, None]
    return np.asarray(color_N3 * (1 - share) + sky_N3 * share)
