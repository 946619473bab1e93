# SPDX-License-Identifier: Apache-2.0
"""Bags as they come from the field: empty, split, of other distributions, with time that runs back."""

from __future__ import annotations

import json
import shutil
import sqlite3

import numpy as np
import pytest
import yaml
from rosbags.rosbag2 import StoragePlugin, Writer

from offroad_seg.cli.main import main
from offroad_seg.ontology import load_ontology
from offroad_seg.replay.records import read_records
from offroad_seg.replay.resume import partial_folder
from tests.helpers.bags import START_NS, STORE, write_bag
from tests.helpers.bundles import make_color_bundle

pytestmark = pytest.mark.parallel

HEIGHT, WIDTH = 60, 96


@pytest.fixture(scope="module")
def ontology():
    return load_ontology("duality_desert")


@pytest.fixture(scope="module")
def bundle(ontology, tmp_path_factory):
    path = tmp_path_factory.mktemp("edge") / "bundle"
    make_color_bundle(path, ontology, HEIGHT, WIDTH)
    return path


def replay(bundle, bag, out, *options):
    status = main(["replay", str(bundle), str(bag), "--out", str(out), *options])
    return status, json.loads((out / "metrics.json").read_text()) if status == 0 else {}


def connections_only(path, plugin):
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        writer.add_connection("/camera/image", "sensor_msgs/msg/Image", typestore=STORE)


def empty(folder, ontology):
    connections_only(folder / "bag", StoragePlugin.MCAP)
    return folder / "bag", [], ["no messages"]


def empty_sqlite(folder, ontology):
    connections_only(folder / "bag", StoragePlugin.SQLITE3)
    return folder / "bag", [], ["no messages"]


def no_bytes(folder, ontology):
    (folder / "a.mcap").touch()
    return folder / "a.mcap", [], ["empty (0 bytes)"]


def no_image_topic(folder, ontology):
    write_bag(folder / "a.mcap", ontology, frames=2, image_topic="/mask")
    return folder / "a.mcap", [], ["no topic with camera images", "/mask (2 × sensor_msgs/msg/Image)"]


def wrong_type(folder, ontology):
    write_bag(folder / "a.mcap", ontology, frames=2)
    return folder / "a.mcap", ["--topic", "/odom"], ["/odom is a nav_msgs/msg/Odometry", "/camera/image"]


def truth_of_another_size(folder, ontology):
    large = folder / "split"
    large.mkdir()
    write_bag(large / "split_0.mcap", ontology, frames=2, height=HEIGHT, width=WIDTH, truth=False)
    write_bag(folder / "small.mcap", ontology, frames=2, height=30, width=48)
    masks = folder / "masks"
    masks.mkdir()
    import cv2

    cv2.imwrite(str(masks / f"{START_NS}.png"), np.full((30, 48), 100, np.uint16))
    return large, ["--truth", str(masks)], ["the mask is 48×30, its image 96×60"]


def calibration_for_another_size(folder, ontology):
    file = folder / "camera.yaml"
    file.write_text("image_width: 0\nimage_height: 0\ncamera_matrix: {data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}\n")
    write_bag(folder / "a.mcap", ontology, frames=2)
    return folder / "a.mcap", ["--camera-info", str(file)], ["camera.yaml", "camera size 0×0"]


@pytest.mark.parametrize(
    "make",
    [
        empty,
        empty_sqlite,
        no_bytes,
        no_image_topic,
        wrong_type,
        truth_of_another_size,
        calibration_for_another_size,
    ],
)
def test_what_cannot_be_replayed_gives_words_and_leaves_nothing(bundle, ontology, tmp_path, capsys, make):
    bag, options, words = make(tmp_path, ontology)
    out = tmp_path / "results" / "out"
    assert replay(bundle, bag, out, *options)[0] == 2
    said = capsys.readouterr().err
    for word in words:
        assert word in said
    assert "Traceback" not in said
    assert not out.exists()


