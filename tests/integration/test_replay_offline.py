# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg replay`` without ROS, on bags whose truth is known."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from offroad_seg.cli.main import main
from offroad_seg.ontology import load_ontology
from offroad_seg.replay.evaluation import TIME_KEYS
from tests.helpers.bags import cut, write_bag
from tests.helpers.bundles import make_color_bundle
from tests.helpers.orfd import write_orfd_bag

pytestmark = pytest.mark.parallel

FRAMES, HEIGHT, WIDTH = 12, 90, 160


@pytest.fixture(scope="module")
def ontology():
    return load_ontology("duality_desert")


@pytest.fixture(scope="module")
def place(ontology, tmp_path_factory):
    """A folder with ``bundle`` and ``drive.mcap``."""
    folder = tmp_path_factory.mktemp("replay")
    make_color_bundle(folder / "bundle", ontology, HEIGHT, WIDTH)
    write_bag(folder / "drive.mcap", ontology, frames=FRAMES, height=HEIGHT, width=WIDTH)
    return folder


@pytest.fixture(scope="module")
def result(place):
    """The results folder of one replay, and its metrics."""
    assert (
        main(["replay", str(place / "bundle"), str(place / "drive.mcap"), "--out", str(place / "out")]) == 0
    )
    return place / "out", read(place / "out")


def read(folder):
    return json.loads((folder / "metrics.json").read_text())


def replay(place, bag, *options, out="other"):
    return main(
        ["replay", str(place / "bundle"), str(bag), "--out", str(place / out), "--overwrite", *options]
    )


def test_a_bundle_that_knows_the_colours_scores_one(result):
    _, metrics = result
    assert metrics["frames"] == metrics["images"] == FRAMES
    assert metrics["frames_dropped"] == 0
    assert metrics["miou_present"] == metrics["pixel_accuracy"] == 1.0
    assert metrics["n_classes_present"] == 4
    assert metrics["flicker"] == metrics["flicker_truth"] > 0
    assert metrics["per_class"]["Trees"]["iou"] is None
    assert set(metrics["latency_ms"]["total"]) >= {"p50", "p95", "p99"}
    assert metrics["latency_ms"]["engine"]["p50"] <= metrics["latency_ms"]["total"]["p50"]


def test_the_costmap_agrees_with_the_world(place):
    # Feet where they meet the plane: what the doubt about them costs is measured in benchmarks/costmap_truth.py.
    assert replay(place, place / "drive.mcap", "--param", "contact_slope=0.0", out="sure") == 0
    costmap = read(place / "sure")["costmap"]
    assert costmap["frames"] == FRAMES
    assert 0.05 < costmap["known_share"] < 0.9
    assert costmap["free_precision"] > 0.98
    assert costmap["lethal_recall"] > 0.9
    assert costmap["mean_abs_error"] < 5


def test_two_runs_give_the_same_metrics_but_for_times(place, result):
    assert replay(place, place / "drive.mcap", out="again") == 0
    first, second = (
        {k: v for k, v in read(f).items() if k not in TIME_KEYS} for f in (result[0], place / "again")
    )
    assert first == second
    assert len(first) > 20


def test_sqlite_and_compressed_images_give_the_same_scores(place, result, ontology):
    drive = place / "drive.db3"
    write_bag(drive, ontology, frames=FRAMES, height=HEIGHT, width=WIDTH, compressed=True)
    assert replay(place, drive) == 0
    other = read(place / "other")
    for key in ("per_class", "flicker", "costmap", "boundary_iou"):
        assert other[key] == result[1][key]


def test_the_report_holds_everything_itself(result):
    text = (result[0] / "report.html").read_text(encoding="utf-8")
    assert len(text) < 30_000_000
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:|#)""", text)
    assert not re.search(r"@import|url\((?!data:)", text)
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert len(data["frames"]) == FRAMES
    assert set(data["frames"][4]["uris"]) == {
        "image",
        "prediction",
        "confidence",
        "truth",
        "costmap",
        "true_costmap",
    }


