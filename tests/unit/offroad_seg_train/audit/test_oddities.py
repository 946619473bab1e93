# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg_train.audit import oddities
from offroad_seg_train.audit.image_probe import TRAITS
from offroad_seg_train.audit.oddities import ODD, ODD_REPEATED, isolation, spreads


def usual(rng, number):
    """Traits of ordinary images, in two clusters, as two drives are."""
    cluster = rng.integers(0, 2, (number, 1)) * 4.0
    return 50 + cluster + rng.normal(0, 3, (number, len(TRAITS)))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), number=st.integers(20, 200), block=st.sampled_from([7, 1024]))
def test_ordinary_images_are_not_odd(seed, number, block):
    oddities_block, oddities._BLOCK = oddities._BLOCK, block
    try:
        scores = isolation(spreads(usual(np.random.default_rng(seed), number)))
    finally:
        oddities._BLOCK = oddities_block
    assert scores.max() < ODD
    assert 0.9 < np.percentile(scores, 95) < 1.1


def test_an_image_far_from_the_rest_is_the_oddest():
    rng = np.random.default_rng(0)
    traits = usual(rng, 80)
    traits[17, :6] += 40
    scores = isolation(spreads(traits))
    assert scores.argmax() == 17
    assert scores[17] > ODD


def test_one_wild_figure_alone_is_not_enough():
    rng = np.random.default_rng(1)
    traits = usual(rng, 80)
    traits[5, 0] += 12
    assert isolation(spreads(traits))[5] < ODD


def test_nearly_equal_images_have_no_anomaly():
    rng = np.random.default_rng(2)
    traits = np.full((40, len(TRAITS)), 50.0) + rng.normal(0, 1e-3, (40, len(TRAITS)))
    traits[3, 0] += 0.5  # a quarter of the smallest spread that counts
    assert np.abs(spreads(traits)).max() < 0.3


def test_the_repeated_anomaly_is_found_once_with_all_its_copies(planted_audit):
    names = [f.name for f in planted_audit.sources.frames]
    top = planted_audit.oddities[0]
    assert [names[i] for i in top.members] == [f"train/yy{k:07d}" for k in (0, 17, 33)]
    assert top.score > ODD_REPEATED
    assert "spreads" in top.because
    rest = planted_audit.oddities[1:]
    assert max(o.score for o in rest) < ODD
    # Every readable picture that shows something is in the list, each once.
    listed = [i for o in planted_audit.oddities for i in o.members]
    shown = [i for i, r in enumerate(planted_audit.records) if r.image and not r.image.blank]
    assert sorted(listed) == shown


def test_too_few_images_have_nothing_usual(planted_audit):
    records, frames = planted_audit.records[:15], planted_audit.sources.frames[:15]
    assert oddities.find_oddities(records, type(planted_audit.duplicates)([], []), frames) == []


def test_the_score_is_what_its_definition_says():
    z = np.random.default_rng(3).normal(0, 3, (50, len(TRAITS)))
    points = 3 * np.arcsinh(z / 3) * np.sqrt([t.weight for t in TRAITS])
    apart = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))
    near = np.sort(apart, axis=1)[:, 1:4].mean(axis=1)  # the first is the image itself
    np.testing.assert_allclose(isolation(z), near / np.percentile(near, 95), rtol=1e-6)
