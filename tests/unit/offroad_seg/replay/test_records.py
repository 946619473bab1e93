# SPDX-License-Identifier: Apache-2.0
"""Records survive the file, and add up to the same figures in whatever portions they come."""

from __future__ import annotations

import numpy as np
import pytest

from offroad_seg.errors import InputError
from offroad_seg.metrics import SegmentationMetrics, count_image
from offroad_seg.ontology import load_ontology
from offroad_seg.replay.evaluation import Evaluation
from offroad_seg.replay.records import FrameRecord, RecordWriter, counts_of, read_records, truth_of
from offroad_seg.replay.summary import Summary
from tests.unit.offroad_seg.replay.test_evaluation import item, seen


@pytest.fixture(scope="module")
def ontology():
    return load_ontology("duality_desert")


def test_an_image_s_counts_come_back_exactly():
    rng = np.random.default_rng(0)
    names = ["a", "b", "c"]
    direct, through = SegmentationMetrics(names), SegmentationMetrics(names)
    for _ in range(6):
        predicted, truth = rng.integers(0, 3, (2, 9, 14)).astype(np.uint8)
        truth[0, :3] = 255
        predicted[2, :2] = 255
        confidence = rng.integers(0, 256, (9, 14)).astype(np.uint8)
        direct.update(predicted, truth, confidence)
        through.add(counts_of(truth_of(count_image(predicted, truth, confidence, 3)), 3))
    assert through.result() == direct.result()
    assert direct.result()["miou"] is not None


def test_records_read_from_the_file_give_the_same_figures(ontology, tmp_path):
    rng = np.random.default_rng(1)
    evaluation = Evaluation(ontology)
    with RecordWriter(tmp_path / "frames.jsonl") as writer:
        for index in range(7):
            labels, truth = rng.integers(0, 10, (2, 2, 3))
            evaluation.add(item(index, truth, camera="front"), seen(labels, total=1.5 * index))
            writer.append(evaluation.last)
    again = Summary(ontology)
    for record in read_records(tmp_path / "frames.jsonl"):
        again.take(record)
    assert again.metrics() == evaluation.metrics()
    assert again.rows == evaluation.rows
    assert again.metrics()["images"] == 7


def test_a_line_that_is_cut_is_said_with_its_number(tmp_path):
    whole = FrameRecord(0, "front", 5).to_json()
    (tmp_path / "frames.jsonl").write_text(whole + "\n" + whole[:20])
    with pytest.raises(InputError, match="line 2"):
        list(read_records(tmp_path / "frames.jsonl"))
    assert [r.index for r in read_records(tmp_path / "frames.jsonl", stop=1)] == [0]


def test_each_of_several_cameras_has_figures_of_its_own(ontology):
    evaluation = Evaluation(ontology, cameras=("left", "right"))
    evaluation.add(item(0, camera="left"), seen([[0, 0, 0], [0, 0, 0]]))
    evaluation.add(item(1, camera="right"), seen([[9, 9, 9], [9, 9, 9]]))
    evaluation.add(item(2, camera="left"), seen([[0, 0, 0], [0, 0, 1]]))
    metrics = evaluation.metrics()
    assert metrics["frames"] == 3
    assert metrics["cameras"]["left"]["frames"] == 2
    assert metrics["cameras"]["left"]["flicker"] == metrics["flicker"] == pytest.approx(1 / 6)
    assert metrics["cameras"]["right"]["flicker"] is None
    assert metrics["cameras"]["right"]["predicted_share"]["Sky"] in (0.0, 1.0)
