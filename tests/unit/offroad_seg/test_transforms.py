# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from offroad_seg.errors import TransformError
from offroad_seg.transforms import Transform, TransformBuffer, camera_mount, interpolate

ANGLE = st.floats(-1.4, 1.4)
ANY_ANGLE = st.floats(-2.0 * math.pi, 2.0 * math.pi)
NUMBER = st.floats(-1.0, 1.0)
SECOND = 1_000_000_000


@settings(max_examples=50, deadline=None)
@given(roll=ANGLE, pitch=ANGLE, yaw=ANGLE, x=st.floats(-5, 5))
def test_inverse_quaternion_and_angles(roll, pitch, yaw, x):
    t = Transform.from_rpy(roll, pitch, yaw, (x, 2.0, -1.0))
    points = np.random.default_rng(0).normal(size=(7, 3))
    np.testing.assert_allclose((t.inverse() @ t).apply(points), points, atol=1e-12)
    np.testing.assert_allclose(t.roll_pitch_yaw(), (roll, pitch, yaw), atol=1e-9)
    again = Transform.from_quaternion(t.quaternion_xyzw(), t.translation_3)
    np.testing.assert_allclose(again.rotation_33, t.rotation_33, atol=1e-12)


@settings(max_examples=200, deadline=None)
@given(angles=st.tuples(ANY_ANGLE, ANY_ANGLE, ANY_ANGLE))
def test_angles_become_the_matrix_that_scipy_makes_of_them(angles):
    expected = Rotation.from_euler("xyz", angles).as_matrix()
    np.testing.assert_allclose(Transform.from_rpy(*angles).rotation_33, expected, atol=1e-14)


@settings(max_examples=200, deadline=None)
@given(xyzw=st.tuples(NUMBER, NUMBER, NUMBER, NUMBER), off=st.floats(0.995, 1.005))
def test_quaternions_become_the_matrix_that_scipy_makes_of_them_and_back(xyzw, off):
    norm = math.sqrt(sum(v * v for v in xyzw))
    assume(norm > 1e-3)
    unit = [v / norm for v in xyzw]
    made = Transform.from_quaternion([off * v for v in unit])
    np.testing.assert_allclose(made.rotation_33, Rotation.from_quat(unit).as_matrix(), atol=1e-14)
    again = made.quaternion_xyzw()
    assert again[3] >= 0.0
    # A turn by 180° has two quaternions whose w is 0, or as near to it as rounding comes.
    sign = 1.0 if float(again @ unit) >= 0.0 else -1.0
    np.testing.assert_allclose(again, sign * np.array(unit), atol=1e-12)


@pytest.mark.parametrize("axis", np.vstack([np.eye(3), np.ones((1, 3)) / math.sqrt(3.0)]))
@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.5 * math.pi, math.pi - 1e-9, math.pi])
def test_a_turn_about_any_axis_has_its_quaternion(axis, angle):
    made = Transform(Rotation.from_rotvec(angle * axis).as_matrix(), np.zeros(3)).quaternion_xyzw()
    np.testing.assert_allclose(
        np.abs(made), np.abs([*(math.sin(angle / 2) * axis), math.cos(angle / 2)]), atol=1e-9
    )


@settings(max_examples=200, deadline=None)
@given(
    first=st.tuples(ANY_ANGLE, ANGLE, ANY_ANGLE),
    turn=st.tuples(NUMBER, NUMBER, NUMBER),
    angle=st.one_of(st.floats(0.0, 3.1), st.floats(0.0, 1e-6)),
    share=st.floats(0.0, 1.0),
)
def test_between_two_it_turns_as_scipys_slerp(first, turn, angle, share):
    norm = math.sqrt(sum(v * v for v in turn))
    assume(norm > 1e-3)
    before = Transform.from_rpy(*first, (1.0, -2.0, 3.0))
    relative = Rotation.from_rotvec([angle * v / norm for v in turn]).as_matrix()
    after = Transform(before.rotation_33 @ relative, np.array([2.0, 2.0, 2.0]))
    found = interpolate(before, after, share)
    both = Rotation.from_matrix(np.stack([before.rotation_33, after.rotation_33]))
    expected = Slerp([0.0, 1.0], both)([share]).as_matrix()[0]
    np.testing.assert_allclose(found.rotation_33, expected, atol=1e-9)
    np.testing.assert_allclose(
        found.translation_3, [1.0 + share, -2.0 + 4.0 * share, 3.0 - share], atol=1e-12
    )


@pytest.mark.parametrize("up", [-1.0, 1.0])
@pytest.mark.parametrize(("roll", "yaw"), [(0.0, 0.0), (0.3, 0.0), (0.3, -2.0), (-3.0, 1.0)])
def test_straight_up_or_down_the_angles_still_make_the_same_turn(up, roll, yaw):
    made = Transform.from_rpy(roll, up * 0.5 * math.pi, yaw)
    angles = made.roll_pitch_yaw()
    assert angles[2] == 0.0
    np.testing.assert_allclose(Transform.from_rpy(*angles).rotation_33, made.rotation_33, atol=1e-12)


