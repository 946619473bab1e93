# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from offroad_seg.ontology import load_ontology
from offroad_seg.replay.bag import BagMessage
from offroad_seg.replay.evaluation import Evaluation
from offroad_seg.replay.frames import BagFrame, Drop
from offroad_seg.types import Frame, Perception, Segmentation


@pytest.fixture(scope="module")
def ontology():
    return load_ontology("duality_desert")


def item(index, truth=None, **changes):
    frame = Frame(np.zeros((2, 3, 3), np.uint8), index * 100_000_000, "camera")
    message = BagMessage("/image", "sensor_msgs/msg/Image", frame.stamp_ns, b"")
    made = BagFrame(
        index, frame, message, None, None, "", None if truth is None else np.array(truth, np.uint8)
    )
    return replace(made, **changes)


def seen(labels, total=5.0, confidence=204):
    labels_HW = np.array(labels, np.uint8)
    segmentation = Segmentation(labels_HW, np.full_like(labels_HW, confidence), 0, "camera", 0.8)
    return Perception(
        segmentation, None, None, {"total": total, "engine": total / 2}, "no transform at 1.234 s"
    )


def test_flicker_is_the_share_of_pixels_that_change_and_the_truth_s_own_change_stands_beside_it(ontology):
    evaluation = Evaluation(ontology)
    evaluation.add(item(0, [[0, 0, 0], [0, 0, 0]]), seen([[0, 0, 0], [1, 1, 1]]))
    row = evaluation.add(item(1, [[0, 0, 0], [0, 0, 3]]), seen([[0, 0, 2], [1, 1, 2]]))
    evaluation.add(item(2, [[0, 0, 0], [0, 0, 3]]), seen([[0, 0, 2], [1, 1, 2]]))
    assert row.changed == pytest.approx(2 / 6)
    metrics = evaluation.metrics()
    assert metrics["flicker"] == pytest.approx(2 / 12)
    assert metrics["flicker_truth"] == pytest.approx(1 / 12)


def test_a_jump_in_time_is_no_flicker(ontology):
    evaluation = Evaluation(ontology)
    evaluation.add(item(0), seen([[0, 0, 0], [0, 0, 0]]))
    assert evaluation.add(item(1, time_ran_back=True), seen([[1, 1, 1], [1, 1, 1]])).changed is None
    assert evaluation.metrics()["flicker"] is None


def test_unlabelled_pixels_do_not_flicker(ontology):
    evaluation = Evaluation(ontology)
    evaluation.add(item(0), seen([[255, 0, 0], [0, 0, 0]]))
    evaluation.add(item(1), seen([[1, 1, 0], [0, 0, 255]]))
    assert evaluation.metrics()["flicker"] == pytest.approx(1 / 4)


def test_percentiles_of_each_stage(ontology):
    evaluation = Evaluation(ontology)
    for index in range(101):
        evaluation.add(item(index), seen([[0, 0, 0], [0, 0, 0]], total=float(index)))
    latency = evaluation.metrics()["latency_ms"]
    assert latency["total"]["p50"] == 50.0
    assert latency["total"]["p95"] == 95.0
    assert latency["total"]["p99"] == 99.0
    assert latency["engine"]["max"] == 50.0


def test_drops_and_missing_costmaps_are_counted_by_cause(ontology):
    evaluation = Evaluation(ontology)
    evaluation.add(item(0), seen([[0, 0, 0], [0, 0, 0]]))
    evaluation.add(item(1), replace(seen([[0, 0, 0], [0, 0, 0]]), costmap_reason="no transform at 9.876 s"))
    for reason in ("step is 5", "step is 6"):
        evaluation.drop(Drop(2, 0, "bad_image", reason))
    metrics = evaluation.metrics()
    assert metrics["frames"] == 2
    assert metrics["frames_dropped"] == 2
    assert metrics["dropped"] == {"bad_image": {"frames": 2, "first_reason": "step is 5"}}
    assert metrics["no_costmap"] == {"no transform at … s": 2}


def test_without_truth_there_is_no_score_but_all_else(ontology):
    evaluation = Evaluation(ontology)
    evaluation.add(item(0), seen([[0, 0, 0], [9, 9, 9]]))
    metrics = evaluation.metrics()
    assert metrics["images"] == 0
    assert "miou" not in metrics
    assert metrics["predicted_share"]["Trees"] == pytest.approx(0.5)
    assert metrics["mean_confidence"] == pytest.approx(0.8)
    json.dumps(metrics, allow_nan=False)
