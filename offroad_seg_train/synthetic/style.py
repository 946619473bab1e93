# SPDX-License-Identifier: Apache-2.0
"""What makes one desert differ from the next: light, colours, weather, relief and how much grows.

All colours are linear RGB reflectances or radiances, not sRGB; the tone curve comes last (``photo.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Color = NDArray[np.float32]


def srgb(*rgb: int) -> Color:
    """An sRGB colour of 0–255 as linear reflectance."""
    c = np.asarray(rgb, np.float64) / 255.0
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4).astype(np.float32)


@dataclass(frozen=True)
class Palette:
    """Reflectances of one world, each of shape (3,)."""

    soil: Color
    soil_dark: Color
    trail: Color
    stone: Color
    stone_other: Color
    grass_tip: Color
    grass_root: Color
    lush: Color
    lush_light: Color
    twig: Color
    bark: Color
    spike: Color
    wood: Color
    blossoms: tuple[Color, Color]


@dataclass(frozen=True)
class Style:
    """Everything that a world's seed decides apart from where things stand.

    Attributes:
        sun_3: Unit direction from the ground to the sun, world axes (x, y level, z up).
        sun_color: Radiance of direct sunlight, shape (3,).
        sky_zenith: Sky colour overhead.
        sky_horizon: Sky colour at the horizon, also the colour of the haze.
        ambient: Light from the whole sky on a surface that looks up.
        haze_m: Distance over which the view fades by 1/e, metres.
        clouds: Share of the sky that clouds cover, 0–1.
        cloud_period: Size of the cloud pattern on the cloud plane, in units of its height.
        exposure: Factor on each channel before the tone curve, shape (3,): brightness and white balance.
        relief_m: Deviation of the hills' height, metres; less where the trail would become too steep.
        mountains_m: Height of the far ranges, metres.
        mesas: Whether the far ranges have flat tops.
        grass: Share of the ground that is grassland, 0–1.
        clutter: Share of the ground that is stony, 0–1.
        bushes: Lush bushes per 100 m².
        dry_bushes: Dry bushes per 100 m².
        trees: Trees per 1,000 m².
        rocks: Rocks per 100 m².
        logs: Logs per 1,000 m².
        flowers: Share of the ground with flowers, 0–1.
        palette: Reflectances.
    """

    sun_3: NDArray[np.float64]
    sun_color: Color
    sky_zenith: Color
    sky_horizon: Color
    ambient: Color
    haze_m: float
    clouds: float
    cloud_period: float
    exposure: Color
    relief_m: float
    mountains_m: float
    mesas: bool
    grass: float
    clutter: float
    bushes: float
    dry_bushes: float
    trees: float
    rocks: float
    logs: float
    flowers: float
    palette: Palette


_SOILS = (
    # soil, darker soil, trail, stone, other stone
    ((182, 138, 104), (148, 106, 78), (200, 162, 130), (176, 128, 98), (146, 116, 98)),  # red-brown Mojave
    ((206, 172, 126), (172, 136, 96), (220, 192, 152), (176, 150, 120), (140, 124, 108)),  # tan
    ((186, 124, 88), (152, 92, 64), (204, 150, 114), (170, 106, 78), (134, 98, 84)),  # red rock
    ((196, 178, 150), (162, 142, 114), (212, 198, 174), (160, 152, 140), (126, 118, 110)),  # pale grey
)
_GRASSES = (
    ((216, 192, 138), (138, 112, 74)),
    ((204, 172, 110), (126, 96, 60)),
    ((214, 200, 150), (138, 122, 82)),
)
_GREENS = (
    ((108, 122, 84), (164, 172, 128)),  # sage
    ((98, 116, 62), (150, 162, 98)),  # creosote
    ((84, 108, 66), (132, 152, 92)),  # juniper
)
_BLOSSOMS = (
    ((244, 200, 40), (250, 232, 120)),
    ((176, 96, 200), (222, 168, 236)),
    ((240, 240, 232), (250, 216, 120)),
    ((232, 92, 60), (246, 160, 80)),
    ((226, 84, 140), (250, 190, 214)),
)


def _vary(rng: np.random.Generator, rgb: tuple[int, int, int], spread: float = 0.08) -> Color:
    color = srgb(*rgb)
    tinted = color * np.exp(rng.normal(0, spread, 3) * 0.5 + rng.normal(0, spread))
    return np.clip(tinted, 0.01, 0.95).astype(np.float32)


def _palette(rng: np.random.Generator) -> Palette:
    soil = _SOILS[rng.choice(len(_SOILS), p=[0.4, 0.25, 0.2, 0.15])]
    grass = _GRASSES[rng.integers(len(_GRASSES))]
    green = _GREENS[rng.integers(len(_GREENS))]
    first, second = rng.choice(len(_BLOSSOMS), 2, replace=False)
    return Palette(
        soil=_vary(rng, soil[0]) * 0.86,
        soil_dark=_vary(rng, soil[1]),
        trail=_vary(rng, soil[2]) * 0.82,
        stone=_vary(rng, soil[3]),
        stone_other=_vary(rng, soil[4]),
        grass_tip=_vary(rng, grass[0]),
        grass_root=_vary(rng, grass[1]),
        lush=_vary(rng, green[0]),
        lush_light=_vary(rng, green[1]),
        twig=_vary(rng, (138, 112, 86)),
        bark=_vary(rng, (112, 90, 70)),
        spike=_vary(rng, (104, 116, 66)),
        wood=_vary(rng, (150, 130, 110)),
        blossoms=(srgb(*_BLOSSOMS[first][0]), srgb(*_BLOSSOMS[second][1])),
    )


def _exposure(palette: Palette, sun: NDArray[np.float64], sky: NDArray[np.float64], height: float) -> Color:
    """A meter that looks at the ground, and half a white balance.

    Most of what the meter asks for, so that dark deserts stay darker; half, so that evening light stays warm.
    """
    luma = np.array([0.21, 0.72, 0.07])
    ground = float(luma @ (0.5 * (palette.soil + palette.grass_root) * (sun * height + sky)))
    light = sun * height + sky
    white = (float(luma @ light) / light) ** 0.5
    return (white * (0.40 / ground) ** 0.75).astype(np.float32)


def random_style(rng: np.random.Generator) -> Style:
    """Draw a style; the sun stands 9° to 65° high, lower being warmer and hazier."""
    elevation = np.deg2rad(rng.uniform(9, 65) if rng.random() < 0.8 else rng.uniform(9, 20))
    azimuth = rng.uniform(0, 2 * np.pi)
    sun = np.array(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    )
    # 0 at noon, 1 near the horizon: light crosses more air, which takes out blue first.
    low = float(np.clip(1.0 - (elevation - np.deg2rad(9)) / np.deg2rad(36), 0, 1))
    sun_color = np.array([1.0, 0.93 - 0.20 * low, 0.82 - 0.42 * low]) * (3.1 - 0.5 * low)
    zenith = srgb(58, 112, 190) * (1 - 0.25 * low) * np.exp(rng.normal(0, 0.08))
    horizon = (1 - low) * srgb(182, 208, 232) + low * srgb(236, 208, 176)
    horizon = horizon * np.exp(rng.normal(0, 0.05))
    palette = _palette(rng)
    ambient = (0.55 * zenith + 0.45 * horizon) * (1.05 + 0.15 * low)
    return Style(
        sun_3=sun,
        sun_color=sun_color.astype(np.float32),
        sky_zenith=zenith.astype(np.float32),
        sky_horizon=horizon.astype(np.float32),
        ambient=ambient.astype(np.float32),
        haze_m=float(np.exp(rng.uniform(np.log(500), np.log(2200)))),
        clouds=float(rng.choice([rng.uniform(0.0, 0.12), rng.uniform(0.2, 0.5)], p=[0.25, 0.75])),
        cloud_period=float(rng.uniform(9, 16)),
        exposure=_exposure(palette, sun_color, ambient, float(sun[2]))
        * np.float32(np.exp(rng.normal(0.0, 0.10))),
        relief_m=float(rng.uniform(0.8, 3.4)),
        mountains_m=float(rng.uniform(15, 130)),
        mesas=bool(rng.random() < 0.35),
        grass=float(rng.uniform(0.38, 0.68)),
        clutter=float(rng.uniform(0.18, 0.36)),
        bushes=float(rng.uniform(1.8, 4.2)),
        dry_bushes=float(rng.uniform(2.0, 4.0)),
        trees=float(rng.uniform(3.0, 7.0)),
        rocks=float(rng.uniform(2.8, 5.5)),
        logs=float(rng.uniform(2.0, 5.0)),
        flowers=float(rng.uniform(0.04, 0.11)),
        palette=palette,
    )
