# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from offroad_seg_train.synthetic import noise


def test_tile_repeats_without_a_seam():
    tile = noise.fractal_tile(1, 3.0, size=128)
    inside = np.abs(np.diff(tile, axis=1)).max()
    assert np.abs(tile[:, 0] - tile[:, -1]).max() < 1.5 * inside
    assert tile.mean() == pytest.approx(0.0, abs=1e-5)
    assert tile.std() == pytest.approx(1.0, abs=1e-4)


def test_tile_depends_on_its_seed_only():
    assert np.array_equal(noise.fractal_tile(3, 2.5, size=64), noise.fractal_tile(3, 2.5, size=64))
    assert not np.array_equal(noise.fractal_tile(3, 2.5, size=64), noise.fractal_tile(4, 2.5, size=64))


@pytest.mark.parametrize("n", [1, 2047, 2048, 5000])
def test_samples_are_the_tile_at_its_own_points(n):
    tile = noise.detail_tile()
    rng = np.random.default_rng(0)
    u, v = rng.integers(0, noise.TILE, (2, n))
    got = noise.sample_uv(tile, u.astype(np.float32), v.astype(np.float32))
    assert np.allclose(got, tile[v, u], atol=1e-5)


def test_relief_is_smooth_over_the_period():
    frame = noise.Frame2D.random(np.random.default_rng(5))
    x = np.linspace(0.0, 800.0, 8001)
    z = noise.relief(frame, x, np.zeros_like(x), 400.0)
    assert np.abs(np.diff(z)).max() < 0.03
    assert 0.4 < z.std() < 2.0


def test_smoothstep_runs_both_ways():
    x = np.array([-1.0, 0.5, 2.0])
    assert noise.smoothstep(0.0, 1.0, x).tolist() == [0.0, 0.5, 1.0]
    assert noise.smoothstep(1.0, 0.0, x).tolist() == [1.0, 0.5, 0.0]
