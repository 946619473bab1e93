# SPDX-License-Identifier: Apache-2.0
"""Several cameras in one map."""

from __future__ import annotations

import numpy as np
import pytest

from offroad_seg.errors import OffroadSegError
from offroad_seg.mapping.rolling import RollingCostmap
from offroad_seg.types import OBSTACLE, UNLABELLED, GridObservation
from tests.unit.offroad_seg.mapping.test_rolling import GRASS, ONTOLOGY, ROCK, SIZE, TRACK, S, pose, seen


def halves(label: int, stamp_ns: int, *, left: bool) -> GridObservation:
    """One half of the window seen as one class."""
    labels, evidence = np.full((8, 12), UNLABELLED, np.uint8), np.zeros((8, 12), np.float32)
    side = slice(0, 6) if left else slice(6, 12)
    labels[:, side], evidence[:, side] = label, 1.0
    return GridObservation(labels, evidence, SIZE.around(0, 0), stamp_ns)


def test_several_sources_share_the_map_each_with_its_own_time():
    costmap = RollingCostmap(ONTOLOGY, SIZE)
    costmap.update(halves(GRASS, 5 * S, left=True), pose(0, 0), source="left")
    late = costmap.update(halves(ROCK, 4 * S, left=False), pose(0, 0), source="right")
    assert (late.cost_HW[:, :6] == 40).all()
    assert (late.cost_HW[:, 6:] == 100).all()
    assert late.stamp_ns == costmap.stamp_ns == 5 * S
    assert (costmap.newest_ns("left"), costmap.newest_ns("right"), costmap.newest_ns("rear")) == (
        5 * S,
        4 * S,
        None,
    )
    with pytest.raises(OffroadSegError, match=r"time runs back by 1\.000 s"):
        costmap.update(halves(ROCK, 3 * S, left=False), pose(0, 0), source="right")


def test_an_older_observation_of_another_source_counts_less_and_moves_nothing():
    costmap = RollingCostmap(ONTOLOGY, SIZE, decay_time=1.0, min_evidence=0.3)
    costmap.update(seen(TRACK, 10 * S, 0.0, (0.2, 0.0)), pose(0.2, 0.0), source="front")
    late = costmap.update(seen(GRASS, 9 * S, 1.0), pose(0.0, 0.0), source="rear")
    assert late.grid == SIZE.around(0.2, 0.0)
    # 1 s old: worth 0.37. The window's two newest columns were not in its view.
    assert (late.cost_HW[:, :10] == 40).all()
    assert (late.cost_HW[:, 10:] == -1).all()
    older = costmap.update(seen(GRASS, 8 * S, 1.0), pose(0.0, 0.0), source="third")
    np.testing.assert_array_equal(older.cost_HW, late.cost_HW)
    fresh = RollingCostmap(ONTOLOGY, SIZE, decay_time=1.0, min_evidence=0.3)
    fresh.update(seen(TRACK, 10 * S, 0.0), pose(0, 0), source="front")
    assert (fresh.update(seen(GRASS, 8 * S), pose(0, 0), source="rear").cost_HW == -1).all()


def test_what_a_dead_source_said_last_is_forgotten_and_nothing_else():
    costmap = RollingCostmap(ONTOLOGY, SIZE)
    costmap.update(seen(GRASS, 0), source="left")
    costmap.update(halves(GRASS, 1, left=False), source="right")
    costmap.forget("nobody")
    assert (costmap.costmap().cost_HW == 40).all()
    costmap.forget("left")
    after = costmap.costmap().cost_HW
    assert (after[:, :6] == -1).all()
    assert (after[:, 6:] == 40).all()
    # The rock that it had seen there does not come back with its first new look.
    back = costmap.update(halves(TRACK, 2, left=True), source="left").cost_HW
    assert (back[:, :6] == 0).all()
    costmap.reset()
    assert costmap.newest_ns("left") is None


def test_after_a_reset_nobody_has_spoken_yet():
    """Who saw a cell before the clock jumped back must not keep it from being forgotten with its new source."""
    costmap = RollingCostmap(ONTOLOGY, SIZE)
    costmap.update(seen(GRASS, 5 * S), source="left")
    costmap.update(seen(GRASS, 6 * S), source="right")
    costmap.reset()
    costmap.update(seen(GRASS, 0), source="left")
    costmap.forget("left")
    assert (costmap.costmap().cost_HW == -1).all()


def test_an_obstacle_by_shape_is_lethal_whatever_classes_cost():
    costmap = RollingCostmap(ONTOLOGY, SIZE)
    for name in ("track", "grass", "rock", "sky"):
        costmap.set_class_cost(name, 0)
    assert (costmap.update(seen(OBSTACLE)).cost_HW == 100).all()
