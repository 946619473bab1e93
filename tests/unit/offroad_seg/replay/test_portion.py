# SPDX-License-Identifier: Apache-2.0
"""A bag measured in portions gives the figures of labels that one run gives."""

from __future__ import annotations

import pytest

from offroad_seg.ontology import load_ontology
from offroad_seg.pipeline import build_pipelines
from offroad_seg.replay.bag import open_bag
from offroad_seg.replay.evaluation import Scorer
from offroad_seg.replay.frames import FrameSource
from offroad_seg.replay.offline import perceive
from offroad_seg.replay.portion import portion
from offroad_seg.replay.summary import Summary
from offroad_seg.replay.topic_search import choose_topics
from tests.helpers.bundles import make_color_bundle
from tests.helpers.camera_bags import write_two_cameras

BOTH = ["/left/image_raw", "/right/image_raw"]
COSTMAP = ("costmap", "costmap_known_share", "costmap_stability", "driven_path")


@pytest.fixture(scope="module")
def ontology():
    return load_ontology("duality_desert")


@pytest.fixture(scope="module")
def run(ontology, tmp_path_factory):
    """Measures portions (start, stop, warm-up) one after the other and sums them up."""
    folder = tmp_path_factory.mktemp("portion")
    bundle = make_color_bundle(folder / "bundle", ontology, 40, 64)
    write_two_cameras(folder / "drive", ontology, frames=8, height=40, width=64, noise=80)
    pipelines = build_pipelines(bundle, ("left", "right"))

    def measure(*portions):
        summary = Summary(ontology, ("left", "right"))
        for start, stop, warm_up in portions:
            for pipeline in pipelines.values():
                pipeline.reset()
            with open_bag(folder / "drive") as bag:
                source = FrameSource(bag, choose_topics(bag, image=BOTH))
                scorer = Scorer(ontology, source.true_costmap())
                run = lambda items: perceive(items, pipelines)  # noqa: E731
                for record in portion(source, scorer, run, start, stop, warm_up=warm_up):
                    summary.take(record)
        return summary.metrics()

    return measure


def without(metrics, *keys):
    found = {k: v for k, v in metrics.items() if k not in (*keys, "latency_ms")}
    for camera in found.get("cameras", {}).values():
        camera.pop("latency_ms", None)
    return found


def test_labels_are_exact_and_so_is_the_costmap_with_all_its_past(run):
    whole = without(run((0, None, 0)))
    assert whole["frames"] == 16
    assert whole["images"] == 16
    parts = without(run((0, 5, 8), (5, 11, 8), (11, None, 8)))
    assert without(parts, *COSTMAP) == without(whole, *COSTMAP)
    assert without(run((0, 5, 0), (5, 11, 99), (11, None, 99))) == whole


def test_without_a_warm_up_the_first_frames_have_nothing_to_be_compared_with(run):
    whole, parts = run((0, None, 0)), run((0, 5, 0), (5, None, 0))
    assert parts["miou"] == whole["miou"]
    assert parts["flicker"] != whole["flicker"]
