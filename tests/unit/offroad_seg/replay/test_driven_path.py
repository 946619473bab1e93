# SPDX-License-Identifier: Apache-2.0
"""The ground that was driven over, on drives whose cells can be counted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.errors import InputError
from offroad_seg.mapping.grid import GridSize
from offroad_seg.replay.driven_path import DrivenPath, DrivenSum, Footprint, _cells, _keys
from offroad_seg.transforms import Transform
from offroad_seg.types import Costmap

SIZE = GridSize(30.0, 30.0, 0.25)


def drive(cost_of, poses, footprint=None):
    """The figures of a drive along (x, y, yaw); ``cost_of(pose, x, y)`` gives the cost of cells."""
    path, total = DrivenPath(footprint or Footprint(2.0, 1.0)), DrivenSum()
    for pose in poses:
        grid = SIZE.around(pose[0], pose[1])
        x = grid.origin_x + (np.arange(grid.width) + 0.5) * grid.resolution
        y = grid.origin_y + (np.arange(grid.height) + 0.5) * grid.resolution
        cost = np.broadcast_to(cost_of(pose, *np.meshgrid(x, y)), (grid.height, grid.width)).astype(np.int8)
        total.add(path.add(Costmap(cost, grid, "odom", 0), Transform.from_rpy(0, 0, pose[2], (*pose[:2], 0))))
    return total.result()


def straight(metres=20.0, step=0.5):
    return [(step * i, 0.0, 0.0) for i in range(int(metres / step) + 1)]


def test_free_ground_was_rightly_free():
    result = drive(lambda *_: 0, straight())
    assert result["metres"] == pytest.approx(20.0)
    assert result["false_lethal_rate"] == 0.0
    assert result["unknown_rate"] == 0.0
    assert [b["false_lethal_rate"] for b in result["by_distance"]] == [0.0] * 4
    assert all(b["looks"] > 0 for b in result["by_distance"])
    assert result["worst"] == []


def test_where_everything_is_lethal_the_rate_is_one():
    result = drive(lambda *_: 100, straight())
    assert result["false_lethal_rate"] == 1.0
    assert [b["false_lethal_rate"] for b in result["by_distance"]] == [1.0] * 4
    assert len(result["worst"]) == 10


def test_where_nothing_was_known_nothing_was_false_and_the_rate_of_unknown_is_one():
    result = drive(lambda *_: -1, straight())
    assert result["unknown_rate"] == 1.0
    assert result["false_lethal_rate"] is None


def test_only_what_lies_under_the_wheels_counts():
    """Lethal to both sides, 0.75 m off the middle: a narrow vehicle passes, a wide one does not."""
    walls = lambda pose, x, y: np.where(np.abs(y) > 0.75, 100, 0)  # noqa: E731
    assert drive(walls, straight(), Footprint(2.0, 1.4))["false_lethal_rate"] == 0.0
    assert drive(walls, straight(), Footprint(2.0, 3.0))["false_lethal_rate"] == pytest.approx(0.5, abs=0.03)


def test_distances_are_told_apart():
    """What is nearer than 5 m is free, what is farther unknown."""
    view = lambda pose, x, y: np.where(np.hypot(x - pose[0], y - pose[1]) < 5.0, 0, -1)  # noqa: E731
    result = drive(view, straight())
    near, middle, far, farther = (b["unknown_rate"] for b in result["by_distance"])
    assert near == 0.0
    assert 0.3 < middle < 0.7
    assert far == farther == 1.0


def test_a_mistake_stands_with_its_place():
    """One lethal patch on the path, at x 11 to 12."""
    patch = lambda pose, x, y: np.where((np.abs(x - 11.5) < 0.5) & (np.abs(y) < 0.3), 100, 0)  # noqa: E731
    result = drive(patch, straight(25))
    assert 0 < result["false_lethal_rate"] < 0.1
    assert all(11 < c["x"] < 12 and abs(c["y"]) < 0.3 for c in result["worst"])


def test_standing_still_and_reversing_say_nothing():
    assert drive(lambda *_: 100, [(0.0, 0.0, 0.0)] * 30)["looks"] == 0
    back = drive(lambda *_: 100, [(-x, y, yaw) for x, y, yaw in straight()])
    assert back["looks"] == 0


def test_a_leap_of_the_odometry_is_no_drive():
    poses = [*straight(4), *[(x + 100, y, yaw) for x, y, yaw in straight(4)]]
    assert drive(lambda *_: 0, poses)["metres"] == pytest.approx(8.0)


def test_coarse_and_fine_steps_cover_the_same_ground():
    """Between two frames the vehicle is moved in steps smaller than a cell."""
    poses = [(10 * math.sin(a), 10 - 10 * math.cos(a), a) for a in np.linspace(0, 2.0, 9)]
    fine = [(10 * math.sin(a), 10 - 10 * math.cos(a), a) for a in np.linspace(0, 2.0, 200)]
    path = [DrivenPath(Footprint()) for _ in range(2)]
    covered = []
    for each, along in zip(path, (poses, fine), strict=True):
        each._resolution = 0.25
        cells = set()
        for pose in along:
            cells |= {tuple(c) for c in [*each._entered(pose).tolist(), *_cells(each._covered).tolist()]}
            each._pose = pose
        covered.append(cells)
    assert len(covered[0] ^ covered[1]) < 0.07 * len(covered[1])


def test_memory_does_not_grow_with_the_drive():
    path = DrivenPath(Footprint())
    for index in range(1000):
        pose = Transform.from_rpy(
            0, 0, 0.02 * index, (2 * math.sin(0.02 * index), -2 * math.cos(0.02 * index), 0)
        )
        grid = SIZE.around(*pose.translation_3[:2].tolist())
        path.add(Costmap(np.zeros((120, 120), np.int8), grid, "odom", 0), pose)
    assert len(path._looks) <= 4 * 12.5 / 0.25


@pytest.mark.parametrize("size", [(0.0, 1.0), (1.0, -1.0), (100.0, 1.0), (float("nan"), 1.0)])
def test_a_footprint_that_cannot_be_is_refused(size):
    with pytest.raises(InputError, match="footprint"):
        Footprint(*size)


@given(
    cells=st.lists(
        st.tuples(st.integers(-(2**31) + 1, 2**31 - 1), st.integers(-(2**31) + 1, 2**31 - 1)), unique=True
    )
)
def test_a_cell_is_one_number_in_order_of_x_then_y(cells):
    keys = _keys(*np.array(cells, np.int64).reshape(-1, 2).T)
    assert [tuple(cell) for cell in _cells(np.sort(keys)).tolist()] == sorted(cells)