def test_a_folder_with_something_in_it_is_not_touched(place, result, capsys):
    before = sorted((p.name, p.stat().st_mtime_ns) for p in result[0].iterdir())
    assert main(["replay", str(place / "bundle"), str(place / "drive.mcap"), "--out", str(result[0])]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert sorted((p.name, p.stat().st_mtime_ns) for p in result[0].iterdir()) == before


def test_of_a_bag_cut_in_half_the_readable_part_is_replayed_and_the_loss_is_said(place, ontology, capsys):
    bag = place / "cut.mcap"
    write_bag(bag, ontology, frames=FRAMES, height=HEIGHT, width=WIDTH)
    cut(bag, 0.5)
    assert replay(place, bag) == 0
    metrics = read(place / "other")
    assert FRAMES // 2 - 3 <= metrics["frames"] <= FRAMES // 2 + 1
    assert metrics["miou_present"] == 1.0
    (loss,) = metrics["bag"]["losses"]
    assert "cut.mcap was cut" in loss
    assert loss in capsys.readouterr().out
    assert "cut.mcap was cut" in (place / "other" / "report.html").read_text(encoding="utf-8")


def _no_topic(folder, ontology):
    write_bag(folder / "a.mcap", ontology, frames=2)
    return folder / "a.mcap", ["--topic", "/front/image"]


def _bad_info(folder, ontology):
    def spoil(message):
        message.k[0] = np.nan

    write_bag(folder / "a.mcap", ontology, frames=2, edit_info=spoil)
    return folder / "a.mcap", []


def _bad_step(folder, ontology):
    def spoil(message, _index):
        message.step = 7

    write_bag(folder / "a.mcap", ontology, frames=2, edit_image=spoil)
    return folder / "a.mcap", []


def _not_a_bag(folder, ontology):
    (folder / "a.mcap").write_text("hello")
    return folder / "a.mcap", []


def _bad_rate(folder, ontology):
    write_bag(folder / "a.mcap", ontology, frames=2)
    return folder / "a.mcap", ["--rate", "2"]


def _bad_parameter(folder, ontology):
    write_bag(folder / "a.mcap", ontology, frames=2)
    return folder / "a.mcap", ["--param", "costmap.resolution=-1"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_no_topic, ["/front/image", "/camera/image (2 × sensor_msgs/msg/Image)"]),
        (_bad_info, ["not finite", "/camera/camera_info", "--camera-info none"]),
        (_bad_step, ["not one of the 2 images", "step is 7"]),
        (_not_a_bag, ["nothing of the bag can be read"]),
        (_bad_rate, ["--via-ros"]),
        (_bad_parameter, ["costmap.resolution", "out of bounds"]),
    ],
)
def test_bad_input_gives_words_and_status_2_and_leaves_nothing(
    place, ontology, tmp_path, capsys, make, words
):
    bag, options = make(tmp_path, ontology)
    out = tmp_path / "results" / "out"
    assert main(["replay", str(place / "bundle"), str(bag), "--out", str(out), *options]) == 2
    said = capsys.readouterr().err
    for word in words:
        assert word in said
    assert "Traceback" not in said
    assert not out.exists()
    assert not out.parent.exists() or list(out.parent.iterdir()) == []


def test_without_calibration_labels_go_on_and_the_reason_is_told(place, ontology, tmp_path):
    write_bag(tmp_path / "a.mcap", ontology, frames=3, camera_info=False)
    assert replay(place, tmp_path / "a.mcap") == 0
    metrics = read(place / "other")
    assert metrics["frames"] == 3
    assert metrics["costmap_frames"] == 0
    assert metrics["no_costmap"] == {"no camera_info for this image": 3}


def test_the_node_s_parameters_change_the_costmap(place, result, tmp_path):
    file = tmp_path / "perception.yaml"
    file.write_text(
        "perception:\n  ros__parameters:\n    costmap: {resolution: 0.2}\n    class_cost.Landscape: 77\n"
    )
    assert replay(place, place / "drive.mcap", "--params", str(file), "--param", "costmap.width=8.0") == 0
    other = read(place / "other")
    assert other["settings"]["costmap.resolution"] == 0.2
    assert other["costmap"]["free_precision"] is not None
    assert other["costmap"]["mean_abs_error"] > 30
    assert other["costmap"]["cells"] < result[1]["costmap"]["cells"] / 4


@pytest.mark.slow
def test_a_bag_of_a_thousand_frames_takes_no_more_memory(place, ontology, tmp_path):
    """Peak memory of a process of its own, against a bag of fifty frames."""
    import subprocess
    import sys

    code = (
        "import resource, sys; from offroad_seg.cli.main import main; status = main(sys.argv[1:]);"
        "print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(status)"
    )
    peaks = []
    for frames in (50, 1000):
        bag = tmp_path / f"{frames}.mcap"
        write_bag(bag, ontology, frames=frames, height=60, width=96, rate_hz=50.0, speed=0.1)
        arguments = ["replay", str(place / "bundle"), str(bag), "--out", str(tmp_path / f"out{frames}")]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout.split("PEAK")[1]) / 1024)
    # The report's pictures (120 frames against 50) and the rows of its timeline are all that may grow.
    assert peaks[1] - peaks[0] < 60, peaks


@pytest.mark.shared_data
def test_real_frames_without_odometry_are_mapped_one_by_one(place, shared_data, tmp_path):
    bag = write_orfd_bag(shared_data / "orfd_sequence", tmp_path / "orfd")
    assert replay(place, bag) == 0
    metrics = read(place / "other")
    assert metrics["frames"] == 6
    assert metrics["costmap_frames"] == 6
    assert metrics["settings"]["costmap_frame"] == "base_link"
    assert metrics["images"] == 0
