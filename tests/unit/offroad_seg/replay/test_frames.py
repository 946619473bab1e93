# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from offroad_seg.errors import CameraError
from offroad_seg.ontology import load_ontology
from offroad_seg.replay.bag import open_bag
from offroad_seg.replay.frames import BagFrame, Drop, FrameSource
from offroad_seg.replay.topic_search import choose_topics
from offroad_seg.transforms import camera_mount
from tests.helpers.bags import MOUNT, START_NS, camera, write_bag


@pytest.fixture(scope="module")
def ontology():
    return load_ontology("duality_desert")


def frames_of(path, **options):
    with open_bag(path) as bag:
        source = FrameSource(bag, choose_topics(bag), **options)
        return list(source.frames()), source


@pytest.mark.parametrize("options", [{}, {"encoding": "bgr8"}, {"compressed": True}])
def test_images_truth_calibration_and_poses_belong_together(ontology, tmp_path, options):
    drive = write_bag(tmp_path / "a.mcap", ontology, **options)
    frames, source = frames_of(drive.path)
    assert (source.base_frame, source.odom_frame) == ("base_link", "odom")
    assert [f.frame.stamp_ns for f in frames] == drive.stamps_ns
    for index, (item, image, truth) in enumerate(zip(frames, drive.images, drive.truths, strict=True)):
        assert isinstance(item, BagFrame)
        np.testing.assert_array_equal(item.frame.image_HWC, image)
        np.testing.assert_array_equal(item.truth_HW, truth)
        assert item.frame.camera == camera(60, 96)
        assert item.frame.frame_id == "camera_optical_frame"
        np.testing.assert_allclose(
            item.base_T_camera.translation_3, camera_mount(*MOUNT).translation_3, atol=1e-12
        )
        np.testing.assert_allclose(
            item.base_T_camera.rotation_33, camera_mount(*MOUNT).rotation_33, atol=1e-12
        )
        np.testing.assert_allclose(item.odom_T_base.translation_3, [0.2 * index, 0.1, 0.0], atol=1e-12)
        assert item.no_pose_reason == item.no_camera_reason == ""
    # One object for one calibration: the projector's tables hang on it.
    assert frames[0].frame.camera is frames[-1].frame.camera


def test_a_pose_between_two_samples_is_interpolated_from_odometry_that_comes_after_the_image(
    ontology, tmp_path
):
    def shift(message, index):
        message.header.stamp.nanosec += 50_000_000  # a quarter of the way to the next odometry

    drive = write_bag(tmp_path / "a.mcap", ontology, edit_image=shift, tf=False, truth=False)
    frames, _ = frames_of(drive.path, mount=camera_mount(*MOUNT))
    assert frames[1].odom_T_base.translation_3[0] == pytest.approx(0.2 + 0.25 * 0.2)
    # After the last sample nothing is known, and nothing is made up.
    assert frames[-1].odom_T_base is None
    assert "no transform from 'base_link' to 'odom'" in frames[-1].no_pose_reason


def test_without_transforms_the_reason_is_told(ontology, tmp_path):
    drive = write_bag(tmp_path / "a.mcap", ontology, tf=False, odometry=False, camera_info=False, truth=False)
    frames, source = frames_of(drive.path)
    assert not source.has_odometry
    assert all(f.base_T_camera is None and f.odom_T_base is None and f.frame.camera is None for f in frames)
    assert "camera_optical_frame" in frames[0].no_pose_reason
    assert "no camera_info" in frames[0].no_camera_reason


def test_a_bad_image_is_dropped_with_its_reason_and_the_rest_goes_on(ontology, tmp_path):
    def spoil(message, index):
        if index == 2:
            message.step = 5

    drive = write_bag(tmp_path / "a.mcap", ontology, edit_image=spoil)
    frames, _ = frames_of(drive.path)
    assert [type(f).__name__ for f in frames] == ["BagFrame", "BagFrame", "Drop", "BagFrame", "BagFrame"]
    assert frames[2].cause == "bad_image"
    assert "step is 5" in frames[2].reason


def test_late_frames_are_dropped_and_a_jump_back_is_marked(ontology, tmp_path):
    offsets = [0, 3_000, 2_900, 3_200, 100]  # milliseconds

    def reorder(message, index):
        stamp = START_NS + offsets[index] * 1_000_000
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)

    drive = write_bag(tmp_path / "a.mcap", ontology, edit_image=reorder, truth=False)
    frames, _ = frames_of(drive.path)
    assert isinstance(frames[2], Drop)
    assert frames[2].cause == "out_of_order"
    assert [f.time_ran_back for f in frames if isinstance(f, BagFrame)] == [False, False, False, True]


def test_a_bag_that_starts_again_finds_its_poses_again(ontology, tmp_path):
    folder = tmp_path / "twice"
    folder.mkdir()
    for number in (0, 1):
        write_bag(folder / f"twice_{number}.mcap", ontology, frames=20, rate_hz=2.0)
    frames, _ = frames_of(folder)
    assert len(frames) == 40
    assert [i for i, f in enumerate(frames) if f.time_ran_back] == [20]
    for item in frames:
        seconds = (item.frame.stamp_ns - START_NS) / 1e9
        assert item.odom_T_base.translation_3[0] == pytest.approx(seconds), item.no_pose_reason


def test_a_changing_resolution_is_followed(ontology, tmp_path):
    folder = tmp_path / "sizes"
    folder.mkdir()
    write_bag(folder / "sizes_0.mcap", ontology, frames=2, height=60, width=96)
    write_bag(folder / "sizes_1.mcap", ontology, frames=2, height=40, width=64, start_ns=START_NS + 10**9)
    frames, _ = frames_of(folder)
    assert [f.frame.image_HWC.shape[:2] for f in frames] == [(60, 96), (60, 96), (40, 64), (40, 64)]
    assert [f.truth_HW.shape for f in frames] == [(60, 96), (60, 96), (40, 64), (40, 64)]
    assert [f.frame.camera.width for f in frames] == [96, 96, 64, 64]


@pytest.mark.parametrize("field", ["nan", "zero"])
def test_a_bad_first_calibration_is_an_error_that_says_how_to_go_on(ontology, tmp_path, field):
    def spoil(message):
        message.k[0] = np.nan if field == "nan" else 0.0

    drive = write_bag(tmp_path / "a.mcap", ontology, edit_info=spoil)
    with open_bag(drive.path) as bag:
        source = FrameSource(bag, choose_topics(bag))
        with pytest.raises(CameraError) as caught:
            source.check_calibration()
    assert caught.value.exit_code == 2
    assert "/camera/camera_info" in caught.value.where
    assert "--camera-info none" in caught.value.mend


def test_the_true_grid_lies_where_the_message_says(ontology, tmp_path):
    drive = write_bag(tmp_path / "a.mcap", ontology)
    with open_bag(drive.path) as bag:
        truth = FrameSource(bag, choose_topics(bag)).true_costmap()
    assert (truth.grid.width, truth.grid.height, truth.frame_id) == (300, 240, "odom")
    row, column = int((0.0 + 12.0) / 0.1), int((7.55 + 5.0) / 0.1)
    assert truth.cost_HW[row, column] == 100
    assert truth.cost_HW[row, column - 8] == ontology.costs_256[ontology.id_of("Landscape")]