def test_angles_are_those_of_rep_103():
    # Positive pitch turns the nose down: x forward moves towards −z.
    nose = Transform.from_rpy(0, math.radians(30), 0).apply(np.array([[1.0, 0, 0]]))[0]
    np.testing.assert_allclose(nose, [math.cos(math.radians(30)), 0, -0.5])
    left = Transform.from_rpy(0, 0, math.radians(90)).apply(np.array([[1.0, 0, 0]]))[0]
    np.testing.assert_allclose(left, [0, 1, 0], atol=1e-15)


def test_camera_mount_looks_forward_and_down():
    mount = camera_mount(0.5, 0.1, 1.2, 0.0, math.radians(10), 0.0)
    centre = mount.apply(np.array([[0.0, 0, 1.0]]))[0] - mount.translation_3
    np.testing.assert_allclose(
        centre, [math.cos(math.radians(10)), 0, -math.sin(math.radians(10))], atol=1e-12
    )
    right = mount.apply(np.array([[1.0, 0, 0]]))[0] - mount.translation_3
    np.testing.assert_allclose(right, [0, -1, 0], atol=1e-12)


@pytest.mark.parametrize(
    "xyzw", [(0, 0, 0, 0), (float("nan"), 0, 0, 1), (float("inf"), 0, 0, 1), (1, 1, 1, 1)]
)
def test_broken_quaternions_are_refused(xyzw):
    with pytest.raises(TransformError, match="rigid"):
        Transform.from_quaternion(xyzw)


@pytest.mark.parametrize("at", [(float("nan"), 0, 0), (0, float("inf"), 0), (float("inf"), -float("inf"), 0)])
def test_places_that_are_no_numbers_are_refused(at):
    with pytest.raises(TransformError, match="rigid"):
        Transform.from_quaternion((0.0, 0.0, 0.0, 1.0), at)


def drive() -> TransformBuffer:
    buffer = TransformBuffer()
    buffer.set_static("base_link", "camera_link", Transform.from_rpy(0, 0.1, 0, (0.5, 0, 1.2)))
    for i in range(3):
        buffer.set("odom", "base_link", i * SECOND, Transform.from_rpy(0, 0, 0.2 * i, (2.0 * i, 0, 0)))
    return buffer


def test_lookup_interpolates_at_the_stamp():
    t = drive().lookup("odom", "base_link", SECOND // 2)
    np.testing.assert_allclose(t.translation_3, [1, 0, 0])
    assert t.roll_pitch_yaw()[2] == pytest.approx(0.1)


def test_lookup_goes_up_and_down_the_tree():
    buffer = drive()
    buffer.set_static("base_link", "lidar", Transform.from_rpy(0, 0, math.pi / 2, (0, 0, 2)))
    t = buffer.lookup("lidar", "camera_link", SECOND)
    expected = buffer.lookup("base_link", "lidar", SECOND).inverse() @ buffer.lookup(
        "base_link", "camera_link", SECOND
    )
    np.testing.assert_allclose(t.translation_3, expected.translation_3)
    assert np.allclose(buffer.lookup("odom", "odom", 5).rotation_33, np.eye(3))


@pytest.mark.parametrize("stamp", [-1, 2 * SECOND + 1])
def test_it_never_extrapolates(stamp):
    with pytest.raises(TransformError, match="history 0.000 to 2.000"):
        drive().lookup("odom", "base_link", stamp)


def test_unconnected_frames_are_named():
    with pytest.raises(TransformError, match="'radar' to 'odom'"):
        drive().lookup("odom", "radar", 0)


def test_a_loop_is_an_error_not_a_hang():
    buffer = TransformBuffer()
    buffer.set_static("a", "b", Transform.identity())
    buffer.set_static("b", "a", Transform.identity())
    with pytest.raises(TransformError, match="loop"):
        buffer.lookup("x", "a", 0)


def test_a_loop_above_both_frames_does_not_matter():
    buffer = drive()
    before = buffer.lookup("odom", "camera_link", 0)
    buffer.set_static("base_link", "odom", Transform.from_rpy(0.1, 0.0, 0.0))  # somebody's mistake
    after = buffer.lookup("odom", "camera_link", 0)
    np.testing.assert_array_equal(after.translation_3, before.translation_3)
    buffer.lookup("camera_link", "odom", 0)


def test_history_is_bounded_and_late_samples_are_sorted_in():
    buffer = TransformBuffer(cache_s=1.0)
    for stamp in (0, 3, 1, 2, 20):
        buffer.set("odom", "base_link", stamp * SECOND // 10, Transform.from_rpy(0, 0, 0, (stamp, 0, 0)))
    with pytest.raises(TransformError, match="history 2.000"):
        buffer.lookup("odom", "base_link", SECOND // 10)
    assert buffer.latest_stamp_ns("odom", "base_link") == 2 * SECOND


def test_clear_forgets_moving_frames_and_keeps_static_ones():
    buffer = drive()
    buffer.clear()
    assert buffer.frames() == ["base_link", "camera_link"]
    buffer.lookup("base_link", "camera_link", 12345)
    with pytest.raises(TransformError):
        buffer.lookup("odom", "base_link", 0)
