# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from offroad_seg.mapping.doubt import Doubt, ood_share
from offroad_seg.types import OOD_THRESHOLD, Segmentation


def segmentation(ood, confidence=200):
    ood_HW = None if ood is None else np.array(ood, np.uint8)
    shape = (2, 3) if ood_HW is None else ood_HW.shape
    return Segmentation(
        np.zeros(shape, np.uint8), np.full(shape, confidence, np.uint8), 4, "camera", 0.8, ood_HW
    )


def test_confidence_falls_to_nothing_at_the_threshold():
    given = segmentation([[0, 64, 112], [120, OOD_THRESHOLD, 255]])
    result = Doubt().apply(given)
    assert result.confidence_HW.tolist() == [[200, 200, 200], [100, 0, 0]]
    assert (given.confidence_HW == 200).all()  # what others publish stays as it was
    assert result.labels_HW is given.labels_HW


def test_it_never_raises_confidence():
    scores = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for confidence in (0, 1, 17, 255):
        after = Doubt().apply(segmentation(scores, confidence)).confidence_HW
        assert (after <= confidence).all()
        assert (np.diff(after.ravel().astype(int)) <= 0).all()


def test_results_stay_valid_until_the_next_but_one_call():
    doubt = Doubt()
    first = doubt.apply(segmentation([[0, 0]])).confidence_HW
    doubt.apply(segmentation([[255, 255]]))
    assert first.tolist() == [[200, 200]]


def test_without_a_score_nothing_changes():
    given = segmentation(None)
    assert Doubt().apply(given) is given
    assert ood_share(given) is None


def test_the_share_counts_from_the_threshold():
    assert ood_share(segmentation([[127, 128, 255, 0]])) == pytest.approx(0.5)
