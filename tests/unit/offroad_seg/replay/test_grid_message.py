# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import array
from types import SimpleNamespace

import numpy as np
import pytest

from offroad_seg.errors import ImageError
from offroad_seg.replay.grid_message import costmap_of
from offroad_seg.types import GridSpec


def message(cells, width=3, height=2, *, resolution=0.1, yaw_z=0.0):
    origin = SimpleNamespace(
        position=SimpleNamespace(x=-1.5, y=2.0, z=0.0),
        orientation=SimpleNamespace(x=0.0, y=0.0, z=yaw_z, w=1.0),
    )
    info = SimpleNamespace(
        width=width, height=height, resolution=float(np.float32(resolution)), origin=origin
    )
    header = SimpleNamespace(frame_id="/odom", stamp=SimpleNamespace(sec=7, nanosec=5))
    return SimpleNamespace(header=header, info=info, data=cells)


@pytest.mark.parametrize("kind", ["rclpy", "rosbags"])
def test_cells_lie_row_by_row_where_the_message_says(kind):
    cells = [-1, 0, 100, 50, 99, 1]
    data = array.array("b", cells) if kind == "rclpy" else np.array(cells, np.int8)
    costmap = costmap_of(message(data), "/costmap")
    np.testing.assert_array_equal(costmap.cost_HW, [[-1, 0, 100], [50, 99, 1]])
    assert costmap.cost_HW.dtype == np.int8
    assert costmap.grid == GridSpec(3, 2, 0.1, -1.5, 2.0)
    assert (costmap.frame_id, costmap.stamp_ns) == ("odom", 7_000_000_005)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 4}, "6 cells are not 4×2"),
        ({"yaw_z": 0.7}, "turned"),
        ({"resolution": 0.0}, "cells of 0.0 m"),
        ({"resolution": float("nan")}, "cells of nan m"),
    ],
)
def test_a_grid_that_would_be_misread_is_an_error_with_its_topic(change, words):
    with pytest.raises(ImageError) as caught:
        costmap_of(message(np.zeros(6, np.int8), **change), "topic /ground_truth/costmap")
    assert words in str(caught.value)
    assert caught.value.where == "topic /ground_truth/costmap"


def test_an_empty_grid_is_an_error():
    with pytest.raises(ImageError, match="0 cells"):
        costmap_of(message(np.zeros(0, np.int8), 0, 0), "/costmap")
