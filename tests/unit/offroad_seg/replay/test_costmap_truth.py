# SPDX-License-Identifier: Apache-2.0
"""Scores on grids small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from offroad_seg.replay.costmap_truth import CostmapScore, compare, near, sample
from offroad_seg.types import Costmap, GridSpec


def costmap(cells, *, x=0.0, y=0.0, resolution=1.0, frame="odom"):
    cost = np.array(cells, np.int8)
    return Costmap(cost, GridSpec(cost.shape[1], cost.shape[0], resolution, x, y), frame, 0)


def score(truth, found, x=1.5, y=1.0):
    total = CostmapScore()
    total.add(compare(found, truth, x, y))
    return total.result()


def test_sampling_looks_up_the_cell_under_each_centre_and_is_unknown_outside():
    truth = costmap([[1, 2, 3], [4, 5, 6]], x=-1.0, y=10.0)
    fine = GridSpec(4, 2, 0.5, 0.0, 10.5)
    np.testing.assert_array_equal(sample(truth, fine), [[2, 2, 3, 3], [5, 5, 6, 6]])
    outside = GridSpec(3, 1, 1.0, 1.0, 11.0)
    np.testing.assert_array_equal(sample(truth, outside), [[6, -1, -1]])


def test_only_cells_within_the_range_count():
    mask = near(GridSpec(5, 1, 1.0, 0.0, 0.0), 0.5, 0.5, radius=2.0)
    np.testing.assert_array_equal(mask, [[True, True, True, False, False]])


def test_figures_counted_by_hand():
    truth = costmap([[0, 20, 100, -1], [60, 100, 5, 5]])
    found = costmap([[0, 60, 10, 5], [10, 100, -1, 5]])
    result = score(truth, found)
    # Compared: 7 cells (one has no truth); known: 6.
    assert result["cells"] == 7
    assert result["known_share"] == pytest.approx(6 / 7)
    # Called free (< 50): 0, 10 on lethal, 10 on 60, 5 → 4, of which 0 and 5 are right.
    assert result["free_precision"] == pytest.approx(2 / 4)
    assert result["lethal_as_free"] == pytest.approx(1 / 2)
    assert result["mean_abs_error"] == pytest.approx((0 + 40 + 90 + 50 + 0 + 0) / 6)
    # With cells of 1 m the tolerance of 0.3 m is one cell: the obstacle at (0, 2) has no lethal cell straight beside it.
    assert result["lethal_precision"] == pytest.approx(1.0)
    assert result["lethal_recall"] == pytest.approx(1 / 2)


def test_an_obstacle_found_three_cells_beside_is_found_and_five_beside_is_not():
    truth, beside, far = (np.zeros((1, 12), np.int8) for _ in range(3))
    truth[0, 2], beside[0, 5], far[0, 7] = 100, 100, 100
    for cells, recall in ((beside, 1.0), (far, 0.0)):
        result = score(costmap(truth, resolution=0.1), costmap(cells, resolution=0.1), 0.5, 0.0)
        assert result["lethal_recall"] == recall
        assert result["lethal_precision"] == recall


def test_what_is_unknown_is_never_a_mistake():
    result = score(costmap([[100, 0]]), costmap([[-1, -1]]))
    assert result["known_share"] == 0.0
    for key in ("free_precision", "lethal_recall", "lethal_precision", "lethal_as_free", "mean_abs_error"):
        assert result[key] is None


def test_grids_of_two_frames_are_not_compared_and_that_is_said():
    result = score(costmap([[0]]), costmap([[0]], frame="base_link"))
    assert result["frames"] == 0
    assert "base_link" in result["skipped"]


def test_frames_add_up():
    truth = costmap([[0, 100]])
    total = CostmapScore()
    total.add(compare(costmap([[0, 0]]), truth, 1.0, 0.5))
    total.add(compare(costmap([[0, 100]]), truth, 1.0, 0.5))
    result = total.result()
    assert result["frames"] == 2
    assert result["free_precision"] == pytest.approx(2 / 3)
