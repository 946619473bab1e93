# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.errors import InputError, OffroadSegError, OntologyError
from offroad_seg.mapping.grid import GridSize
from offroad_seg.mapping.rolling import RollingCostmap
from offroad_seg.ontology import Ontology
from offroad_seg.transforms import Transform
from offroad_seg.types import UNLABELLED, GridObservation

ONTOLOGY = Ontology.from_dict(
    {
        "name": "test",
        "classes": [
            {"name": "track", "color": [200, 180, 140], "raw": [1], "cost": 0},
            {"name": "grass", "color": [100, 200, 80], "raw": [2], "cost": 40},
            {"name": "rock", "color": [90, 90, 90], "raw": [3], "cost": "lethal", "standing": True},
            {"name": "sky", "color": [130, 180, 230], "raw": [4], "cost": "unknown"},
        ],
    }
)
TRACK, GRASS, ROCK, SKY = range(4)
SIZE = GridSize(1.2, 0.8, 0.1)  # 12 × 8 cells
S = 1_000_000_000


def pose(x: float, y: float) -> Transform:
    return Transform.from_rpy(0, 0, 0.3, (x, y, 0.1))


def seen(label: int, stamp_ns: int = 0, evidence: float = 1.0, at: tuple[float, float] = (0.0, 0.0)):
    """Every cell of the window around a point has one label."""
    labels = np.full((8, 12), label, np.uint8)
    return GridObservation(labels, np.full((8, 12), evidence, np.float32), SIZE.around(*at), stamp_ns)


def one_cell(
    label: int, stamp_ns: int, odom_xy: tuple[float, float], at: tuple[float, float], evidence: float = 1.0
):
    """Only the cell at a point of odom, in the window around another point."""
    grid = SIZE.around(*at)
    labels = np.full((8, 12), UNLABELLED, np.uint8)
    weights = np.zeros((8, 12), np.float32)
    column = math.floor((odom_xy[0] - grid.origin_x) / 0.1 + 1e-9)
    row = math.floor((odom_xy[1] - grid.origin_y) / 0.1 + 1e-9)
    labels[row, column] = label
    weights[row, column] = evidence
    return GridObservation(labels, weights, grid, stamp_ns)


def known_cells(costmap) -> list[tuple[float, float, int]]:
    rows, columns = np.nonzero(costmap.cost_HW != -1)
    grid = costmap.grid
    return [
        (
            round(grid.origin_x + (c + 0.5) * 0.1, 3),
            round(grid.origin_y + (r + 0.5) * 0.1, 3),
            int(costmap.cost_HW[r, c]),
        )
        for r, c in zip(rows, columns, strict=True)
    ]


def test_cells_stay_in_place_while_the_window_moves():
    costmap = RollingCostmap(ONTOLOGY, SIZE, decay_time=1e6)
    first = costmap.update(one_cell(ROCK, 0, (0.35, 0.15), (0.0, 0.0)), pose(0.0, 0.0))
    assert known_cells(first) == [(0.35, 0.15, 100)]
    for step in range(1, 9):
        at = (0.07 * step, -0.03 * step)
        moved = costmap.update(seen(TRACK, step, 0.0, at), pose(*at))
        assert known_cells(moved) == [(0.35, 0.15, 100)]
        assert moved.grid == SIZE.around(*at)
    back = costmap.update(seen(TRACK, 20, 0.0), pose(0.0, 0.0))
    assert known_cells(back) == [(0.35, 0.15, 100)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=12), st.integers(0, 9))
def test_the_wrapped_store_agrees_with_a_plain_dictionary_of_cells(path, seed):
    """Whatever the vehicle's path, each cell holds what a map without a window would hold, or nothing if it left."""
    rng = np.random.default_rng(seed)
    costmap = RollingCostmap(ONTOLOGY, SIZE, decay_time=1e9, max_evidence=1e6, min_evidence=0.5)
    cells: dict[tuple[int, int], np.ndarray] = {}
    for i, at in enumerate(path):
        grid = SIZE.around(*at)
        labels = rng.integers(0, 3, (8, 12)).astype(np.uint8)
        evidence = (rng.integers(0, 3, (8, 12)) / 2).astype(np.float32)
        labels[evidence == 0] = UNLABELLED
        result = costmap.update(GridObservation(labels, evidence, grid, i), pose(*at))
        x0, y0 = round(grid.origin_x / 0.1), round(grid.origin_y / 0.1)
        window = {(x0 + c, y0 + r) for r in range(8) for c in range(12)}
        cells = {k: v for k, v in cells.items() if k in window}
        for r, c in zip(*np.nonzero(evidence), strict=True):
            cells.setdefault((x0 + c, y0 + r), np.zeros(3))[labels[r, c]] += evidence[r, c]
        expected = np.full((8, 12), -1)
        for (x, y), counts in cells.items():
            mean = (counts @ [0, 40, 98]) / counts.sum()
            expected[y - y0, x - x0] = 100 if counts[ROCK] >= 0.25 * counts.sum() else round(mean)
        np.testing.assert_array_equal(result.cost_HW, expected)


