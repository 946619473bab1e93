# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest

from offroad_seg.errors import InputError
from offroad_seg.mapping.grid import GridSize, origin_cell
from offroad_seg.types import GridSpec


def test_windows_around_any_points_share_their_cells():
    size = GridSize(6.0, 4.0, 0.1)
    assert (size.cells_x, size.cells_y) == (60, 40)
    first = size.around(1003.333, -52.071)
    second = size.around(1003.512, -51.44)
    for a, b in ((first.origin_x, second.origin_x), (first.origin_y, second.origin_y)):
        steps = (b - a) / 0.1
        assert steps == pytest.approx(round(steps), abs=1e-6)
    # The vehicle stands within half a cell of the window's middle.
    assert first.origin_x + 3.0 == pytest.approx(1003.333, abs=0.0501)
    assert first.origin_y + 2.0 == pytest.approx(-52.071, abs=0.0501)


def test_origin_cell_gives_the_whole_cell_and_refuses_others():
    assert origin_cell(GridSize(6.0, 4.0, 0.1).around(12.34, -7.77)) == (123 - 30, -78 - 20)
    with pytest.raises(InputError, match="does not lie on whole cells"):
        origin_cell(GridSpec(10, 10, 0.1, 0.53 + 0.02, 0.0))


@pytest.mark.parametrize(
    ("numbers", "named"),
    [
        ((0.0, 4.0, 0.1), "costmap.width"),
        ((6.0, -1.0, 0.1), "costmap.height"),
        ((6.0, 4.0, math.nan), "costmap.resolution"),
        ((6.0, 4.0, 50.0), "cells"),
        ((9000.0, 9000.0, 0.1), "cells"),
    ],
)
def test_sizes_that_make_no_grid_are_refused(numbers, named):
    with pytest.raises(InputError, match=named):
        GridSize(*numbers)
