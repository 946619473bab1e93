# SPDX-License-Identifier: Apache-2.0
"""What is seen with little confidence costs more, and at last is unknown."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offroad_seg.errors import InputError
from offroad_seg.mapping.rolling import RollingCostmap
from tests.unit.offroad_seg.mapping.test_rolling import GRASS, ONTOLOGY, ROCK, SIZE, SKY, TRACK, S, pose, seen


def doubted(label: int, confidence: float, stamp_ns: int = 0, worth: float = 1.0, at=(0.0, 0.0)):
    """Every cell seen as one class with one confidence (0–255), as a projector gives it: evidence is weighed by it."""
    look = seen(label, stamp_ns, worth * confidence / 255, at)
    known = np.full(look.labels_HW.shape, confidence, np.uint8)
    return replace(look, confidence_HW=known)


def costmap_of(sure: float = 0.6, least: float = 0.2, **options) -> RollingCostmap:
    options = {"decay_time": 1e6, **options}
    return RollingCostmap(ONTOLOGY, SIZE, min_confidence=least, sure_confidence=sure, **options)


def cost_of(costmap: RollingCostmap, *looks) -> int:
    """The one cost that all cells have after these looks."""
    for look in looks:
        result = costmap.update(look)
    (cost,) = np.unique(result.cost_HW)
    return int(cost)


@pytest.mark.parametrize(
    ("confidence", "track", "grass"),
    # Sure from 153 on (0.6), all doubt at 51 (0.2): halfway, at 102, half of what is left to 98 is added.
    [(255, 0, 40), (153, 0, 40), (102, 49, 69), (77, 73, 83), (51, 98, 98), (26, 98, 98)],
)
def test_cost_rises_evenly_to_the_highest_graded_one(confidence, track, grass):
    assert cost_of(costmap_of(), doubted(TRACK, confidence)) == pytest.approx(track, abs=1)
    assert cost_of(costmap_of(), doubted(GRASS, confidence)) == pytest.approx(grass, abs=1)


def test_lethal_stays_lethal_and_unknown_unknown():
    assert cost_of(costmap_of(), doubted(ROCK, 60)) == 100
    assert cost_of(costmap_of(), doubted(SKY, 60)) == -1
    assert cost_of(costmap_of(min_evidence=0.5), doubted(TRACK, 60)) == -1


def test_what_says_nothing_of_confidence_is_sure():
    assert cost_of(costmap_of(), seen(GRASS, 0, 0.1)) == 40


@pytest.mark.parametrize(("sure", "least"), [(0.0, 0.0), (0.0, 0.3), (0.3, 0.3), (0.3, 0.5)])
def test_switched_off_or_below_what_counts_at_all_doubt_costs_nothing(sure, least):
    for confidence in (80, 128, 255):
        assert cost_of(costmap_of(sure, least), doubted(GRASS, confidence)) == 40


def test_with_every_pixel_counting_it_is_all_doubt_at_none():
    assert cost_of(costmap_of(1.0, 0.0), doubted(TRACK, 255)) == 0
    assert cost_of(costmap_of(1.0, 0.0), doubted(TRACK, 128)) == pytest.approx(49, abs=1)
    assert cost_of(costmap_of(1.0, 0.0, min_evidence=1e-6), doubted(TRACK, 1)) == 98


def test_bounds_that_nearly_touch():
    assert cost_of(costmap_of(0.6, math.nextafter(0.6, 0)), doubted(GRASS, 155)) == 40
    assert cost_of(costmap_of(0.6, math.nextafter(0.6, 0)), doubted(GRASS, 150)) == 98


def test_confidence_is_the_mean_of_the_looks_by_their_worth():
    # (0.2 · 255 + 0.8 · 64) / 255 = 0.401.
    looks = doubted(TRACK, 255, 0, 0.2), doubted(TRACK, 64, 1, 0.8)
    assert cost_of(costmap_of(), *looks) == pytest.approx(98 * (0.6 - 0.401) / 0.4, abs=1)
    # A near look, which is sure, takes the doubt of a far one away.
    assert cost_of(costmap_of(), doubted(TRACK, 64, 0, 0.05), doubted(TRACK, 250, 1, 1.0)) == 0


def test_doubt_ages_moves_and_is_capped_with_the_rest():
    costmap = costmap_of(decay_time=1.0, max_evidence=2.0)
    fresh = cost_of(costmap, doubted(TRACK, 102))
    assert fresh == pytest.approx(49, abs=1)
    assert cost_of(costmap, seen(TRACK, S, 0.0)) == fresh
    for step in range(2, 40):  # the store is scaled back, and is full
        at = (0.1 * step, 0.0)
        grid = costmap.update(doubted(TRACK, 102, step * S, at=at), pose(*at))
        assert np.abs(grid.cost_HW.astype(int) - fresh).max() <= 1
    # Cells that come into the window bring nothing of those that left it.
    moved = costmap.update(seen(TRACK, 40 * S, 0.0, (4.4, 0.0)), pose(4.4, 0.0))
    sure = costmap.update(doubted(TRACK, 255, 40 * S, at=(4.4, 0.0)), pose(4.4, 0.0))
    assert (moved.cost_HW[:, -5:] == -1).all()
    assert (sure.cost_HW[:, -5:] == 0).all()


def test_what_is_forgotten_is_doubted_no_more():
    costmap = costmap_of()
    costmap.update(doubted(TRACK, 64), source="left")
    costmap.forget("left")
    assert (costmap.update(doubted(TRACK, 255, 1), source="left").cost_HW == 0).all()
    costmap.update(doubted(TRACK, 64, 2), source="left")
    costmap.reset()
    assert cost_of(costmap, doubted(TRACK, 255)) == 0


def test_costs_that_change_keep_the_doubt():
    costmap = costmap_of()
    costmap.update(doubted(TRACK, 102))
    costmap.set_class_cost("track", 60)
    assert (costmap.costmap().cost_HW == 79).all()
    costmap.set_class_cost("track", "lethal")
    assert (costmap.costmap().cost_HW == 100).all()
    costmap.set_class_cost("track", "unknown")
    assert (costmap.costmap().cost_HW == -1).all()


def test_it_changes_live_for_what_was_seen_before():
    costmap = costmap_of()
    costmap.update(doubted(GRASS, 102))
    for sure, cost in ((0.0, 40), (0.6, 69), (0.2, 40), (1.0, 84)):
        costmap.set_sure_confidence(sure)
        assert np.abs(costmap.costmap().cost_HW - cost).max() <= 1, sure
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(InputError, match=r"costmap\.sure_confidence"):
            costmap.set_sure_confidence(wrong)
        with pytest.raises(InputError, match=r"costmap\.sure_confidence"):
            costmap_of(wrong)


@given(
    st.lists(
        st.tuples(st.sampled_from([TRACK, GRASS, ROCK]), st.integers(1, 255), st.floats(0.01, 1.0)),
        min_size=1,
        max_size=6,
    ),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
)
def test_doubt_never_makes_a_cell_cheaper_or_unknown_or_known(looks, sure, least):
    plain, careful = costmap_of(0.0, least), costmap_of(sure, least)
    for k, (label, confidence, worth) in enumerate(looks):
        look = doubted(label, confidence, k, worth)
        without, with_it = plain.update(look).cost_HW, careful.update(look).cost_HW
        assert (with_it >= without).all()
        np.testing.assert_array_equal(with_it == -1, without == -1)
        np.testing.assert_array_equal(with_it == 100, without == 100)


@given(
    st.sampled_from([TRACK, GRASS, ROCK]),
    st.integers(1, 254),
    st.floats(0.01, 1.0),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
)
def test_less_confidence_never_costs_less(label, confidence, worth, sure, least):
    more, less = (
        cost_of(costmap_of(sure, least), doubted(label, c, 0, worth)) for c in (confidence + 1, confidence)
    )
    assert less == -1 or less >= more