def test_a_window_that_jumps_away_remembers_nothing():
    costmap = RollingCostmap(ONTOLOGY, SIZE, decay_time=1e6)
    costmap.update(seen(ROCK), pose(0, 0))
    assert known_cells(costmap.update(seen(TRACK, 1, 0.0, (50.0, -80.0)), pose(50.0, -80.0))) == []
    assert known_cells(costmap.update(seen(TRACK, 2, 0.0), pose(0, 0))) == []


def test_evidence_is_weighed_and_lethal_wins_from_its_share():
    costmap = RollingCostmap(ONTOLOGY, SIZE, decay_time=1e6, lethal_share=0.3)
    costmap.update(seen(TRACK, 0, 0.75))
    assert (costmap.update(seen(GRASS, 1, 0.25)).cost_HW == 10).all()
    # 0.25 of 1.25 is lethal: below the share, so it counts 98 in the mean: (0.25·40 + 0.25·98) / 1.25.
    assert (costmap.update(seen(ROCK, 2, 0.25)).cost_HW == 28).all()
    assert (costmap.update(seen(ROCK, 3, 0.25)).cost_HW == 100).all()


def test_cells_are_unknown_until_there_is_enough_evidence():
    costmap = RollingCostmap(ONTOLOGY, SIZE, min_evidence=0.5)
    assert (costmap.update(seen(TRACK, 0, 0.2)).cost_HW == -1).all()
    assert (costmap.update(seen(TRACK, 1, 0.2)).cost_HW == -1).all()
    assert (costmap.update(seen(TRACK, 2, 0.2)).cost_HW == 0).all()


def test_cells_that_are_not_seen_again_go_unknown_on_time():
    costmap = RollingCostmap(ONTOLOGY, SIZE, decay_time=2.0, min_evidence=0.5)
    costmap.update(seen(TRACK, 0, 1.0))
    after = 2.0 * math.log(1.0 / 0.5)
    assert (costmap.update(seen(TRACK, int((after - 0.01) * S), 0.0)).cost_HW == 0).all()
    assert (costmap.update(seen(TRACK, int((after + 0.01) * S), 0.0)).cost_HW == -1).all()


def test_ageing_holds_over_hours_and_long_gaps():
    """The store is scaled back now and then: that must not be seen from outside."""
    costmap = RollingCostmap(ONTOLOGY, SIZE, decay_time=1.0, min_evidence=0.5, max_evidence=4.0)
    for i in range(200):
        assert (costmap.update(seen(GRASS, i * S)).cost_HW == 40).all()
    assert (costmap.update(seen(GRASS, 200 * S, 0.0)).cost_HW == 40).all()
    assert (costmap.update(seen(GRASS, 10_000 * S, 0.0)).cost_HW == -1).all()
    assert (costmap.update(seen(ROCK, 10_001 * S)).cost_HW == 100).all()


def test_a_saturated_cell_believes_a_change_after_few_looks():
    costmap = RollingCostmap(ONTOLOGY, SIZE, decay_time=1e6, max_evidence=4.0, lethal_share=0.25)
    for i in range(100):
        costmap.update(seen(TRACK, i))
    looks = 0
    while (costmap.update(seen(ROCK, 100 + looks)).cost_HW != 100).any():
        looks += 1
    assert looks <= 2
    for i in range(200, 208):
        result = costmap.update(seen(TRACK, i))
    assert (result.cost_HW < 98).all()


def test_unknown_classes_and_unlabelled_ground_are_never_free():
    costmap = RollingCostmap(ONTOLOGY, SIZE)
    assert (costmap.update(seen(SKY)).cost_HW == -1).all()
    assert (costmap.update(seen(UNLABELLED, 1)).cost_HW == -1).all()
    # What says nothing must not water down what does.
    assert (costmap.update(seen(GRASS, 2)).cost_HW == 40).all()
    graded = RollingCostmap(ONTOLOGY, SIZE, unlabelled_cost=70)
    assert (graded.update(seen(UNLABELLED)).cost_HW == 70).all()
    with pytest.raises(InputError, match="cannot be free"):
        RollingCostmap(ONTOLOGY, SIZE, unlabelled_cost=0)


