# SPDX-License-Identifier: Apache-2.0
"""The statistics of ``compare``: figures from sums, intervals that cover, gates that mean what they say."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.errors import InputError
from offroad_seg.metrics import SegmentationMetrics, count_image
from offroad_seg.replay.compare import lookup
from offroad_seg.replay.compare_bootstrap import Blocks, Interval, blocks_of, differences, draws, widening
from offroad_seg.replay.compare_gates import FAILED, PASSED, UNKNOWN, Gate, judge, parse_gate
from offroad_seg.replay.compare_junit import junit_xml
from offroad_seg.replay.compare_results import Key
from offroad_seg.replay.compare_sums import Layout, better
from offroad_seg.replay.records import FrameRecord, truth_of

NAMES = ["Ground", "Rock face", "Sky"]
LAYOUT = Layout.of(NAMES)


def record(rng, index=0, wrong=0.3):
    truth = rng.integers(0, 3, (12, 20)).astype(np.uint8)
    truth[0] = 255
    predicted = np.where(rng.random(truth.shape) < wrong, rng.integers(0, 3, truth.shape), truth % 3).astype(
        np.uint8
    )
    confidence = rng.integers(0, 256, truth.shape).astype(np.uint8)
    made = FrameRecord(
        index, "front", index * 10**8, mean_confidence=float(rng.random()), flicker=[3, 10],
        truth=truth_of(count_image(predicted, truth, confidence, 3)), latency_ms={"total": 5.0 + index},
    )  # fmt: skip
    return made, predicted, truth, confidence


def test_figures_from_sums_are_those_of_the_metrics():
    rng = np.random.default_rng(0)
    metrics, rows = SegmentationMetrics(NAMES), []
    for index in range(5):
        made, predicted, truth, confidence = record(rng, index)
        metrics.update(predicted, truth, confidence)
        rows.append(LAYOUT.row(made))
    found = {k: v[0] for k, v in LAYOUT.figures(np.sum(rows, axis=0, keepdims=True)).items()}
    wanted = metrics.result()
    for key in ("miou", "miou_present", "pixel_accuracy", "mean_dice", "ece", "boundary_iou"):
        assert found[key] == pytest.approx(wanted[key], abs=1e-15), key
    for name in NAMES:
        for kind in ("iou", "precision", "recall"):
            assert found[f"per_class.{name}.{kind}"] == pytest.approx(wanted["per_class"][name][kind])
    assert found["flicker"] == 0.3
    assert found["latency_ms.total.mean"] == 7.0
    assert math.isnan(found["costmap.lethal_recall"])
    assert math.isnan(found["ood_share"])


def test_a_record_of_other_classes_is_refused():
    with pytest.raises(ValueError, match="confusion"):
        Layout.of(["a", "b"]).row(record(np.random.default_rng(0))[0])


def keys(n, hz=10.0, bag="a"):
    return [Key(bag, "front", int(i / hz * 1e9), 0) for i in range(n)]


def test_blocks_last_five_seconds_but_are_neither_tiny_nor_half_the_bag():
    assert blocks_of(keys(1000)) == [Blocks(0, 1000, 50)]
    assert blocks_of(keys(1000, hz=1.0)) == [Blocks(0, 1000, 10)]
    assert blocks_of(keys(12)) == [Blocks(0, 12, 3)]
    assert blocks_of(keys(1)) == [Blocks(0, 1, 1)]
    assert blocks_of(keys(40) + keys(80, bag="b")) == [Blocks(0, 40, 10), Blocks(40, 80, 20)]
    assert blocks_of(keys(1000), seconds=2.0)[0].length == 20


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 9)), min_size=1, max_size=3), st.integers(0, 99))
def test_every_draw_keeps_each_bag_s_number_of_frames(sizes, seed):
    blocks, start = [], 0
    for n, length in sizes:
        blocks.append(Blocks(start, n, min(length, n)))
        start += n
    counts = np.concatenate(list(draws(blocks, 50, seed)))
    assert counts.shape == (50, start)
    for b in blocks:
        assert (counts[:, b.start : b.start + b.frames].sum(axis=1) == b.frames).all()
    np.testing.assert_array_equal(counts, np.concatenate(list(draws(blocks, 50, seed))))


def test_every_frame_is_drawn_equally_often():
    counts = np.concatenate(list(draws([Blocks(0, 50, 8)], 4000, 1)))
    assert np.abs(counts.mean(axis=0) - 1).max() < 0.1


def accuracy_rows(shares, pixels=10_000):
    """Rows of frames in which a share of the pixels of one class is right."""
    rows = np.zeros((len(shares), LAYOUT.width))
    right = np.round(np.clip(shares, 0, 1) * pixels)
    rows[:, 0] = right
    rows[:, 1] = pixels - right
    return rows


def correlated(rng, n, scale, memory):
    noise = np.empty(n)
    noise[0] = rng.normal(0, scale)
    for i in range(1, n):
        noise[i] = memory * noise[i - 1] + rng.normal(0, scale * math.sqrt(1 - memory**2))
    return noise


def coverage(length, runs=120, n=400, delta=0.02):
    hit = 0
    for run in range(runs):
        rng = np.random.default_rng(run)
        one = 0.7 + correlated(rng, n, 0.05, 0.9)
        two = one + delta + correlated(rng, n, 0.03, 0.9)
        found = differences(
            LAYOUT, [accuracy_rows(one), accuracy_rows(two)], [Blocks(0, n, length)], resamples=300, seed=run
        )[0]["pixel_accuracy"]
        hit += found.low <= delta <= found.high
    return hit / runs


def test_the_interval_covers_the_truth_although_frames_correlate():
    """Of 95 % intervals over frames that follow one another, about 95 % cover; resampling single frames would not."""
    assert 0.88 <= coverage(length=40) <= 0.99
    assert coverage(length=1) < 0.7


def test_few_blocks_widen_the_interval():
    assert widening(1000) == pytest.approx(1.0, abs=0.003)
    assert widening(10) == pytest.approx(2.262 / 1.960 * math.sqrt(10 / 9), abs=1e-3)
    assert widening(1) == widening(2) > widening(3)


def test_equal_results_differ_by_exactly_nothing():
    rng = np.random.default_rng(3)
    table = np.stack([LAYOUT.row(record(rng, i)[0]) for i in range(40)])
    for interval in differences(LAYOUT, [table, table.copy()], [Blocks(0, 40, 5)], resamples=200)[0].values():
        values = (interval.value, interval.low, interval.high)
        assert values == (0.0, 0.0, 0.0) or all(math.isnan(v) for v in values)


def test_a_class_that_only_some_resamples_hold_has_an_interval():
    rng = np.random.default_rng(4)
    one = np.stack([LAYOUT.row(record(rng, i)[0]) for i in range(8)])
    one[1:, : 3 * 4] = 0
    found = differences(LAYOUT, [one, one * 1.0], [Blocks(0, 8, 1)], resamples=100)[0]
    assert found["per_class.Ground.iou"].value == 0.0


def test_which_way_is_better():
    assert better("miou") == better("per_class.Sky.iou") == better("costmap.lethal_recall") == 1
    assert better("ece") == better("costmap.lethal_as_free") == better("driven_path.false_lethal_rate") == -1
    assert better("mean_confidence") == better("latency_ms.total.mean") == 0


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("miou<0.02", ("miou", 0, "<", 0.02, False)),
        (" miou < .5 ", ("miou", 0, "<", 0.5, False)),
        ("miou drop>0.02", ("miou", -1, ">", 0.02, False)),
        ("delta:miou<-2%", ("miou", 1, "<", -0.02, False)),
        ("flicker rise >= 1e-3 certain", ("flicker", 1, ">=", 0.001, True)),
        ("per_class.Dry Grass.iou<=30%", ("per_class.Dry Grass.iou", 0, "<=", 0.3, False)),
        ("delta:per_class.Rain drop.iou<0", ("per_class.Rain drop.iou", 1, "<", 0.0, False)),
        ("latency_ms.total.p99>50", ("latency_ms.total.p99", 0, ">", 50.0, False)),
    ],
)
def test_gates_are_read(text, gate):
    assert parse_gate(text) == Gate(text.strip(), *gate)


@pytest.mark.parametrize(
    "text",
    ["", "miou", "miou=0.5", "<0.5", "miou<half", "miou<0.5 certain", "delta:miou drop>0.1", "miou<0.5<0.6"],
)
def test_what_is_no_gate_is_refused(text):
    with pytest.raises(InputError):
        parse_gate(text)


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("miou<0.5", PASSED),
        ("miou<0.6", FAILED),
        ("miou drop>0.02", FAILED),
        ("miou drop>0.05", PASSED),
        ("delta:miou<-0.02", FAILED),
        ("miou rise>0.01", PASSED),
        ("miou drop>0.015 certain", FAILED),
        ("miou drop>0.02 certain", PASSED),
        ("delta:miou<-0.015 certain", FAILED),
        ("delta:miou<-0.02 certain", PASSED),
    ],
)
def test_gates_judge(text, state):
    # It fell from 0.58 to 0.55, surely by more than 0.016.
    assert judge(parse_gate(text), "new", 0.55, -0.03, Interval(-0.03, -0.04, -0.016)).state == state


@given(st.floats(-1, 1), st.floats(0, 1), st.sampled_from(["<", "<=", ">", ">="]))
def test_drop_and_delta_are_one_thing(delta, limit, op):
    turned = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}[op]
    one = judge(parse_gate(f"miou drop{op}{limit:.17f}"), "x", 0.5, delta, None)
    two = judge(parse_gate(f"delta:miou{turned}-{limit:.17f}"), "x", 0.5, delta, None)
    assert one.state == two.state


def test_what_is_not_defined_fails_as_not_known():
    assert judge(parse_gate("miou<0.5"), "x", None, None, None).state == UNKNOWN
    assert judge(parse_gate("miou drop>0.1"), "x", 0.5, None, None).state == UNKNOWN
    assert judge(parse_gate("frames rise>3 certain"), "x", 5.0, 4.0, None).state == UNKNOWN


def test_keys_may_hold_dots_and_blanks():
    data = {"per_class": {"Dry Grass": {"iou": 0.5}, "v1.2 rock": {"iou": 0.25}}, "miou": None}
    assert lookup(data, "per_class.Dry Grass.iou") == 0.5
    assert lookup(data, "per_class.v1.2 rock.iou") == 0.25
    assert lookup(data, "per_class.nothing.iou") is None
    assert lookup(data, "miou") is None


def test_junit_has_the_form_of_the_common_schema():
    gates = [parse_gate(t) for t in ("miou<0.6", "miou<0.5", "ece>1")]
    values = (0.55, 0.55, None)
    verdicts = [judge(g, "new <&> \x0b", v, None, None) for g, v in zip(gates, values, strict=True)]
    data = junit_xml(
        verdicts, {"new <&> \x0b": {"miou": 0.55}, "other": {}}, when="2026-01-02T03:04:05", seconds=1.5
    )
    check_junit(data)
    root = ET.fromstring(data)
    suite = root[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    assert [len(case) for case in suite.iter("testcase")] == [1, 0, 1]
    assert "0.55" in suite.find("testcase/failure").get("message")
    assert root[1].get("tests") == "1"


def check_junit(data: bytes) -> None:
    """What the schema of Ant's JUnit report (windyroad's JUnit.xsd) asks for, element by element."""
    root = ET.fromstring(data)
    assert root.tag == "testsuites"
    assert set(root.attrib) == set()
    for suite in root:
        assert suite.tag == "testsuite"
        assert set(suite.attrib) == {
            "name", "package", "id", "timestamp", "hostname", "tests", "failures", "errors", "time",
        }  # fmt: skip
        assert all(suite.attrib.values())
        tags = [child.tag for child in suite]
        cases = tags.count("testcase")
        assert tags == ["properties", *["testcase"] * cases, "system-out", "system-err"]
        assert int(suite.get("tests")) == cases
        assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("errors")) == len(suite.findall("testcase/error"))
        assert float(suite.get("time")) >= 0
        for item in suite.find("properties"):
            assert (item.tag, set(item.attrib)) == ("property", {"name", "value"})
        for case in suite.iter("testcase"):
            assert set(case.attrib) == {"classname", "name", "time"}
            assert len(case) <= 1
            for found in case:
                assert found.tag in ("failure", "error")
                assert set(found.attrib) == {"message", "type"}
