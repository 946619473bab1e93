# SPDX-License-Identifier: Apache-2.0
"""Whole and damaged bags of both storages, with the real reader."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from offroad_seg.errors import BagError
from offroad_seg.ontology import load_ontology
from offroad_seg.replay.bag import BagMessage, open_bag
from tests.helpers.bags import STORE, T, cut, write_bag

IMAGE = "/camera/image"


@pytest.fixture(scope="module")
def ontology():
    return load_ontology("duality_desert")


@pytest.fixture(scope="module")
def whole(ontology, tmp_path_factory):
    """name → a bag of 20 frames."""
    folder = tmp_path_factory.mktemp("bags")
    return {
        name: write_bag(folder / name, ontology, frames=20, height=64, width=96)
        for name in ("one.mcap", "one.db3", "folder")
    }


def read_images(bag):
    return [bag.deserialize(m) for m in bag.messages([IMAGE])]


@pytest.mark.parametrize("name", ["one.mcap", "one.db3", "folder"])
def test_every_message_of_a_whole_bag_is_read(whole, name):
    drive = whole[name]
    with open_bag(drive.path) as bag:
        assert bag.topics[IMAGE].count == 20
        images = read_images(bag)
        assert bag.losses == []
    assert [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in images] == drive.stamps_ns
    for message, image in zip(images, drive.images, strict=True):
        np.testing.assert_array_equal(message.data.reshape(64, 96, 3), image)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
@pytest.mark.parametrize("name", ["one.mcap", "one.db3"])
def test_of_a_cut_file_all_whole_messages_are_read_and_the_loss_is_said(whole, tmp_path, name, share):
    drive = whole[name]
    path = tmp_path / name
    shutil.copy(drive.path, path)
    size = path.stat().st_size
    left = cut(path, share)
    with open_bag(path) as bag:
        images = read_images(bag)
        (loss,) = bag.losses
    # Each image takes its share of the file; a chunk or page more may be lost at the cut.
    assert share * 20 - 3 <= len(images) <= share * 20 + 1
    for message, image in zip(images, drive.images[: len(images)], strict=True):
        np.testing.assert_array_equal(message.data.reshape(64, 96, 3), image)
    assert f"{name} was cut" in loss
    if name.endswith(".db3"):
        assert f"{size - left:,} bytes" in loss
    else:
        assert "the file ends inside a record" in loss


def test_a_cut_file_in_a_folder_tells_how_many_messages_are_lost(whole, tmp_path):
    folder = tmp_path / "folder"
    shutil.copytree(whole["folder"].path, folder)
    cut(next(folder.glob("*.mcap")), 0.5)
    with open_bag(folder) as bag:
        found = sum(1 for _ in bag.messages(bag.topics))
        total = 2 + 20 * 5
        assert f"{total - found} of {total} messages are lost" in bag.losses


def test_a_folder_without_metadata_is_read_file_by_file_in_the_order_of_their_numbers(ontology, tmp_path):
    folder = tmp_path / "split"
    folder.mkdir()
    for number, frames in ((2, 3), (10, 4)):
        write_bag(folder / f"split_{number}.mcap", ontology, frames=frames)
    with open_bag(folder) as bag:
        assert bag.topics[IMAGE].count == 7
        stamps = [m.log_time_ns for m in bag.messages([IMAGE])]
        assert bag.losses == ["metadata.yaml is missing: the files of the folder were read one by one"]
    assert stamps[:3] == stamps[3:6]


def test_an_mcap_file_of_another_profile_is_read_without_a_loss(whole, tmp_path):
    """Foxglove's tools write profile "" or "ros2"; rosbags takes only the latter."""
    path = tmp_path / "other.mcap"
    path.write_bytes(whole["one.mcap"].path.read_bytes().replace(b"\x04\0\0\0ros2", b"\x04\0\0\0rosx", 1))
    with open_bag(path) as bag:
        assert len(read_images(bag)) == 20
        assert bag.losses == []


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_bag_without_messages_is_refused(tmp_path, storage):
    with Writer(tmp_path / "bag", version=9, storage_plugin=storage) as writer:
        writer.add_connection(IMAGE, "sensor_msgs/msg/Image", typestore=STORE)
    with pytest.raises(BagError) as caught:
        open_bag(tmp_path / "bag")
    assert "no messages" in caught.value.what
    assert caught.value.exit_code == 2


def test_types_that_the_bag_defines_itself_are_read(tmp_path):
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg("int32 number\nstring word", "own_msgs/msg/Own"))
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/own", "own_msgs/msg/Own", typestore=store)
        message = store.types["own_msgs/msg/Own"](number=7, word="seven")
        writer.write(connection, 5, store.serialize_cdr(message, "own_msgs/msg/Own"))
    with open_bag(tmp_path / "bag") as bag:
        assert (bag.first("/own").number, bag.first("/own").word) == (7, "seven")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.mcap", None, "no such bag"),
        ("old.bag", b"#ROSBAG V2.0\n", "ROS 1"),
        ("empty.mcap", b"", "0 bytes"),
        ("noise.mcap", b"noise" * 100, "nothing of the bag can be read"),
        ("noise.db3", b"noise" * 100, "nothing of the bag can be read"),
        ("text.txt", b"hello", "not a bag"),
    ],
)
def test_what_is_no_bag_is_refused_in_words(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BagError) as caught:
        open_bag(tmp_path / name)
    assert words in caught.value.what
    assert str(tmp_path / name) in caught.value.where
    assert caught.value.mend


def test_an_empty_folder_is_no_bag(tmp_path):
    with pytest.raises(BagError, match="not a bag"):
        open_bag(tmp_path)


def test_bytes_that_do_not_fit_their_type_are_told_with_the_topic(whole):
    with open_bag(whole["one.mcap"].path) as bag:
        broken = BagMessage(IMAGE, "sensor_msgs/msg/Image", 0, b"\0\1\0\0\1\2")
        with pytest.raises(BagError) as caught:
            bag.deserialize(broken)
    assert IMAGE in caught.value.where


@pytest.mark.parametrize("distribution", ["humble", "jazzy", "unheard_of"])
def test_bags_without_definitions_take_the_types_of_their_distribution(whole, tmp_path, distribution):
    """sqlite3 bags of Humble carry no message definitions."""
    import sqlite3

    with Writer(tmp_path / "bag", version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connection = writer.add_connection("/tf", "tf2_msgs/msg/TFMessage", typestore=STORE)
        writer.write(
            connection,
            5,
            STORE.serialize_cdr(T["tf2_msgs/msg/TFMessage"](transforms=[]), "tf2_msgs/msg/TFMessage"),
        )
    with sqlite3.connect(next((tmp_path / "bag").glob("*.db3"))) as database:
        database.execute("DELETE FROM message_definitions")
    metadata = tmp_path / "bag" / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("ros_distro: rosbags", f"ros_distro: {distribution}"))
    with open_bag(tmp_path / "bag") as bag:
        assert len(bag.first("/tf").transforms) == 0
