# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from offroad_seg_train.synthetic.noise import Frame2D
from offroad_seg_train.synthetic.photo import develop
from offroad_seg_train.synthetic.sky import clear_sky, sky
from offroad_seg_train.synthetic.style import random_style, srgb


def test_styles_are_physical_and_varied():
    styles = [random_style(np.random.default_rng(k)) for k in range(60)]
    heights = np.rad2deg([np.arcsin(s.sun_3[2]) for s in styles])
    assert heights.min() > 8
    assert heights.max() < 66
    assert np.ptp(heights) > 40
    for s in styles:
        assert np.linalg.norm(s.sun_3) == pytest.approx(1.0)
        # Sunlight is never bluer than white; the zenith always is.
        assert s.sun_color[0] >= s.sun_color[2]
        assert s.sky_zenith[2] > s.sky_zenith[0]
        assert 0 < s.palette.soil.max() < 1


def test_sky_glows_at_the_sun_and_is_finite():
    style = random_style(np.random.default_rng(4))
    rng = np.random.default_rng(1)
    d = rng.normal(0, 1, (5000, 3))
    d[:, 2] = np.abs(d[:, 2])
    d = (d / np.linalg.norm(d, axis=1, keepdims=True)).astype(np.float32)
    color = sky(style, Frame2D.random(rng), d)
    assert np.isfinite(color).all()
    assert color.min() >= 0
    at_sun = clear_sky(style, style.sun_3[None].astype(np.float32))
    opposite = clear_sky(style, (style.sun_3 * [-1, -1, 1])[None].astype(np.float32))
    assert at_sun.sum() > 3 * opposite.sum()


def test_srgb_matches_known_values():
    assert srgb(0, 255, 188).tolist() == pytest.approx([0.0, 1.0, 0.503], abs=2e-3)


def test_tone_curve_rises_and_keeps_black_and_white():
    ramp = np.linspace(0, 20, 64, dtype=np.float32)
    flat = np.repeat(np.repeat(ramp[None, :, None], 64, 0), 3, 2)
    image = develop(flat, np.ones(3, np.float32), 0.0, np.random.default_rng(0))
    row = image[32, 4:60, 1].astype(int)
    assert (np.diff(row) >= 0).all()
    black = develop(np.zeros((16, 24, 3), np.float32), np.ones(3, np.float32), 0.0, np.random.default_rng(0))
    assert black.max() == 0