def test_costs_change_live_for_what_was_seen_before():
    costmap = RollingCostmap(ONTOLOGY, SIZE)
    costmap.update(seen(GRASS))
    costmap.set_class_cost("grass", "lethal")
    assert (costmap.costmap().cost_HW == 100).all()
    costmap.set_class_cost("grass", "unknown")
    assert (costmap.costmap().cost_HW == -1).all()
    costmap.set_class_cost("grass", 7)
    assert (costmap.costmap().cost_HW == 7).all()
    with pytest.raises(OntologyError, match="no class 'mud'"):
        costmap.set_class_cost("mud", 3)
    with pytest.raises(OntologyError, match="not a cost"):
        costmap.set_class_cost("grass", 99)


def test_time_that_runs_back_is_refused_until_reset():
    costmap = RollingCostmap(ONTOLOGY, SIZE)
    costmap.update(seen(GRASS, 5 * S))
    with pytest.raises(OffroadSegError, match=r"time runs back by 2\.000 s"):
        costmap.update(seen(GRASS, 3 * S))
    costmap.reset()
    again = costmap.update(seen(GRASS, 3 * S, 0.0))
    assert (again.cost_HW == -1).all()
    assert again.stamp_ns == 3 * S


def test_unknown_is_the_whole_grid_and_forgets_nothing():
    costmap = RollingCostmap(ONTOLOGY, SIZE, frame_id="map")
    assert (costmap.unknown(7).cost_HW == -1).all()
    costmap.update(seen(GRASS, 0, 1.0, (4.0, 2.0)), pose(4.0, 2.0))
    blind = costmap.unknown(9)
    assert (blind.stamp_ns, blind.frame_id, blind.grid) == (9, "map", SIZE.around(4.0, 2.0))
    assert (blind.cost_HW == -1).all()
    assert costmap.unknown(9, pose(5.0, 2.0)).grid == SIZE.around(5.0, 2.0)
    assert (costmap.costmap().cost_HW == 40).all()


def test_results_are_the_callers_own():
    costmap = RollingCostmap(ONTOLOGY, SIZE)
    first = costmap.update(seen(GRASS, 0))
    costmap.update(seen(ROCK, 1))
    assert (first.cost_HW == 40).all()
    assert first.cost_HW.dtype == np.int8


def test_values_are_those_of_an_occupancy_grid():
    rng = np.random.default_rng(0)
    costmap = RollingCostmap(ONTOLOGY, SIZE, lethal_share=1.0)
    for i in range(30):
        labels = rng.integers(0, 4, (8, 12)).astype(np.uint8)
        evidence = rng.random((8, 12), np.float32)
        cost = costmap.update(GridObservation(labels, evidence, SIZE.around(0, 0), i)).cost_HW
        assert np.isin(cost, [*range(-1, 99), 100]).all()


def test_the_same_input_gives_the_same_grid():
    def drive():
        rng = np.random.default_rng(1)
        costmap = RollingCostmap(ONTOLOGY, SIZE, decay_time=0.5)
        for i in range(40):
            labels = rng.integers(0, 4, (8, 12)).astype(np.uint8)
            at = (0.05 * i, 0.02 * i)
            observation = GridObservation(
                labels, rng.random((8, 12), np.float32), SIZE.around(*at), i * S // 20
            )
            yield costmap.update(observation, pose(*at)).cost_HW

    for one, other in zip(drive(), drive(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_cells_of_another_size_are_refused():
    costmap = RollingCostmap(ONTOLOGY, GridSize(2.4, 1.6, 0.2))
    with pytest.raises(InputError, match=r"0\.1 m, the map's 0\.2 m"):
        costmap.update(seen(GRASS))


def test_arrays_of_another_shape_than_the_grid_are_refused():
    costmap = RollingCostmap(ONTOLOGY, SIZE)
    good = seen(GRASS)
    for name, dtype in (("labels_HW", np.uint8), ("evidence_HW", np.float32), ("confidence_HW", np.uint8)):
        with pytest.raises(InputError, match=r"\(8, 12\) cells, one of its arrays \(8, 11\)"):
            costmap.update(replace(good, **{name: np.ones((8, 11), dtype)}))


@pytest.mark.parametrize(
    ("numbers", "named"),
    [
        ({"decay_time": 0.0}, "decay_time"),
        ({"min_evidence": 0.0}, "min_evidence"),
        ({"min_evidence": 5.0, "max_evidence": 4.0}, "max_evidence"),
        ({"lethal_share": 0.0}, "lethal_share"),
        ({"lethal_share": math.nan}, "lethal_share"),
    ],
)
def test_numbers_out_of_bounds_are_refused(numbers, named):
    with pytest.raises(InputError, match=named):
        RollingCostmap(ONTOLOGY, SIZE, **numbers)
