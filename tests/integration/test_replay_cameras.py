# SPDX-License-Identifier: Apache-2.0
"""Two cameras of one bag: figures of each, one costmap of both."""

from __future__ import annotations

import json

import pytest
from mcap.reader import make_reader

from offroad_seg.cli.main import main
from offroad_seg.ontology import load_ontology
from offroad_seg.replay.records import read_records
from offroad_seg.replay.summary import Summary
from tests.helpers.bundles import make_color_bundle
from tests.helpers.camera_bags import write_two_cameras

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


@pytest.mark.parametrize(
    "options",
    [["--topic", "/left/image_raw", "--topic", "/right/image_raw"], ["--camera-info", "camera.yaml"]],
)
def test_the_node_is_played_one_camera_with_the_bag_s_calibration(place, capsys, options):
    bag, out = str(place / "drive"), str(place / "y")
    assert main(["replay", str(place / "bundle"), bag, "--out", out, "--via-ros", *options]) == 2
    assert "--via-ros plays one camera" in capsys.readouterr().err
