# SPDX-License-Identifier: Apache-2.0
"""Directions around the camera's foot."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.mapping.directions import arctan_unit, count_for, directions_of, with_neighbours


@given(st.floats(-math.pi, math.pi), st.floats(1e-6, 1e6), st.integers(8, 2000))
def test_every_azimuth_has_its_direction(azimuth, distance, count):
    x, y = (np.array([distance * f(azimuth)], np.float32) for f in (math.cos, math.sin))
    found = int(directions_of(x, y, count)[0])
    assert 0 <= found < count
    middle = (found + 0.5) * 2 * math.pi / count - math.pi
    away = abs(azimuth - middle)
    assert min(away, 2 * math.pi - away) <= math.pi / count + 1e-5


def test_directions_of_a_lattice_are_those_of_its_points():
    x, y = np.linspace(-3, 4, 23, dtype=np.float32), np.linspace(-5, 5, 31, dtype=np.float32)
    lattice = directions_of(x[None, :], y[:, None], 720)
    assert lattice.shape == (31, 23)
    assert np.array_equal(lattice.ravel(), directions_of(np.tile(x, 31), np.repeat(y, 23), 720))


def test_the_arctangent_is_exact_to_half_a_millionth():
    t = np.linspace(0.0, 1.0, 100_001, dtype=np.float32)
    found = arctan_unit(t, np.empty_like(t), np.empty_like(t))
    assert np.abs(found - np.arctan(t.astype(np.float64))).max() < 5e-7


def test_directions_are_wider_than_a_pixel_and_not_finer_than_a_quarter_of_a_degree():
    assert count_for(0.01) == int(2 * math.pi / 0.015)
    assert count_for(1e-5) == 1440
    assert count_for(3.0) == 8


def test_the_circle_is_closed():
    assert with_neighbours(np.array([1, 2, 3])).tolist() == [[3, 1, 2], [1, 2, 3], [2, 3, 1]]
