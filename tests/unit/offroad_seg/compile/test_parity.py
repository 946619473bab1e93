# SPDX-License-Identifier: Apache-2.0
"""Counting where two forms of one network differ."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from offroad_seg.compile.gate_images import GateImages, gate_images
from offroad_seg.compile.parity import MIN_CLASS_PIXELS, compare
from offroad_seg.engines.base import EngineOutput
from offroad_seg.image import Letterbox
from offroad_seg.metrics import confusion, metrics_from_confusion
from tests.helpers.gates import HEIGHT, NAMES, WIDTH, by_brightness, one_image, saying, with_errors


@pytest.fixture
def images() -> GateImages:
    return gate_images(None, Letterbox(HEIGHT, WIDTH), count=2)


def test_equal_networks(images: GateImages) -> None:
    parity = compare("same", by_brightness, by_brightness, images, names=NAMES)
    assert parity.agreement == parity.worst_agreement == 1.0
    assert parity.pixels == 2 * HEIGHT * WIDTH
    assert parity.frames == []
    assert parity.differing == {}
    record = parity.to_dict()
    assert record["source"] == "synthetic"
    assert record["iou_against"] == "reference"
    assert record["worst_iou_change"] == 0.0
    assert len(record["images_sha256"]) == 64


def test_worst_frames_are_kept_in_order(images: GateImages) -> None:
    calls = iter([0, 30])

    def infer(image: np.ndarray) -> EngineOutput:
        return with_errors(next(calls))(image)

    parity = compare("cand", by_brightness, infer, images, names=NAMES)
    assert parity.agreement == pytest.approx(1 - 30 / 4000)
    assert parity.worst_image == "synthetic_1"
    assert [frame.name for frame in parity.frames] == ["synthetic_1"]
    assert np.count_nonzero(parity.frames[0].expected_HW != parity.frames[0].found_HW) == 30


def test_an_engine_that_reuses_its_arrays_is_compared_rightly(images: GateImages) -> None:
    kept = EngineOutput(
        np.empty((1, HEIGHT, WIDTH), np.uint8), np.empty((1, HEIGHT, WIDTH), np.uint8), np.ones(1, np.float32)
    )

    def first(image: np.ndarray) -> EngineOutput:
        kept.labels_BHW[:], kept.confidence_BHW[:] = 0, 10
        return kept

    def second(image: np.ndarray) -> EngineOutput:
        kept.labels_BHW[:], kept.confidence_BHW[:] = 1, 61
        return kept

    parity = compare("cand", first, second, images, names=NAMES)
    assert parity.agreement == 0.0
    assert parity.differing == {(0, 1): 2 * HEIGHT * WIDTH}
    assert parity.max_confidence_difference == pytest.approx(51 / 255)
    assert {frame.found_HW.max() for frame in parity.frames} == {1}


def test_padding_does_not_count() -> None:
    expected, found = np.zeros((6, 8), np.uint8), np.ones((6, 8), np.uint8)
    found[1:5] = 0
    parity = compare(
        "cand",
        saying(expected),
        saying(found),
        one_image(expected, inside=(slice(1, 5), slice(0, 8))),
        names=NAMES,
    )
    assert (parity.agreement, parity.pixels) == (1.0, 32)


ids = st.integers(0, len(NAMES) - 1)


@given(
    arrays(np.uint8, (7, 9), elements=ids),
    arrays(np.uint8, (7, 9), elements=ids),
    arrays(np.uint8, (7, 9), elements=st.sampled_from([0, 1, 2, 255])),
)
def test_class_ious_are_those_of_the_metrics(
    expected: np.ndarray, found: np.ndarray, truth: np.ndarray
) -> None:
    def ious(labels: np.ndarray, against: np.ndarray) -> dict[str, float | None]:
        per_class = metrics_from_confusion(confusion(labels, against, len(NAMES)), NAMES)["per_class"]
        return {name: figures["iou"] for name, figures in per_class.items()}

    plain = compare("cand", saying(expected), saying(found), one_image(expected), names=NAMES)
    between = {c.name: c.iou_candidate for c in plain.class_changes()}
    assert between == {k: pytest.approx(v) for k, v in ious(found, expected).items() if v is not None}
    judged = compare("cand", saying(expected), saying(found), one_image(expected, truth), names=NAMES)
    before, after = ious(expected, truth), ious(found, truth)
    for change in judged.class_changes():
        # Where a labelling has no union with the truth, nothing is wrong with it: 1.
        assert change.iou_reference == pytest.approx(
            1.0 if before[change.name] is None else before[change.name]
        )
        assert change.iou_candidate == pytest.approx(
            1.0 if after[change.name] is None else after[change.name]
        )
        assert change.change == pytest.approx(change.iou_candidate - change.iou_reference)
        assert not change.judged
    changes = [abs(c.change) for c in judged.class_changes()]
    assert changes == sorted(changes, reverse=True)


def test_small_classes_are_shown_but_not_judged() -> None:
    labels = np.zeros((50, 60), np.uint8)
    labels.flat[: MIN_CLASS_PIXELS - 1] = 1
    parity = compare("cand", saying(labels), saying(labels), one_image(labels), names=NAMES)
    assert {c.name: c.judged for c in parity.class_changes()} == {"ground": True, "bush": False}


def test_out_of_distribution_is_compared_at_its_threshold() -> None:
    labels = np.zeros((4, 5), np.uint8)
    low, high = np.full((4, 5), 127, np.uint8), np.full((4, 5), 128, np.uint8)
    other = low.copy()
    other[0] = 3
    parity = compare("cand", saying(labels, low), saying(labels, other), one_image(labels), names=NAMES)
    assert parity.ood_agreement == 1.0
    parity = compare("cand", saying(labels, low), saying(labels, high), one_image(labels), names=NAMES)
    assert parity.ood_agreement == 0.0
    assert compare("x", saying(labels), saying(labels), one_image(labels), names=NAMES).ood_agreement is None


def test_a_label_that_is_no_class_is_told() -> None:
    labels = np.zeros((4, 5), np.uint8)
    wrong = labels.copy()
    wrong[2, 3] = 7
    assert compare("x", saying(labels), saying(wrong), one_image(labels), names=NAMES).foreign_labels() == [7]
