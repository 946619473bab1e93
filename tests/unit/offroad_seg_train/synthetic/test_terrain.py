# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from offroad_seg_train.synthetic.raycast import RayScene
from offroad_seg_train.synthetic.terrain import HALF


def test_height_is_that_of_the_mesh(world):
    vertices, _, faces = world.terrain.mesh()
    scene = RayScene(vertices, faces)
    rng = np.random.default_rng(1)
    xy = np.concatenate([rng.uniform(-HALF, HALF, (3000, 2)), rng.uniform(-600, 600, (1000, 2))])
    start = np.column_stack([xy, np.full(len(xy), 500.0)]).astype(np.float32)
    hits = scene.cast(start, np.tile(np.array([0, 0, -1], np.float32), (len(xy), 1)))
    assert (hits.triangle_N >= 0).all()
    z = 500.0 - hits.distance_N
    assert np.abs(z - world.terrain.height(xy[:, 0], xy[:, 1])).max() < 2e-3


def test_trail_is_a_closed_loop_inside_the_square(world):
    trail = world.terrain.trail
    steps = np.linalg.norm(np.diff(np.concatenate([trail.xy_N2, trail.xy_N2[:1]]), axis=0), axis=1)
    assert steps.max() < 0.3
    assert np.abs(trail.xy_N2).max() < HALF - 15
    assert 150 < trail.length < 600
    here, heading = trail.at(np.array([12.3, 12.3 + trail.length]))
    assert np.allclose(here[0], here[1], atol=1e-6)
    assert heading[0] == pytest.approx(heading[1])


def test_trail_can_be_driven(world):
    """Along the trail no slope is steeper than 25 %, and nothing grows in its middle."""
    trail = world.terrain.trail
    z = world.terrain.height(*trail.xy_N2.T)
    rise = np.abs(np.roll(z, -8) - z) / 2.0
    assert rise.max() < 0.25
    assert world.ground_cover(*trail.xy_N2.T).max() < 0.05


def test_near_trail_agrees_with_the_exact_distance(world):
    rng = np.random.default_rng(2)
    x, y = rng.uniform(-HALF + 1, HALF - 1, (2, 2000))
    exact = world.terrain.trail_distance(x, y)
    assert np.abs(world.terrain.near_trail(x, y) - exact).max() < 0.45


def test_far_ranges_are_bare(world):
    angle = np.linspace(0, 6.28, 100)
    cover = world.terrain.cover(900 * np.cos(angle), 900 * np.sin(angle), np.ones(100))
    assert cover.max() == 0.0
