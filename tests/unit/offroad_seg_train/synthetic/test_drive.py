# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from offroad_seg_train.synthetic.drive import (
    MOUNT,
    TRACK,
    WHEELBASE,
    Drive,
    base_T_link,
    base_T_optical,
    ground_pose,
    random_view,
)


class _Slope:
    """A plane that rises ``along`` per metre of x and ``left`` per metre of y."""

    def __init__(self, along, left):
        self._along, self._left = along, left

    def height(self, x, y):
        return self._along * x + self._left * y


def test_uphill_is_nose_up_and_left_up_rolls_right():
    here, east = np.array([3.0]), np.array([0.0])
    z, roll, pitch = ground_pose(_Slope(0.2, 0.0), here, here, east)
    assert z[0] == pytest.approx(0.6)
    assert pitch[0] == pytest.approx(-np.arctan(0.2))
    assert roll[0] == pytest.approx(0.0)
    _, roll, pitch = ground_pose(_Slope(0.0, 0.1), here, here, east)
    assert roll[0] == pytest.approx(np.arctan(0.1))
    assert pitch[0] == pytest.approx(0.0)
    # Heading north, the same slope lies ahead.
    _, roll, pitch = ground_pose(_Slope(0.0, 0.1), here, here, np.array([np.pi / 2]))
    assert pitch[0] == pytest.approx(-np.arctan(0.1))
    assert roll[0] == pytest.approx(0.0)


def test_wheels_stay_on_the_ground(world):
    times = np.arange(0, 40, 0.5)
    for pose in Drive(world.terrain).poses(times):
        wheels = np.array([[a * WHEELBASE / 2, s * TRACK / 2, 0.0] for a in (-1, 1) for s in (-1, 1)])
        points = pose.apply(wheels)
        gap = points[:, 2] - world.terrain.height(points[:, 0], points[:, 1])
        assert np.abs(gap).max() < 0.12
    _, pitch, _ = zip(*(p.roll_pitch_yaw() for p in Drive(world.terrain).poses(times)), strict=True)
    assert np.ptp(pitch) > 0.02


def test_drive_goes_forward_along_the_trail(world):
    times = np.arange(0, 60, 0.1)
    poses = Drive(world.terrain, start=5.0, speed=2.5).poses(times)
    at = np.array([p.translation_3 for p in poses])
    assert world.terrain.trail_distance(at[:, 0], at[:, 1]).max() < 0.5
    step = np.diff(at, axis=0)
    ahead = np.array([p.rotation_33[:, 0] for p in poses[:-1]])
    speed = np.einsum("ij,ij->i", step, ahead) / 0.1
    assert speed.min() > 1.0
    assert speed.mean() == pytest.approx(2.5, abs=0.3)


def test_mount_chain_is_the_documented_pose():
    optical = base_T_optical()
    assert np.allclose(optical.translation_3, MOUNT[:3])
    assert np.allclose(base_T_link().translation_3, MOUNT[:3])
    # The optical axis looks forward and a little down; image right is the vehicle's right.
    assert optical.rotation_33[0, 2] > 0.99
    assert optical.rotation_33[2, 2] == pytest.approx(-np.sin(MOUNT[4]))
    assert np.allclose(optical.rotation_33[:, 0], [0, -1, 0], atol=1e-9)


def test_views_begin_in_the_open(world):
    rng = np.random.default_rng(9)
    x, y, radius = world.things.obstacles_K3.T
    for _ in range(30):
        at = random_view(rng, world).translation_3
        assert (np.hypot(x - at[0], y - at[1]) > radius).all()
        above = at[2] - world.terrain.height(at[:1], at[1:2])[0]
        assert 0.6 < above < 2.5
