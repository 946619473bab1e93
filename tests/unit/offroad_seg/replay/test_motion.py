# SPDX-License-Identifier: Apache-2.0
"""Flicker without the camera's motion: on a scene whose motion is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from offroad_seg.camera import CameraModel
from offroad_seg.replay.bag import BagMessage
from offroad_seg.replay.frames import BagFrame
from offroad_seg.replay.motion import MotionCompensation
from offroad_seg.transforms import Transform
from offroad_seg.types import Frame

HEIGHT, WIDTH = 180, 300
CAMERA = CameraModel.from_info(WIDTH, HEIGHT, "plumb_bob", [0.0] * 5, [200, 0, 149.5, 0, 200, 89.5, 0, 0, 1])
OPTICAL = Transform.from_quaternion((-0.5, 0.5, -0.5, 0.5), (0.0, 0.0, 1.0))


@pytest.fixture(scope="module")
def scene():
    """A textured picture and its labels, larger than the image: stripes of three classes."""
    rng = np.random.default_rng(0)
    grey = cv2.GaussianBlur(rng.integers(0, 256, (400, 700)).astype(np.uint8), (0, 0), 2.0)
    picture = cv2.cvtColor(cv2.normalize(grey, None, 0, 255, cv2.NORM_MINMAX), cv2.COLOR_GRAY2RGB)
    labels = (np.arange(700)[None, :] // 40 % 3 + np.zeros((400, 1))).astype(np.uint8)
    return picture, labels


def window(array, x, y=50):
    return np.ascontiguousarray(array[y : y + HEIGHT, x : x + WIDTH])


def frame(index, image, *, depth=None, y=0.0, pose=True, truth=None, camera="front"):
    made = Frame(image, index, "camera", CAMERA, depth)
    odom_T_base = Transform.from_rpy(0, 0, 0, (0.0, y, 0.0)) if pose else None
    return BagFrame(
        index, made, BagMessage("/i", "x", index, b""), OPTICAL, odom_T_base, "", truth, camera=camera
    )


def share(found):
    return sum(found["changed"]) / sum(found["compared"])


def test_labels_that_move_with_the_scene_do_not_flicker(scene):
    picture, labels = scene
    motion = MotionCompensation(3)
    assert motion.add(frame(0, window(picture, 100)), window(labels, 100)) is None
    found = motion.add(frame(1, window(picture, 112)), window(labels, 112))
    assert found["by"] == "flow"
    # 12 px of 40 px wide stripes would be 30 % without the compensation.
    assert np.mean(window(labels, 100) != window(labels, 112)) > 0.25
    assert share(found) < 0.03
    assert sum(found["compared"]) > 0.7 * HEIGHT * WIDTH


def test_labels_that_change_while_the_scene_moves_are_counted_for_their_class(scene):
    picture, labels = scene
    motion = MotionCompensation(3)
    motion.add(frame(0, window(picture, 100)), window(labels, 100))
    now = window(labels, 112)
    half = now.copy()
    half[: HEIGHT // 2][now[: HEIGHT // 2] == 1] = 2
    found = motion.add(frame(1, window(picture, 112)), half)
    rates = np.array(found["changed"]) / found["compared"]
    assert rates[1] == pytest.approx(0.5, abs=0.05)
    assert rates[0] < 0.03
    assert rates[2] < 0.03


def test_by_depth_and_odometry_a_wall_is_followed_exactly(scene):
    """A wall 5 m ahead; the vehicle moves 0.3 m to the left, so that the picture moves 12 px to the right."""
    _, labels = scene
    flat = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)  # nothing that flow could follow
    depth = np.full((HEIGHT, WIDTH), 5.0, np.float32)
    motion = MotionCompensation(3)
    motion.add(frame(0, flat, depth=depth), window(labels, 112))
    found = motion.add(frame(1, flat, depth=depth, y=0.3), window(labels, 100))
    assert found["by"] == "depth"
    assert share(found) == 0.0
    assert sum(found["compared"]) == HEIGHT * (WIDTH - 12)
    # The wrong way round it is the motion twice.
    found = motion.add(frame(2, flat, depth=depth, y=0.0), window(labels, 88))
    assert share(found) > 0.3


def test_what_the_depth_before_does_not_show_is_not_compared(scene):
    _, labels = scene
    flat = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    depth = np.full((HEIGHT, WIDTH), 5.0, np.float32)
    near = depth.copy()
    near[:, :100] = 2.0  # something stood in front
    near[:, 280:] = np.nan
    motion = MotionCompensation(3)
    motion.add(frame(0, flat, depth=near), window(labels, 100))
    found = motion.add(frame(1, flat, depth=depth), window(labels, 100))
    assert sum(found["compared"]) == HEIGHT * 180


@pytest.mark.parametrize("without", ["depth", "pose"])
def test_without_depth_or_poses_flow_is_taken(scene, without):
    picture, labels = scene
    motion = MotionCompensation(3)
    options = {
        "depth": None if without == "depth" else np.ones((HEIGHT, WIDTH), np.float32),
        "pose": without != "pose",
    }
    motion.add(frame(0, window(picture, 100), **options), window(labels, 100))
    assert motion.add(frame(1, window(picture, 104), **options), window(labels, 104))["by"] == "flow"


def test_true_labels_give_the_measure_s_own_noise(scene):
    picture, labels = scene
    motion = MotionCompensation(3)
    motion.add(frame(0, window(picture, 100), truth=window(labels, 100)), window(labels, 100))
    wrong = np.zeros((HEIGHT, WIDTH), np.uint8)
    found = motion.add(frame(1, window(picture, 108), truth=window(labels, 108)), wrong)
    assert share(found) > 0.5
    assert found["truth"][0] < 0.03 * found["truth"][1]


def test_each_camera_has_its_own_past_and_reset_ends_it(scene):
    picture, labels = scene
    motion = MotionCompensation(3)
    motion.add(frame(0, window(picture, 100)), window(labels, 100))
    assert motion.add(frame(1, window(picture, 300), camera="rear"), window(labels, 300)) is None
    assert share(motion.add(frame(2, window(picture, 100)), window(labels, 100))) == 0.0
    motion.reset()
    assert motion.add(frame(3, window(picture, 100)), window(labels, 100)) is None


def test_a_change_of_size_begins_anew(scene):
    picture, labels = scene
    motion = MotionCompensation(3)
    motion.add(frame(0, window(picture, 100)), window(labels, 100))
    small = np.ascontiguousarray(window(picture, 100)[:90])
    assert motion.add(frame(1, small), np.ascontiguousarray(window(labels, 100)[:90])) is None


def test_unlabelled_pixels_are_not_compared(scene):
    picture, labels = scene
    motion = MotionCompensation(3)
    before = window(labels, 100).copy()
    before[: HEIGHT // 2] = 255
    motion.add(frame(0, window(picture, 100)), before)
    found = motion.add(frame(1, window(picture, 100)), window(labels, 100))
    assert sum(found["compared"]) == HEIGHT // 2 * WIDTH
