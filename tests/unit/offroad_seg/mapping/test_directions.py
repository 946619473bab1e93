# SPDX-License-Identifier: Apache-2.0
"""Directions around the camera's foot."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.mapping.directions import count_for, directions_of, with_neighbours


@given(st.floats(-math.pi, math.pi), st.integers(8, 2000))
def test_every_azimuth_has_its_direction(azimuth, count):
    found = int(directions_of(np.array([azimuth], np.float32), count)[0])
    assert 0 <= found <= count
    middle = (min(found, count - 1) + 0.5) * 2 * math.pi / count - math.pi
    assert abs(azimuth - middle) <= math.pi / count + 1e-5


def test_directions_are_wider_than_a_pixel_and_not_finer_than_a_quarter_of_a_degree():
    assert count_for(0.01) == int(2 * math.pi / 0.015)
    assert count_for(1e-5) == 1440
    assert count_for(3.0) == 8


def test_the_circle_is_closed():
    assert with_neighbours(np.array([1, 2, 3])).tolist() == [[3, 1, 2], [1, 2, 3], [2, 3, 1]]
