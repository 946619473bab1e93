# SPDX-License-Identifier: Apache-2.0
"""Two cameras of one bag: figures of each, one costmap of both."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from mcap.reader import make_reader

from offroad_seg.cli.main import main
from offroad_seg.errors import InputError
from offroad_seg.ontology import load_ontology
from offroad_seg.replay.records import read_records
from offroad_seg.replay.summary import Summary
from offroad_seg.replay.topics import COMPRESSED
from tests.helpers import camera_bags
from tests.helpers.bags import camera
from tests.helpers.bundles import make_color_bundle
from tests.helpers.camera_bags import write_camera_file, write_two_cameras

FRAMES = 8


@pytest.fixture(scope="module")
def ontology():
    return load_ontology("duality_desert")


@pytest.fixture(scope="module")
def place(ontology, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cameras")
    make_color_bundle(folder / "bundle", ontology, 60, 96)
    write_two_cameras(folder / "drive", ontology, frames=FRAMES, height=60, width=96)
    for name, topics in (("both", ["left", "right"]), ("left", ["left"])):
        options = [word for topic in topics for word in ("--topic", f"/{topic}/image_raw")]
        status = main(
            ["replay", str(folder / "bundle"), str(folder / "drive"), "--out", str(folder / name), *options]
        )
        assert status == 0
    return folder


def read(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_each_camera_has_figures_and_both_feed_one_costmap(place):
    both, left = read(place / "both"), read(place / "left")
    assert both["frames"] == both["costmap_frames"] == 2 * FRAMES
    assert set(both["cameras"]) == {"left", "right"}
    assert "cameras" not in left
    for key in ("frames", "miou", "flicker", "predicted_share", "mean_confidence"):
        assert both["cameras"]["left"][key] == left[key], key
    assert both["cameras"]["right"]["images"] == FRAMES
    # Two cameras that look aside see more of the ground than one.
    assert both["costmap_known_share"] > 1.4 * left["costmap_known_share"]
    assert both["costmap"]["free_precision"] > 0.95
    assert both["bag"]["topics"]["image"] == "/left/image_raw, /right/image_raw"


def test_each_camera_s_outputs_stand_under_its_name(place):
    with (place / "both" / "annotated.mcap").open("rb") as stream:
        summary = make_reader(stream).get_summary()
    counts = summary.statistics.channel_message_counts
    found = {channel.topic: counts[number] for number, channel in summary.channels.items()}
    for name in ("left", "right"):
        assert found[f"/{name}/labels"] == found[f"/{name}/image_raw/compressed"] == FRAMES
        assert found[f"/{name}/camera_info"] == FRAMES
    assert found["/costmap"] == 2 * FRAMES
    assert "/labels" not in found


def test_the_lines_of_the_frames_add_up_to_the_metrics(place, ontology):
    summary = Summary(ontology, ("left", "right"))
    for record in read_records(place / "both" / "frames.jsonl"):
        summary.take(record)
    metrics = read(place / "both")
    assert metrics["driven_path"].pop("footprint")
    found = summary.metrics()
    assert found == {key: metrics[key] for key in found}
    assert len(found) > 15


def test_a_missing_topic_of_several_is_said(place, capsys):
    status = main(
        ["replay", str(place / "bundle"), str(place / "drive"), "--out", str(place / "x"), "--topic",
         "/left/image_raw", "--topic", "/up/image_raw"]
    )  # fmt: skip
    assert status == 2
    assert "/right/image_raw" in capsys.readouterr().err
    assert not (place / "x").exists()


def rows(folder):
    """The records but for what depends on the clock, or on whether confidence was rounded to bytes on its way."""
    return [
        {k: v for k, v in json.loads(line).items() if k not in ("latency_ms", "mean_confidence")}
        for line in (folder / "frames.jsonl").read_text().splitlines()
    ]


BOTH = ("--topic", "/left/image_raw", "--topic", "/right/image_raw")


@pytest.mark.parametrize("options", [(), ("--param", "projection=depth")], ids=["plane", "depth"])
def test_the_node_with_both_cameras_says_what_replay_says_offline(place, tmp_path, options):
    pytest.importorskip("rclpy", reason="no rclpy here")
    common = ["replay", str(place / "bundle"), str(place / "drive"), *BOTH, *options, "--out"]
    assert main([*common, str(tmp_path / "offline")]) == 0
    assert main([*common, str(tmp_path / "node"), "--via-ros"]) == 0
    offline, node = read(tmp_path / "offline"), read(tmp_path / "node")
    assert node["frames"] == node["costmap_frames"] == 2 * FRAMES
    assert rows(tmp_path / "offline") == rows(tmp_path / "node")
    for key in ("costmap", "costmap_known_share"):
        assert offline[key] == node[key]
    for name in ("left", "right"):
        assert offline["cameras"][name]["per_class"] == node["cameras"][name]["per_class"]
        assert node["node"]["cameras"][name]["dropped"] == {}


def test_cameras_that_open_at_once_keep_their_own_answers(place, ontology, tmp_path, monkeypatch):
    pytest.importorskip("rclpy", reason="no rclpy here")
    monkeypatch.setattr(camera_bags, "LATE_NS", 0)
    write_two_cameras(tmp_path / "drive", ontology, frames=FRAMES, height=60, width=96)
    common = ["replay", str(place / "bundle"), str(tmp_path / "drive"), *BOTH, "--out"]
    for name, more in (("offline", []), ("node", ["--via-ros"]), ("rate", ["--via-ros", "--rate", "1"])):
        assert main([*common, str(tmp_path / name), *more]) == 0
    assert rows(tmp_path / "offline") == rows(tmp_path / "node")
    assert read(tmp_path / "node")["costmap_frames"] == 2 * FRAMES
    rate = read(tmp_path / "rate")
    assert rate["frames"] + rate["frames_dropped"] == 2 * FRAMES
    assert rate["miou_present"] > 0.9


def test_what_each_camera_loses_at_a_rate_is_counted_for_it(place, tmp_path):
    """A node that may take 4 frames a second of each camera gets 20, at the bag's own times."""
    pytest.importorskip("rclpy", reason="no rclpy here")
    out = tmp_path / "rate"
    flood = ["--via-ros", "--rate", "2", "--param", "max_rate=4.0"]
    assert (
        main(["replay", str(place / "bundle"), str(place / "drive"), *BOTH, *flood, "--out", str(out)]) == 0
    )
    found = read(out)
    assert found["frames"] + found["frames_dropped"] == 2 * FRAMES
    for name, own in found["cameras"].items():
        assert own["frames"] >= 1
        assert own["frames"] + own["frames_dropped"] == FRAMES
        assert own["frames_dropped"] == own["dropped"]["not_answered"]["frames"] > 0
        assert found["node"]["cameras"][name]["dropped"]["replaced"] > 0
    told = found["node"]["cameras"].values()
    assert found["node"]["dropped"]["replaced"] == sum(each["dropped"]["replaced"] for each in told)


