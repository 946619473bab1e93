# SPDX-License-Identifier: Apache-2.0
"""The sky's radiance in any direction: gradient, glow around the sun, sunlit clouds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offroad_seg_train.synthetic.noise import TILE, Frame2D, cloud_tile, sample_uv, smoothstep

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg_train.synthetic.style import Style

    F32 = NDArray[np.float32]


def clear_sky(style: Style, directions_N3: F32) -> F32:
    """Radiance without clouds, shape (N, 3), of unit directions."""
    up = np.clip(directions_N3[:, 2:], 0.0, 1.0)
    # Air mass grows toward the horizon: the haze takes over within the last twenty degrees.
    share = np.exp(-up * 4.2)
    color = style.sky_zenith * (1 - share) + style.sky_horizon * share
    toward = np.clip(directions_N3 @ style.sun_3.astype(np.float32), 0.0, 1.0)[:, None]
    glow = 0.10 * toward**6 + 0.22 * toward**60 + 0.9 * toward**900
    color = color + style.sun_color * glow
    disc = (toward > np.cos(np.deg2rad(0.45))) * 30.0
    return (color + style.sun_color * disc).astype(np.float32)


def air(style: Style, directions_N3: F32) -> F32:
    """What the air itself sends toward the viewer along level views: the horizon's colour, brighter below the sun."""
    toward = np.clip(directions_N3 @ style.sun_3.astype(np.float32), 0.0, 1.0)
    glow = 0.09 * toward**4
    share = np.float32(np.exp(-0.06 * 4.2))
    base = style.sky_zenith * (1 - share) + style.sky_horizon * share
    return (base + glow[:, None] * style.sun_color).astype(np.float32)


def sky(style: Style, frame: Frame2D, directions_N3: F32) -> F32:
    """Radiance with clouds, shape (N, 3), of unit directions."""
    color = clear_sky(style, directions_N3)
    if style.clouds < 0.02:
        return color
    up = directions_N3[:, 2]
    high = np.flatnonzero(up > 0.015)
    if len(high) == 0:
        return color
    d = directions_N3[high]
    # A layer that curves with the earth: clouds near the horizon shrink but do not become streaks.
    height = 1.0 / (d[:, 2] + 0.10)
    px, py = d[:, 0] * height, d[:, 1] * height
    u, v = frame.uv(px, py, style.cloud_period)
    density = sample_uv(cloud_tile(), u, v)
    threshold = _threshold(style.clouds)
    cover = smoothstep(threshold, threshold + 0.95, density[:, 0])
    # Thickness toward the sun: edges that face it shine, the far side is grey.
    sun = style.sun_3 / max(np.linalg.norm(style.sun_3[:2]), 0.2)
    shift = 0.018 * TILE
    su = frame.cos * sun[0] + frame.sin * sun[1]
    sv = -frame.sin * sun[0] + frame.cos * sun[1]
    ahead = sample_uv(cloud_tile(), (u + su * shift) % TILE, (v + sv * shift) % TILE)
    thick = np.clip(0.55 * density[:, 1] + 0.45 * ahead[:, 1] - threshold + 0.35, 0.0, 3.0)
    lit = np.exp(-0.60 * thick)[:, None]
    toward = np.clip(d @ style.sun_3.astype(np.float32), 0.0, 1.0)[:, None]
    bright = style.sun_color * (0.33 + 0.16 * toward**4) * lit
    shade = 0.6 * style.sky_horizon + 0.4 * style.ambient
    cloud = bright + shade * (0.50 + 0.35 * lit)
    fade = smoothstep(0.015, 0.16, d[:, 2])
    alpha = (0.94 * cover * fade)[:, None]
    color[high] = color[high] * (1 - alpha) + cloud * alpha
    return color


def _threshold(cover: float) -> float:
    """Density above which a share ``cover`` of the sky lies."""
    return float(np.quantile(cloud_tile()[::8, ::8, 0], 1.0 - cover)) - 0.15
