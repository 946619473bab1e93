# SPDX-License-Identifier: Apache-2.0
"""What a replay measures without labels: on a drive whose world is known, and with networks that are wrong on purpose."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from offroad_seg.cli.main import main
from offroad_seg.ontology import load_ontology
from tests.helpers.bags import write_bag
from tests.helpers.bundles import make_color_bundle

pytestmark = pytest.mark.parallel

FRAMES, HEIGHT, WIDTH = 30, 90, 160


@pytest.fixture(scope="module")
def ontology():
    return load_ontology("duality_desert")


@pytest.fixture(scope="module")
def place(ontology, tmp_path_factory):
    """A drive of 4 m over open ground, with noise, and four bundles."""
    folder = tmp_path_factory.mktemp("measures")
    make_color_bundle(folder / "right", ontology, HEIGHT, WIDTH)
    # Sees rocks where there is landscape: the two classes have changed colours.
    colors = {"Landscape": "Rocks", "Rocks": "Landscape"}
    by_name = {c.name: c for c in ontology.classes}
    classes = tuple(replace(c, color=by_name[colors.get(c.name, c.name)].color) for c in ontology.classes)
    make_color_bundle(folder / "wrong", replace(ontology, classes=classes), HEIGHT, WIDTH)
    # Calls all ground lethal.
    feared = tuple(replace(c, cost="lethal", standing=False) for c in ontology.classes)
    make_color_bundle(folder / "afraid", replace(ontology, classes=feared), HEIGHT, WIDTH)
    renamed = tuple(replace(c, name=f"{c.name} again") for c in ontology.classes)
    make_color_bundle(folder / "other_set", replace(ontology, classes=renamed), HEIGHT, WIDTH)
    write_bag(folder / "drive.mcap", ontology, frames=FRAMES, height=HEIGHT, width=WIDTH, speed=0.7, noise=45)
    return folder


def replay(place, bundle, *options, out=None):
    folder = place / (out or f"out_{bundle}")
    status = main(["replay", str(place / bundle), str(place / "drive.mcap"), "--out", str(folder), *options])
    return status, json.loads((folder / "metrics.json").read_text()) if status == 0 else {}


@pytest.fixture(scope="module")
def right(place):
    status, metrics = replay(place, "right")
    assert status == 0
    return metrics


def test_ground_that_was_driven_over_was_not_called_lethal(place):
    # Feet where they meet the plane: the doubt about a rock beside the way may touch the way.
    status, sure = replay(place, "right", "--param", "contact_slope=0.0", out="sure")
    assert status == 0
    driven = sure["driven_path"]
    assert driven["metres"] == pytest.approx(0.7 * (FRAMES - 1) / 5, rel=0.01)
    assert driven["false_lethal_rate"] == 0.0
    assert driven["unknown_rate"] < 0.5
    assert driven["footprint"] == {"length": 2.5, "width": 1.6, "ahead": 0.0}
    assert [(b["from_m"], b["to_m"]) for b in driven["by_distance"]] == [(2, 4), (4, 6), (6, 8), (8, 10)]


def test_where_all_ground_is_called_lethal_the_false_lethal_rate_is_one(place):
    status, metrics = replay(place, "afraid")
    assert status == 0
    driven = metrics["driven_path"]
    assert driven["looks"] > 100
    assert driven["unknown_rate"] < 0.5
    assert [b["false_lethal_rate"] for b in driven["by_distance"]][:2] == [1.0, 1.0]
    assert driven["false_lethal_rate"] == 1.0
    assert len(driven["worst"]) == 10


def test_flicker_is_less_when_the_motion_is_taken_out(right):
    assert right["flicker_compensated_by"] == {"flow": FRAMES - 1}
    assert 0 < right["flicker_compensated_truth"] < right["flicker_truth"]
    assert 0 < right["flicker_compensated"] < right["flicker"]
    per_class = right["flicker_compensated_per_class"]
    assert set(per_class) == set(right["per_class"])
    assert 0 < per_class["Landscape"] < 0.4


def test_stability_counts_cells_that_change_their_mind(right):
    stability = right["costmap_stability"]
    assert stability["frames"] == FRAMES
    assert stability["decided_cells"] > 1000
    assert stability["flips"] == stability["to_lethal"] + stability["to_free"]
    assert stability["flip_share"] < 0.01


def test_agreement_with_itself_is_whole_and_with_a_wrong_one_is_not(place, right):
    status, alone = replay(place, "right", "--compare-with", str(place / "right"), out="itself")
    assert status == 0
    assert alone["agreement"]["pixels"] == 1.0
    assert alone["agreement"]["bundle"] == "nearest_color"
    assert alone["agreement"]["classes_of_one_only"] == []
    without = {
        k: v for k, v in alone.items() if k not in ("agreement", "seconds", "frames_per_second", "latency_ms")
    }
    assert without == {k: right[k] for k in without}

    status, metrics = replay(place, "right", "--compare-with", str(place / "wrong"), out="disagree")
    assert status == 0
    agreement = metrics["agreement"]
    share = right["predicted_share"]
    assert agreement["pixels"] == pytest.approx(1 - share["Landscape"] - share["Rocks"], abs=0.02)
    assert agreement["per_class"]["Landscape"] < 0.02
    assert agreement["per_class"]["Sky"] > 0.95
    worst = [f["pixels"] for f in agreement["worst_frames"]]
    assert worst == sorted(worst)
    assert len(worst) == 10


def test_bundles_that_cannot_be_compared_and_footprints_that_cannot_be(place, capsys):
    for options, word in (
        (["--compare-with", str(place / "other_set")], "no class in common"),
        (["--compare-with", str(place / "nowhere")], "nowhere"),
        (["--footprint", "wide"], "not a footprint"),
        (["--footprint", "2.5"], "footprint"),
        (["--footprint", "2,-1"], "footprint"),
    ):
        assert replay(place, "right", *options, out="bad")[0] == 2, options
        said = capsys.readouterr().err
        assert word in said
        assert "Traceback" not in said
        assert not (place / "bad").exists()


def test_a_wider_footprint_asks_for_more_cells(place, right):
    status, metrics = replay(place, "right", "--footprint", "2.5,3,0.5", out="wide")
    assert status == 0
    assert metrics["driven_path"]["looks"] > 1.5 * right["driven_path"]["looks"]
    assert metrics["driven_path"]["footprint"]["ahead"] == 0.5


def test_labels_of_another_size_are_judged_at_the_truth_s(place, right):
    status, metrics = replay(place, "right", "--param", "output_size=[80, 45]", out="small")
    assert status == 0
    assert metrics["images"] == FRAMES
    assert metrics["miou_present"] == pytest.approx(right["miou_present"], abs=0.1)