def test_a_calibration_file_reaches_the_node_too(place, ontology, tmp_path):
    pytest.importorskip("rclpy", reason="no rclpy here")
    path = write_camera_file(tmp_path / "camera.yaml", camera(60, 96))
    options = ["--topic", "/left/image_raw", "--camera-info", str(path)]
    for name, more in (("offline", []), ("node", ["--via-ros"])):
        command = ["replay", str(place / "bundle"), str(place / "drive"), *options, *more]
        assert main([*command, "--out", str(tmp_path / name)]) == 0
    assert read(tmp_path / "node")["costmap_frames"] == FRAMES
    assert rows(tmp_path / "offline") == rows(tmp_path / "node")


def test_cameras_of_both_kinds_are_no_node_s(place, tmp_path, capsys):
    pytest.importorskip("rclpy", reason="no rclpy here")
    from offroad_seg.replay.bag import open_bag
    from offroad_seg.replay.frames import FrameSource
    from offroad_seg.replay.topic_search import choose_topics
    from offroad_seg.ros.player import NodeReplay

    with open_bag(place / "drive") as bag:
        topics = choose_topics(bag, image=["/left/image_raw", "/right/image_raw"])
        left, right = topics.cameras
        mixed = replace(left, image=replace(left.image, msgtype=COMPRESSED))
        source = FrameSource(bag, replace(topics, cameras=(mixed, right)))
        with pytest.raises(InputError, match="raw or compressed"):
            NodeReplay(source, {}, place / "bundle")
