# SPDX-License-Identifier: Apache-2.0
"""Every frame as often as its weight says, in an order that (seed, epoch) alone decides, on any number of ranks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.errors import InputError
from offroad_seg_train.data.sampler import (
    NO_FRAME,
    EpochSampler,
    RareFocus,
    SamplingConfig,
    class_rarity,
    frame_weights,
)

counts = st.lists(st.lists(st.integers(0, 1000), min_size=3, max_size=3), min_size=1, max_size=30).map(
    lambda rows: np.array(rows, np.int64)
)


def indices(sampler: EpochSampler, epoch: int = 0) -> list[int]:
    sampler.set_epoch(epoch)
    return [key.index for key in sampler]


def test_without_weights_every_frame_comes_once_and_epochs_differ() -> None:
    sampler = EpochSampler(50, seed=3)
    first, second = indices(sampler, 0), indices(sampler, 1)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert first == indices(EpochSampler(50, seed=3), 0)
    assert first != indices(EpochSampler(50, seed=4), 0)
    assert indices(EpochSampler(5, seed=None)) == [0, 1, 2, 3, 4]


@settings(max_examples=60, deadline=None)
@given(counts=counts, exponent=st.floats(0, 2), cap=st.floats(1, 50), length=st.integers(1, 200))
def test_counts_are_the_expected_ones_rounded(
    counts: np.ndarray, exponent: float, cap: float, length: int
) -> None:
    weights = frame_weights(counts, SamplingConfig(exponent=exponent, cap=cap))
    assert weights.sum() == pytest.approx(1)
    assert len(weights) * weights.max() <= cap * 1.01
    assert len(weights) * weights.min() >= 0.99 / cap
    drawn = np.bincount(
        indices(EpochSampler(len(counts), 1, weights_N=weights, length=length)), minlength=len(counts)
    )
    assert drawn.sum() == length
    expected = weights * length
    assert (drawn >= np.floor(expected - 1e-9)).all()
    assert (drawn <= np.ceil(expected + 1e-9)).all()


def test_over_many_epochs_frames_come_as_often_as_their_weights_say() -> None:
    weights = np.array([0.05, 0.1, 0.15, 0.7])
    sampler = EpochSampler(4, seed=0, weights_N=weights, length=7)
    drawn = np.bincount([i for epoch in range(600) for i in indices(sampler, epoch)], minlength=4)
    assert drawn / drawn.sum() == pytest.approx(weights, abs=0.01)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 40),
    length=st.integers(0, 60),
    world=st.integers(1, 5),
    seed=st.sampled_from([None, 7]),
    epoch=st.integers(0, 3),
)
def test_ranks_share_an_epoch_evenly(n: int, length: int, world: int, seed: int | None, epoch: int) -> None:
    length = 0 if seed is None else length
    parts = [EpochSampler(n, seed, epoch, length=length, rank=r, world_size=world) for r in range(world)]
    keys = [list(part) for part in parts]
    assert {len(part) for part in parts} == {len(k) for k in keys}
    assert len({len(k) for k in keys}) == 1
    whole = list(EpochSampler(n, seed, epoch, length=length, rank=0, world_size=1))
    together = [key for step in zip(*keys, strict=True) for key in step]
    real = [key for key in together if key.index != NO_FRAME]
    if seed is None:
        assert real == whole
        assert len(together) - len(whole) < world
    else:
        assert real == together == whole[: len(together)]
        assert len(whole) - len(together) < world
    assert len(set(real)) == len(real)


def test_a_frame_that_comes_again_has_a_key_of_its_own() -> None:
    keys = list(EpochSampler(2, seed=0, weights_N=np.array([0.9, 0.1]), length=20))
    assert len(set(keys)) == 20
    assert sorted(key.repeat for key in keys if key.index == 0) == list(range(18))


def test_frames_with_rare_classes_come_more_often() -> None:
    # Class 2 is in frame 3 alone, a tenth of it.
    counts = np.array([[600, 400, 0], [500, 500, 0], [700, 300, 0], [500, 400, 100]])
    plain, rooted, inverse = (
        frame_weights(counts, SamplingConfig(exponent=exponent, cap=10)) for exponent in (0, 0.5, 1)
    )
    assert plain == pytest.approx(np.full(4, 0.25))
    assert plain[3] < rooted[3] < inverse[3]
    assert frame_weights(counts, SamplingConfig(exponent=2, cap=1.5))[3] == pytest.approx(1.5 / 4, rel=0.01)


@settings(max_examples=60, deadline=None)
@given(shares=st.lists(st.integers(0, 1000), min_size=2, max_size=20), exponent=st.floats(0.1, 2))
def test_of_two_classes_the_rarer_is_seen_more(shares: list[int], exponent: float) -> None:
    counts = np.array([[share, 1000 - share] for share in shares])
    rare = int(counts.sum(0).argmin())
    weights = frame_weights(counts, SamplingConfig(exponent=exponent, cap=5))
    assert weights @ counts[:, rare] >= counts[:, rare].mean() * (1 - 1e-9)


def test_frames_without_labels_and_classes_without_pixels_do_no_harm() -> None:
    config = SamplingConfig(exponent=1)
    assert frame_weights(np.zeros((3, 4), np.int64), config) == pytest.approx([1 / 3] * 3)
    weights = frame_weights(np.array([[0, 0], [10, 0], [10, 0]]), config)
    assert 0 < weights[0] < weights[1] == weights[2]
    assert class_rarity(np.array([0, 5, 5]), 1.0).tolist() == [0, 2, 2]


def test_a_rare_pixel_is_chosen_as_often_as_its_class_s_rarity_says() -> None:
    labels = np.full((30, 50), 255, np.uint8)
    labels[:10], labels[10:29, :40], labels[29, 49] = 0, 1, 2
    pixels = np.array([900, 100, 25, 0])
    focus = RareFocus(pixels, exponent=0.5, probability=0.8)
    rng = np.random.default_rng(0)
    points = [focus.draw(labels, rng) for _ in range(4000)]
    chosen = [p for p in points if p is not None]
    assert len(chosen) / len(points) == pytest.approx(0.8, abs=0.02)
    seen = np.bincount([labels[int(y), int(x)] for x, y in chosen], minlength=4)
    expected = class_rarity(pixels, 0.5)
    assert seen[:3] / seen.sum() == pytest.approx(expected[:3] / expected.sum(), abs=0.03)
    assert seen[3:].sum() == 0
    # Any pixel of the class: the middle of class 1 is the middle of its area.
    of_1 = np.array([p for p in chosen if 10 <= p[1] < 29 and p[0] < 40])
    assert of_1.mean(0) == pytest.approx([20, 19.5], abs=1)


def test_nothing_labelled_is_nothing_to_look_at() -> None:
    focus = RareFocus(np.array([5, 5]), 1.0, 1.0)
    assert focus.draw(np.full((4, 6), 255, np.uint8), np.random.default_rng(0)) is None


@pytest.mark.parametrize(
    "wrong", [{"exponent": -1}, {"cap": 0.5}, {"rare_crop": 1.1}, {"epoch_images": -1}], ids=str
)
def test_settings_out_of_bounds_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError, match="sampling|is"):
        SamplingConfig(**wrong)