def test_time_that_runs_back_begins_everything_anew(bundle, ontology, tmp_path):
    """The same drive twice in one bag: the second half is as the first, as if nothing had been before."""
    folder = tmp_path / "twice"
    folder.mkdir()
    for number in (0, 1):
        write_bag(
            folder / f"twice_{number}.mcap", ontology, frames=12, rate_hz=4.0, height=HEIGHT, width=WIDTH
        )
    status, metrics = replay(bundle, folder, tmp_path / "out")
    assert status == 0
    assert metrics["frames"] == 24
    records = list(read_records(tmp_path / "out" / "frames.jsonl"))
    assert [r.index for r in records if r.time_ran_back] == [12]
    for first, second in zip(records[:12], records[12:], strict=True):
        assert first.flicker == second.flicker
        assert first.motion == second.motion
        assert first.costmap == second.costmap


def test_a_changing_resolution_goes_on_and_flicker_begins_anew(bundle, ontology, tmp_path):
    folder = tmp_path / "sizes"
    folder.mkdir()
    write_bag(folder / "s_0.mcap", ontology, frames=3, height=60, width=96)
    write_bag(folder / "s_1.mcap", ontology, frames=3, height=120, width=192, start_ns=START_NS + 10**9)
    status, metrics = replay(bundle, folder, tmp_path / "out")
    assert status == 0
    assert metrics["frames"] == metrics["images"] == metrics["costmap_frames"] == 6
    records = list(read_records(tmp_path / "out" / "frames.jsonl"))
    assert [r.flicker is None for r in records] == [True, False, False, True, False, False]
    assert sum(records[-1].pixels) == 120 * 192


def test_frames_of_a_covered_lens_are_dropped_with_their_cause(bundle, ontology, tmp_path):
    def cover(message, index):
        if index in (2, 3):
            message.data[:] = 128

    write_bag(tmp_path / "a.mcap", ontology, frames=6, edit_image=cover)
    status, metrics = replay(bundle, tmp_path / "a.mcap", tmp_path / "out")
    assert status == 0
    assert (metrics["frames"], metrics["frames_dropped"]) == (4, 2)
    assert list(metrics["dropped"]) == ["blind"]
    assert metrics["dropped"]["blind"]["frames"] == 2
    assert "the picture shows nothing: contrast 0.0 of 3 grey" in metrics["dropped"]["blind"]["first_reason"]
    records = read_records(tmp_path / "out" / "frames.jsonl")
    assert [r.dropped for r in records] == [None, None, "blind", "blind", None, None]
    _, metrics = replay(bundle, tmp_path / "a.mcap", tmp_path / "all", "--param", "min_contrast=0")
    assert (metrics["frames"], metrics["frames_dropped"]) == (6, 0)


def test_a_calibration_of_another_size_costs_the_costmap_and_says_so(bundle, ontology, tmp_path):
    def shrink(message):
        message.width, message.height = 48, 30

    write_bag(tmp_path / "a.mcap", ontology, frames=3, height=HEIGHT, width=WIDTH, edit_info=shrink)
    status, metrics = replay(bundle, tmp_path / "a.mcap", tmp_path / "out")
    assert status == 0
    assert metrics["frames"] == 3
    assert metrics["costmap_frames"] == 0
    (reason,) = metrics["no_costmap"]
    assert "48×30" in reason


