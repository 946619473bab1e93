# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from offroad_seg.errors import TransformError
from offroad_seg.mapping.level import ground_view
from offroad_seg.transforms import Transform, camera_mount

MOUNT = camera_mount(0.3, 0.1, 1.4, 0.0, 0.2, 0.0)


def in_camera(view, odom_x: float, odom_y: float) -> np.ndarray:
    return view.homography_33 @ np.array([odom_x - view.x, odom_y - view.y, 1.0])


def test_the_plane_stays_horizontal_when_the_vehicle_pitches_and_rolls():
    pose = Transform.from_rpy(0.1, -0.15, 0.7, (12.0, -4.0, 2.0))
    view = ground_view(MOUNT, pose, ground_height=0.25)
    expected = (pose @ MOUNT).inverse().apply(np.array([[15.0, -3.0, 2.0 - 0.25]]))[0]
    assert in_camera(view, 15.0, -3.0) == pytest.approx(expected, abs=1e-9)


def test_the_plane_can_have_any_normal_such_as_the_base_frames_own():
    pose = Transform.from_rpy(0.1, -0.15, 0.7, (12.0, -4.0, 2.0))
    view = ground_view(MOUNT, pose, ground_height=0.25, ground_up_3=pose.rotation_33[:, 2])
    on_plane = pose.apply(np.array([[5.0, -1.5, -0.25]]))[0]
    expected = (pose @ MOUNT).inverse().apply(on_plane[None])[0]
    assert in_camera(view, on_plane[0], on_plane[1]) == pytest.approx(expected, abs=1e-9)


def test_in_the_base_frame_heading_and_place_do_not_count_but_tilt_does():
    one = ground_view(MOUNT, Transform.from_rpy(0.1, -0.15, 0.7, (12.0, -4.0, 2.0)), in_base_frame=True)
    other = ground_view(MOUNT, Transform.from_rpy(0.1, -0.15, -2.9, (0.0, 1.0, -3.0)), in_base_frame=True)
    assert other.homography_33 == pytest.approx(one.homography_33, abs=1e-9)
    assert (one.base_x, one.base_y) == (0.0, 0.0)
    flat = ground_view(MOUNT, None)
    assert abs(one.homography_33 - flat.homography_33).max() > 0.05
    assert (flat.x, flat.y, flat.drop) == pytest.approx((0.3, 0.1, -1.4))


def test_a_sloping_plane_turns_with_the_grid_into_the_base_frame():
    pose = Transform.from_rpy(0.1, -0.15, 0.7, (12.0, -4.0, 2.0))
    up_3 = Transform.from_rpy(0.05, -0.1, 0.0).rotation_33[:, 2]
    in_odom = ground_view(MOUNT, pose, ground_up_3=up_3)
    in_base = ground_view(MOUNT, pose, ground_up_3=up_3, in_base_frame=True)
    forward = Transform.from_rpy(0, 0, 0.7).rotation_33 @ np.array([3.0, 0.5, 0.0])
    there = in_odom.homography_33 @ [
        in_odom.base_x + forward[0] - in_odom.x,
        in_odom.base_y + forward[1] - in_odom.y,
        1,
    ]
    assert in_base.homography_33 @ [3.0 - in_base.x, 0.5 - in_base.y, 1] == pytest.approx(there, abs=1e-9)


def test_a_camera_below_the_ground_is_refused_with_what_to_mend():
    with pytest.raises(TransformError, match=r"(?s)-0\.10 m above the ground plane.*camera_mount\.z"):
        ground_view(camera_mount(0, 0, -0.1, 0, 0, 0), None)


def test_a_vehicle_on_its_side_is_refused():
    with pytest.raises(TransformError, match="leans by more than 60"):
        ground_view(MOUNT, Transform.from_rpy(math.radians(80), 0, 0))
