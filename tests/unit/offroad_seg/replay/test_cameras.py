# SPDX-License-Identifier: Apache-2.0
"""Several cameras, calibration from a file, depth, and truth from a folder."""

from __future__ import annotations

import numpy as np
import pytest

from offroad_seg.errors import BagError, CameraError, InputError
from offroad_seg.ontology import load_ontology
from offroad_seg.replay.bag import open_bag
from offroad_seg.replay.camera_file import read_camera_file
from offroad_seg.replay.frames import BagFrame, FrameSource
from offroad_seg.replay.topic_search import choose_topics
from offroad_seg.replay.topics import camera_name
from offroad_seg.replay.true_masks import TrueMasks
from offroad_seg.sensor_messages import camera_from_info
from tests.helpers.bags import camera, write_bag
from tests.helpers.camera_bags import LATE_NS, write_camera_file, write_masks, write_two_cameras

BOTH = ["/left/image_raw", "/right/image_raw"]


@pytest.fixture(scope="module")
def ontology():
    return load_ontology("duality_desert")


@pytest.fixture(scope="module")
def drive(ontology, tmp_path_factory):
    return write_two_cameras(
        tmp_path_factory.mktemp("cameras") / "drive", ontology, frames=6, height=40, width=64
    )


def frames_of(path, ontology=None, start=0, stop=None, **topics):
    with open_bag(path) as bag:
        source = FrameSource(bag, choose_topics(bag, **topics), ontology=ontology)
        return list(source.frames(start, stop))


def test_two_cameras_come_in_the_order_of_their_stamps_each_with_its_own(drive):
    frames = frames_of(drive.path, image=BOTH)
    assert [f.camera for f in frames] == ["left", "right"] * 6
    stamps = [f.frame.stamp_ns for f in frames]
    assert stamps == sorted(stamps)
    assert stamps[1] - stamps[0] == LATE_NS
    assert [f.index for f in frames] == list(range(12))
    for number, frame in enumerate(frames):
        name, at = frame.camera, number // 2
        np.testing.assert_array_equal(frame.frame.image_HWC, drive.images[name][at])
        np.testing.assert_array_equal(frame.truth_HW, drive.truths[name][at])
        assert frame.frame.camera.width == frame.frame.image_HWC.shape[1]
        assert frame.frame.frame_id == f"{name}_optical"
        assert frame.frame.depth_HW.shape == frame.truth_HW.shape
        assert np.isnan(frame.frame.depth_HW[0, 0])
        assert frame.base_T_camera.translation_3[1] == pytest.approx(0.3 if name == "left" else -0.3)


def test_a_portion_of_a_bag_holds_the_same_frames_as_the_whole(drive):
    whole, part = frames_of(drive.path, image=BOTH), frames_of(drive.path, image=BOTH, start=5, stop=9)
    assert [f.index for f in part] == [5, 6, 7, 8]
    for one, other in zip(whole[5:9], part, strict=True):
        np.testing.assert_array_equal(one.frame.image_HWC, other.frame.image_HWC)
        np.testing.assert_array_equal(one.truth_HW, other.truth_HW)
        assert one.frame.stamp_ns == other.frame.stamp_ns
        np.testing.assert_array_equal(one.odom_T_base.translation_3, other.odom_T_base.translation_3)


def test_frames_can_be_asked_for_again(drive):
    with open_bag(drive.path) as bag:
        source = FrameSource(bag, choose_topics(bag, image=BOTH))
        first = [f.frame.stamp_ns for f in source.frames()]
        assert [f.frame.stamp_ns for f in source.frames()] == first


@pytest.mark.parametrize(
    ("topics", "words"),
    [
        ({"image": BOTH, "camera_info": ["/left/camera_info"]}, "1 × --camera-info for 2 cameras"),
        ({"image": [BOTH[0]] * 2}, "given twice"),
        ({"image": [BOTH[0], "/up/image_raw"]}, "no topic /up/image_raw"),
    ],
)
def test_what_is_given_must_fit_the_cameras(drive, topics, words):
    with pytest.raises(BagError, match=words), open_bag(drive.path) as bag:
        choose_topics(bag, **topics)


