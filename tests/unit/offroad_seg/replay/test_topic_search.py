# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from types import SimpleNamespace

import pytest

from offroad_seg.errors import BagError
from offroad_seg.replay.bag import Topic
from offroad_seg.replay.topic_search import choose_topics
from offroad_seg.replay.topics import CAMERA_INFO, COMPRESSED, GRID, IMAGE, ODOMETRY


def bag_of(**topics: tuple[str, int]):
    """A bag as far as the choice looks at it: names (``__`` for /), types and counts."""
    found = {}
    for name, (msgtype, count) in topics.items():
        path = "/" + name.replace("__", "/")
        found[path] = Topic(path, msgtype, count)

    def of_type(*types):
        return sorted((t for t in found.values() if t.msgtype in types), key=lambda t: (t.count == 0, t.name))

    return SimpleNamespace(path="drive", topics=found, of_type=of_type)


def test_the_camera_is_found_beside_its_labels_depth_and_truth():
    bag = bag_of(
        camera__labels_truth=(IMAGE, 9),
        camera__depth=(IMAGE, 9),
        camera__image=(IMAGE, 9),
        camera__camera_info=(CAMERA_INFO, 9),
        odom=(ODOMETRY, 9),
        ground_truth__costmap=(GRID, 1),
    )
    topics = choose_topics(bag)
    assert topics.image.name == "/camera/image"
    assert topics.camera_info.name == "/camera/camera_info"
    assert topics.odometry.name == "/odom"
    assert topics.truth.name == "/camera/labels_truth"
    assert topics.grid.name == "/ground_truth/costmap"
    assert topics.notes == ()
    assert not topics.compressed


def test_of_several_cameras_one_is_taken_and_the_others_are_named():
    bag = bag_of(
        rear__image_raw=(IMAGE, 5), front__image_raw=(IMAGE, 50), front__camera_info=(CAMERA_INFO, 50)
    )
    topics = choose_topics(bag)
    assert topics.image.name == "/front/image_raw"
    assert "/rear/image_raw" in topics.notes[0]


def test_calibration_comes_from_the_camera_s_own_namespace():
    bag = bag_of(
        rear__camera_info=(CAMERA_INFO, 99),
        front__camera_info=(CAMERA_INFO, 5),
        front__image_raw__compressed=(COMPRESSED, 5),
    )
    topics = choose_topics(bag)
    assert topics.compressed
    assert topics.camera_info.name == "/front/camera_info"


def test_a_maker_s_grid_is_not_taken_for_the_truth():
    assert choose_topics(bag_of(image=(IMAGE, 1), map=(GRID, 1))).grid is None


def test_none_leaves_a_topic_out():
    bag = bag_of(camera__image=(IMAGE, 9), camera__camera_info=(CAMERA_INFO, 9), odom=(ODOMETRY, 3))
    topics = choose_topics(bag, camera_info="none", odometry="none")
    assert topics.camera_info is None
    assert topics.odometry is None


def test_a_missing_topic_lists_the_image_topics_that_there_are():
    bag = bag_of(front__image_raw=(IMAGE, 5), rear__image=(COMPRESSED, 7), odom=(ODOMETRY, 3))
    with pytest.raises(BagError) as caught:
        choose_topics(bag, image="/camera/image")
    assert "/camera/image" in caught.value.what
    assert "/front/image_raw (5 × sensor_msgs/msg/Image)" in caught.value.mend
    assert "/rear/image (7 × sensor_msgs/msg/CompressedImage)" in caught.value.mend
    assert "/odom" not in caught.value.mend


def test_a_bag_without_images_lists_what_it_has():
    with pytest.raises(BagError) as caught:
        choose_topics(bag_of(odom=(ODOMETRY, 3)))
    assert "no topic with camera images" in caught.value.what
    assert "/odom" in caught.value.mend


@pytest.mark.parametrize("option", ["image", "camera_info", "odometry", "truth", "grid"])
def test_a_topic_of_the_wrong_type_is_refused(option):
    bag = bag_of(camera__image=(IMAGE, 9), chatter=("std_msgs/msg/String", 3))
    with pytest.raises(BagError) as caught:
        choose_topics(bag, **{option: "/chatter"})
    assert "is a std_msgs/msg/String, not a" in caught.value.what


def test_an_image_topic_without_messages_is_refused():
    with pytest.raises(BagError, match="no messages"):
        choose_topics(bag_of(camera__image=(IMAGE, 0)), image="/camera/image")
