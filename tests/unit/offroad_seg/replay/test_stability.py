# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from offroad_seg.replay.stability import CellCounts, Stability, StabilitySum
from offroad_seg.types import Costmap, GridSpec


def costmap(cells, *, x=0.0, y=0.0, resolution=0.5):
    cost = np.array(cells, np.int8)
    return Costmap(cost, GridSpec(cost.shape[1], cost.shape[0], resolution, x, y), "odom", 0)


def test_only_free_to_lethal_and_back_are_flips():
    stability = Stability()
    stability.add(costmap([[0, 100, 60, -1, 0]]))
    found = stability.add(costmap([[100, 10, 100, 100, 60]]))
    assert (found["to_lethal"], found["to_free"]) == (1, 1)
    assert found["decided"] == 4
    assert found["cells"] == [[0, 0], [1, 0]]


def test_what_was_said_last_is_remembered_through_doubt():
    stability = Stability()
    for cells in ([[0, 0]], [[60, -1]], [[75, 75]]):
        found = stability.add(costmap(cells))
        assert found["to_lethal"] == 0
    assert stability.add(costmap([[100, 99]]))["to_lethal"] == 2


def test_cells_keep_their_place_while_the_window_moves():
    stability = Stability()
    stability.add(costmap([[0, 0, 0], [0, 0, 0]]))
    found = stability.add(costmap([[100, 100, 100], [0, 100, 100]], x=0.5, y=-0.5))
    # In the window that moved by one cell each way only two cells of its upper row were seen before.
    assert found["cells"] == [[2, 0]]
    assert found["to_lethal"] == 1


def test_a_window_that_leaps_or_has_other_cells_begins_anew():
    stability = Stability()
    stability.add(costmap([[0, 0]]))
    assert stability.add(costmap([[100, 100]], x=50.0))["to_lethal"] == 0
    assert stability.add(costmap([[0, 0]], x=50.0, resolution=0.25))["to_free"] == 0
    stability.reset()
    assert stability.add(costmap([[100, 100]], x=50.0, resolution=0.25))["to_lethal"] == 0


def test_the_worst_cells_stand_with_their_centres_in_metres():
    stability, total = Stability(), StabilitySum()
    for index in range(6):
        total.add(stability.add(costmap([[100 * (index % 2), 100 * (index // 4), 0]], x=-1.0, y=2.0)))
    result = total.result()
    assert result["flips"] == 6
    assert (result["to_lethal"], result["to_free"]) == (4, 2)
    assert result["decided_cells"] == 18
    assert result["flip_share"] == pytest.approx(6 / 18)
    assert result["worst"] == [{"x": -0.75, "y": 2.25, "flips": 5}, {"x": -0.25, "y": 2.25, "flips": 1}]
    assert StabilitySum().result() is None


def test_memory_of_cells_is_bounded_and_keeps_the_most_frequent():
    counts = CellCounts()
    for index in range(0, 150_000, 1000):
        counts.add([[7, 7]] + [[index + i, 0] for i in range(1000)], 1.0)
    assert len(counts._counts) <= 100_000
    assert counts.worst("n")[0] == {"x": 7.5, "y": 7.5, "n": 150}