def test_none_holds_for_all_cameras_and_guess_for_one(drive):
    with open_bag(drive.path) as bag:
        topics = choose_topics(
            bag, image=BOTH, truth="none", camera_info=["guess", "/left/camera_info"], depth=["none", "guess"]
        )
    assert [c.truth for c in topics.cameras] == [None, None]
    assert [c.camera_info.name for c in topics.cameras] == ["/left/camera_info"] * 2
    assert [c.depth and c.depth.name for c in topics.cameras] == [None, "/right/depth"]


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("/camera/image", "camera"),
        ("/front/camera/image_raw/compressed", "front/camera"),
        ("/image", "image"),
        ("image/compressed", "image"),
    ],
)
def test_a_camera_is_named_by_its_namespace(topic, name):
    assert camera_name(topic) == name


def test_cameras_of_one_namespace_keep_their_whole_names(tmp_path, ontology):
    from types import SimpleNamespace

    from offroad_seg.replay.bag import Topic

    found = {n: Topic(n, "sensor_msgs/msg/Image", 3) for n in ("/camera/left", "/camera/right")}
    bag = SimpleNamespace(path="drive", topics=found, of_type=lambda *_: [])
    assert choose_topics(bag, image=list(found)).names == ("camera/left", "camera/right")


def test_a_calibration_file_takes_the_place_of_the_topic(tmp_path, ontology):
    file = write_camera_file(tmp_path / "camera.yaml", camera(60, 96))
    write_bag(tmp_path / "a.mcap", ontology, frames=3, camera_info=False)
    frames = frames_of(tmp_path / "a.mcap", camera_info=str(file))
    assert [f.frame.camera for f in frames] == [camera(60, 96)] * 3
    assert frames[0].frame.camera is frames[2].frame.camera


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"camera_matrix": None}, "'camera_matrix' is missing"),
        ({"camera_matrix": {"data": [0.0] * 9}}, "focal length"),
        ({"camera_matrix": "wide"}, "not a calibration"),
        ({"distortion_model": "pincushion"}, "pincushion"),
        ({"image_width": "many"}, "not a calibration"),
    ],
)
def test_a_calibration_file_that_cannot_be_used_is_named(tmp_path, changes, words):
    file = write_camera_file(tmp_path / "camera.yaml", camera(60, 96), **changes)
    with pytest.raises(CameraError, match=words) as caught:
        read_camera_file(file)
    assert str(file) in str(caught.value)


def test_a_calibration_file_without_a_distortion_model_is_a_pinhole(tmp_path):
    file = write_camera_file(
        tmp_path / "c.yaml", camera(60, 96), distortion_model=None, distortion_coefficients=None
    )
    assert camera_from_info(read_camera_file(file)) == camera(60, 96)


@pytest.mark.parametrize("text", ["[1, 2", "- 1\n- 2", "", "\x00"])
def test_a_file_that_is_no_calibration_gives_words(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(CameraError, match=r"c\.yaml"):
        read_camera_file(tmp_path / "c.yaml")


def test_truth_comes_from_a_folder_of_raw_masks(tmp_path, ontology):
    drive = write_bag(tmp_path / "a.mcap", ontology, frames=3, truth=False)
    raw = [ontology.decode(truth) for truth in drive.truths[:2]]
    folder = write_masks(tmp_path / "masks", drive.stamps_ns[:2], raw)
    first = folder / f"{drive.stamps_ns[0]}.png"
    first.rename(folder / f"{drive.stamps_ns[0] // 10**9}.{drive.stamps_ns[0] % 10**9:09d}.png")
    frames = frames_of(tmp_path / "a.mcap", ontology, truth=str(folder))
    for frame, truth in zip(frames, drive.truths[:2], strict=False):
        np.testing.assert_array_equal(frame.truth_HW, truth)
    assert isinstance(frames[2], BagFrame)
    assert frames[2].truth_HW is None


def test_masks_that_do_not_fit_are_named(tmp_path, ontology):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no mask is named"):
        TrueMasks(tmp_path / "empty", ontology)
    folder = write_masks(tmp_path / "masks", [7], [np.full((4, 6), 100, np.uint16)])
    masks = TrueMasks(folder, ontology)
    assert masks.at(8, (4, 6)) is None
    with pytest.raises(InputError, match="6×4, its image 9×4"):
        masks.at(7, (4, 9))
    (folder / "9.png").write_text("nothing")
    with pytest.raises(InputError, match="cannot be read"):
        TrueMasks(folder, ontology).at(9, (4, 6))
