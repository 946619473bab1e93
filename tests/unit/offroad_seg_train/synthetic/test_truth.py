# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from offroad_seg_train.synthetic.terrain import HALF
from offroad_seg_train.synthetic.truth import RESOLUTION, VEHICLE_HEIGHT, below_vehicle_height, true_costmap
from offroad_seg_train.synthetic.world import GROUND


@pytest.fixture(scope="module")
def truth(world):
    return true_costmap(world)


def _cell(grid, x, y):
    i = np.floor((x - grid.origin_x) / grid.resolution).astype(int)
    j = np.floor((y - grid.origin_y) / grid.resolution).astype(int)
    return j, i


def test_grid_is_whole_and_its_values_are_costs(truth, ontology):
    n = round(2 * HALF / RESOLUTION)
    assert truth.cost_HW.shape == (n, n)
    assert truth.cost_HW.dtype == np.int8
    assert (truth.grid.width, truth.grid.height, truth.grid.origin_x) == (n, n, -HALF)
    values = set(np.unique(truth.cost_HW).tolist())
    # From above no cell shows the sky, and every other class lies somewhere.
    assert values == {5, 20, 25, 45, 75, 85, 100}
    assert values < {int(v) for v in ontology.costs_256} | {100}


def test_grid_agrees_with_rays_from_above(world, truth, ontology):
    rng = np.random.default_rng(0)
    n = truth.grid.width
    j, i = rng.integers(0, n, (2, 4000))
    x0, y0 = -HALF + i * RESOLUTION, -HALF + j * RESOLUTION
    worst = np.full(len(i), -1)
    tree = np.zeros(len(i), bool)
    for dx in (0.25, 0.75):
        for dy in (0.25, 0.75):
            start = np.column_stack([x0 + dx * RESOLUTION, y0 + dy * RESOLUTION, np.full(len(i), 200.0)])
            down = np.tile(np.array([0, 0, -1], np.float32), (len(i), 1))
            hit = world.scene.cast(start.astype(np.float32), down).triangle_N
            cost = ontology.costs_256[world.triangle_class_F[hit]].astype(int)
            ground = world.triangle_kind_F[hit] == GROUND
            centre = world.ground_cover(x0 + RESOLUTION / 2, y0 + RESOLUTION / 2)
            cost[ground] = ontology.costs_256[world.ground_classes(centre)][ground]
            worst = np.maximum(worst, cost)
            tree |= world.triangle_class_F[hit] == ontology.id_of("Trees")
    # Where a crown hides what is below, the two may differ; elsewhere a ray at a cell's very edge may.
    same = truth.cost_HW[j, i] == worst
    assert same[~tree].mean() > 0.998


def test_what_stands_is_lethal_and_the_trail_is_not(world, truth):
    names = np.array(world.things.obstacle_names)
    for name in ("Trees", "Rocks"):
        x, y, _ = world.things.obstacles_K3[names == name].T
        lethal = truth.cost_HW[_cell(truth.grid, x, y)] == 100
        assert lethal.mean() > 0.97, name
    x, y, _ = world.things.obstacles_K3[names == "Lush Bushes"].T
    assert np.isin(truth.cost_HW[_cell(truth.grid, x, y)], [85, 100]).mean() > 0.9
    on_trail = truth.cost_HW[_cell(truth.grid, *world.terrain.trail.xy_N2.T)]
    assert on_trail.max() < 100
    assert (on_trail == 5).mean() > 0.95


def test_only_high_parts_of_trees_are_driven_under(world, ontology):
    touch = below_vehicle_height(world)
    high = ~touch
    assert high.any()
    assert (world.triangle_class_F[high] == ontology.id_of("Trees")).all()
    corners = world.mesh.vertices_N3[world.mesh.faces_M3[high]]
    above = corners[..., 2] - world.terrain.height(corners[..., 0], corners[..., 1])
    assert above.min() >= VEHICLE_HEIGHT


def test_crown_above_the_vehicle_is_free_below(world, truth, ontology):
    """Cells under high leaves but beside every trunk have the cost of the ground."""
    high = ~below_vehicle_height(world)
    middle = world.mesh.vertices_N3[world.mesh.faces_M3[high]].mean(1)
    inside = (np.abs(middle[:, :2]) < HALF - 1).all(1)
    cost = truth.cost_HW[_cell(truth.grid, middle[inside, 0], middle[inside, 1])]
    assert (cost < 100).mean() > 0.3
