# SPDX-License-Identifier: Apache-2.0
"""What the driven ground says of the ground ahead."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.errors import InputError
from offroad_seg.mapping.grid import GridSize
from offroad_seg.mapping.ground_plane import GroundPlaneProjector
from offroad_seg.mapping.relief import MARGIN, STEP_M, Relief
from offroad_seg.ontology import load_ontology
from offroad_seg.transforms import Transform

LEAST, MOST = 2.0, 5.0
LEVEL = np.array([0.0, 0.0, 1.0])


def drive(relief, height, metres, *, step=0.1, up=LEVEL, yaw=0.3):
    """Along a line, not along an axis, over ground of a height; returns the answer after each step."""
    answers = []
    for k in range(round(metres / step) + 1):
        s = k * step
        place = (s * math.cos(yaw), s * math.sin(yaw), height(s))
        answers.append(relief.update(Transform.from_rpy(0.0, 0.0, yaw, place), up))
    return answers


def waves(degrees, length=25.0):
    """Rises and hollows; their slope has this root of the mean square."""
    amplitude = math.tan(math.radians(degrees)) * math.sqrt(2.0) * length / (2 * math.pi)
    return lambda s: amplitude * math.sin(2 * math.pi * s / length)


def test_it_begins_with_the_most_and_shrinks_on_even_ground():
    answers = drive(Relief(LEAST, MOST), lambda s: 1e-6 * s, 300.0)
    assert answers[0] == MOST
    assert answers[round(2.9 / 0.1)] == MOST  # nothing is 3 m apart yet
    assert all(b <= a + 1e-12 for a, b in pairwise(answers))
    assert answers[-1] == LEAST


def test_ground_that_rolls_keeps_it():
    answers = drive(Relief(LEAST, MOST), waves(5.0), 300.0)
    assert min(answers) == MOST


def test_what_rolling_ground_is_worth():
    """A level plane on waves: within 3 to 10 m it is wrong by their slope between both ends."""
    height = waves(1.2)
    relief = Relief(0.1, MOST)
    found = drive(relief, height, 2000.0)[-1]
    ahead = np.arange(3.0, 10.001, STEP_M)
    start = np.arange(0.0, 25.0, 0.05)[:, None]
    slopes = (np.vectorize(height)(start + ahead) - np.vectorize(height)(start)) / ahead
    true = math.sqrt(float(np.mean(slopes**2)))
    assert found == pytest.approx(math.degrees(math.atan(MARGIN * true)), rel=0.1)


def test_a_steady_slope_is_no_relief_for_a_plane_that_has_it():
    hill = math.radians(12.0)
    up = np.array([-math.sin(hill), 0.0, math.cos(hill)])
    assert drive(Relief(LEAST, MOST), lambda s: s * math.tan(hill), 300.0, up=up, yaw=0.0)[-1] == LEAST
    assert drive(Relief(LEAST, MOST), lambda s: s * math.tan(hill), 300.0, yaw=0.0)[-1] == MOST


def test_after_a_change_of_country_it_grows_again():
    flat = 200.0
    roll = waves(5.0)
    answers = drive(Relief(LEAST, MOST), lambda s: 1e-6 * s if s < flat else roll(s - flat), flat + 60.0)
    assert answers[round(flat / 0.1)] < 2.5
    assert answers[-1] > 4.0


def test_planar_odometry_teaches_nothing():
    assert set(drive(Relief(LEAST, MOST), lambda _s: 0.0, 100.0)) == {MOST}


@pytest.mark.parametrize(("tilt_deg", "low", "high"), [(0.3, LEAST, LEAST), (3.0, 4.0, MOST)])
def test_where_heights_are_missing_the_planes_tilt_is_what_it_is_wrong_by(tilt_deg, low, high):
    """Planar odometry beside an IMU."""
    tilt = math.radians(tilt_deg)
    up = np.array([-math.sin(tilt), 0.0, math.cos(tilt)])
    assert low <= drive(Relief(LEAST, MOST), lambda _s: 0.0, 100.0, up=up, yaw=0.0)[-1] <= high


def test_standing_still_teaches_nothing():
    relief = Relief(LEAST, MOST)
    drive(relief, lambda s: 1e-6 * s, 30.0)
    before = relief.slope
    here = Transform.from_rpy(0.0, 0.0, 0.3, (30.0 * math.cos(0.3), 30.0 * math.sin(0.3), 0.2))
    assert {relief.update(here, LEVEL) for _ in range(100)} == {before}


def test_a_jump_of_the_odometry_is_no_cliff():
    relief = Relief(LEAST, MOST)
    drive(relief, lambda s: 1e-6 * s, 200.0)
    before = relief.slope
    for k in range(200):
        relief.update(Transform.from_rpy(0.0, 0.0, 0.0, (-500.0 + 0.1 * k, 70.0, 90.0 + 1e-6 * k)), LEVEL)
        assert relief.slope <= before + 1e-12


@pytest.mark.parametrize("height", [20.0, -20.0, 1e200, 1.7e308])
def test_a_jump_of_the_height_alone_is_none_either(height):
    relief = Relief(LEAST, MOST)
    drive(relief, lambda s: 1e-6 * s, 200.0)
    before = relief.slope
    with np.errstate(over="ignore"):
        drive(relief, lambda s: height + 1e-6 * s, 30.0)
    assert relief.slope <= before + 1e-12


def test_reset_begins_anew():
    relief = Relief(LEAST, MOST)
    first = drive(relief, waves(1.0), 150.0)
    assert relief.slope != MOST
    relief.reset()
    assert relief.slope == MOST
    assert drive(relief, waves(1.0), 150.0) == first


@pytest.mark.parametrize(("least", "most"), [(5.0, 5.0), (5.0, 1.0), (2.0, 0.0)])
def test_without_room_between_the_bounds_it_stays(least, most):
    assert set(drive(Relief(least, most), waves(1.0), 100.0)) == {most}


@given(
    st.lists(
        st.tuples(st.floats(-3, 3), st.floats(-3, 3), st.floats(-2, 2), st.floats(-0.5, 0.5)), max_size=80
    )
)
def test_it_never_leaves_its_bounds(steps):
    relief, place = Relief(LEAST, MOST), np.zeros(3)
    for dx, dy, dz, roll in steps:
        place = place + np.array([dx, dy, dz])
        pose = Transform.from_rpy(roll, 0.0, 0.0, tuple(place))
        assert LEAST <= relief.update(pose, pose.rotation_33[:, 2]) <= MOST


def projector(**options):
    return GroundPlaneProjector(load_ontology("duality_desert"), GridSize(8.0, 8.0, 0.2), **options)


def test_a_projector_takes_both_bounds_and_keeps_one_that_stands_alone():
    assert projector(contact_slope=4.0)._relief.update(Transform.identity(), LEVEL) == 4.0
    assert projector(contact_slope=4.0, contact_slope_least=1.0).contact_slope == 4.0
    with pytest.raises(InputError, match="contact_slope_least"):
        projector(contact_slope=4.0, contact_slope_least=-1.0)