def split(folder, ontology, storage):
    """A bag of two files with one metadata.yaml, as the recorder splits it."""
    suffix = ".mcap" if storage == "mcap" else ".db3"
    for number in (0, 1):
        write_bag(
            folder / f"part_{number}", ontology, frames=4, height=HEIGHT, width=WIDTH, storage=storage,
            start_ns=START_NS + number * 800_000_000,
        )  # fmt: skip
    bag = folder / "split"
    bag.mkdir()
    metadata = yaml.safe_load((folder / "part_0" / "metadata.yaml").read_text())
    about = metadata["rosbag2_bagfile_information"]
    names = []
    for number in (0, 1):
        names.append(f"split_{number}{suffix}")
        shutil.copy(next((folder / f"part_{number}").glob(f"*{suffix}")), bag / names[-1])
    about["relative_file_paths"] = names
    about["files"] = [about["files"][0] | {"path": name} for name in names]
    about["message_count"] *= 2
    for topic in about["topics_with_message_count"]:
        topic["message_count"] *= 2
    (bag / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    return bag


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_split_bag_is_one_drive(bundle, ontology, tmp_path, storage):
    bag = split(tmp_path, ontology, storage)
    status, metrics = replay(bundle, bag, tmp_path / "out")
    assert status == 0
    assert metrics["frames"] == 8
    assert metrics["bag"]["losses"] == []
    stamps = [r.stamp_ns for r in read_records(tmp_path / "out" / "frames.jsonl")]
    assert list(np.diff(stamps)) == [200_000_000] * 7


def as_humble(database):
    """The tables as rosbag2 of Humble writes them: no hashes, no definitions."""
    columns = (
        "id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT, offered_qos_profiles TEXT"
    )
    with sqlite3.connect(database) as connection:
        for table in ("schema", "metadata", "message_definitions"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute(f"CREATE TABLE old({columns})")
        connection.execute("INSERT INTO old SELECT id, name, type, serialization_format, '' FROM topics")
        connection.execute("DROP TABLE topics")
        connection.execute("ALTER TABLE old RENAME TO topics")


def test_a_topic_whose_messages_are_lost_is_no_reason_to_stop(bundle, ontology, tmp_path):
    """The list of topics promises a true grid and odometry, and no message of them is there."""
    write_bag(tmp_path / "bag", ontology, frames=3, height=HEIGHT, width=WIDTH, storage="sqlite3")
    with sqlite3.connect(next((tmp_path / "bag").glob("*.db3"))) as connection:
        lost = "SELECT id FROM topics WHERE name IN ('/ground_truth/costmap', '/odom', '/camera/camera_info')"
        connection.execute(f"DELETE FROM messages WHERE topic_id IN ({lost})")
    status, metrics = replay(bundle, tmp_path / "bag", tmp_path / "out")
    assert status == 0
    assert metrics["frames"] == 3
    assert "costmap" not in metrics


@pytest.mark.parametrize(("storage", "version"), [("mcap", 8), ("sqlite3", 5), ("sqlite3", 8)])
@pytest.mark.parametrize("distribution", ["humble", "iron", "jazzy"])
def test_bags_of_every_distribution_give_the_same_figures(
    bundle, ontology, tmp_path, storage, version, distribution
):
    """Humble writes metadata of version 5 without definitions in the database, Iron and Jazzy write them."""
    folder = tmp_path / "bag"
    write_bag(folder, ontology, frames=3, height=HEIGHT, width=WIDTH, storage=storage)
    text = yaml.safe_load((folder / "metadata.yaml").read_text())
    about = text["rosbag2_bagfile_information"]
    about["version"] = version
    about["ros_distro"] = distribution
    if version == 5:
        for topic in about["topics_with_message_count"]:
            topic["topic_metadata"].pop("type_description_hash", None)
            topic["topic_metadata"]["offered_qos_profiles"] = ""
        as_humble(next(folder.glob("*.db3")))
    (folder / "metadata.yaml").write_text(yaml.safe_dump(text))
    status, metrics = replay(bundle, folder, tmp_path / "out")
    assert status == 0
    assert metrics["frames"] == metrics["costmap_frames"] == 3
    assert metrics["miou_present"] == 1.0


def test_nothing_is_left_beside_the_results(bundle, ontology, tmp_path):
    write_bag(tmp_path / "a.mcap", ontology, frames=3, height=HEIGHT, width=WIDTH)
    out = tmp_path / "results" / "out"
    assert replay(bundle, tmp_path / "a.mcap", out)[0] == 0
    assert [p.name for p in out.parent.iterdir()] == ["out"]
    assert not partial_folder(out).exists()
    assert sorted(p.name for p in out.iterdir()) == [
        "annotated.mcap",
        "frames.jsonl",
        "metrics.json",
        "report.html",
    ]
