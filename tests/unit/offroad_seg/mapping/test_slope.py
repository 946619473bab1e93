# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from offroad_seg.errors import InputError
from offroad_seg.mapping.slope import GroundSlope
from offroad_seg.transforms import Transform

HILL = Transform.from_rpy(0.0, -0.2, 1.0)
S = 1_000_000_000


def lean(up_3: np.ndarray) -> float:
    """Degrees between a normal and the vertical."""
    assert np.linalg.norm(up_3) == pytest.approx(1.0)
    return math.degrees(math.acos(min(1.0, up_3[2])))


def test_it_begins_level_and_comes_to_follow_the_hill():
    slope = GroundSlope(0.5)
    leans = [lean(slope.update(HILL, k * S // 10)) for k in range(41)]
    assert leans[0] == 0.0
    assert leans[5] == pytest.approx((1 - math.exp(-1)) * math.degrees(0.2), rel=0.02)
    assert leans[-1] == pytest.approx(math.degrees(0.2), rel=0.001)
    np.testing.assert_allclose(slope.update(HILL, 5 * S), HILL.rotation_33[:, 2], atol=1e-4)


def test_a_bounce_is_the_vehicles_not_the_grounds():
    slope = GroundSlope(1.0)
    leans = []
    for k in range(200):
        bounce = math.radians(4.0) * math.sin(2 * math.pi * 2.0 * k / 30)
        leans.append(lean(slope.update(Transform.from_rpy(0.0, bounce, 0.3), k * S // 30)))
    assert max(leans) < 1.0


def test_the_pace_of_the_frames_does_not_matter():
    slow, fast = GroundSlope(0.7), GroundSlope(0.7)
    for k in range(11):
        one = slow.update(HILL, k * S // 5)
    for k in range(101):
        other = fast.update(HILL, k * S // 50)
    np.testing.assert_allclose(one, other, atol=2e-3)


def test_zero_is_the_base_frames_plane_and_infinity_the_horizontal():
    np.testing.assert_array_equal(GroundSlope(0.0).update(HILL, 0), HILL.rotation_33[:, 2])
    level = GroundSlope(math.inf)
    for k in range(5):
        assert lean(level.update(HILL, k * S)) == 0.0


def test_reset_forgets():
    slope = GroundSlope(0.1)
    for k in range(5):
        slope.update(HILL, k * S)
    slope.reset()
    assert lean(slope.update(HILL, 0)) == 0.0


@pytest.mark.parametrize("slope_time", [-1.0, math.nan])
def test_wrong_times_are_refused(slope_time):
    with pytest.raises(InputError, match="slope_time"):
        GroundSlope(slope_time)
