# SPDX-License-Identifier: Apache-2.0
"""Splits: exact sizes, contiguous runs, the same on every machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.errors import DataError, InputError
from offroad_seg_train.data.layouts import Pair
from offroad_seg_train.data.splits import MODES, split, split_pairs


def frames(**sequences: int) -> list[str]:
    return [f"{prefix}{i:05d}" for prefix, count in sequences.items() for i in range(count)]


def runs(indices: list[int]) -> int:
    return sum(1 for a, b in zip([-9, *indices], indices, strict=False) if b != a + 1)


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    fraction=st.floats(0.05, 0.95),
    seed=st.integers(0, 99),
    block=st.integers(1, 20),
    mode=st.sampled_from(["blocks", "random"]),
)
def test_sizes_are_exact_and_sides_are_disjoint(
    sizes: list[int], fraction: float, seed: int, block: int, mode: str
) -> None:
    names = frames(**{"abcd"[i]: n for i, n in enumerate(sizes)})
    wanted = round(len(names) * fraction)
    if not 0 < wanted < len(names):
        with pytest.raises(DataError, match="cannot be split"):
            split(names, fraction, mode, seed, block)
        return
    result = split(names, fraction, mode, seed, block)
    assert len(result.val) == wanted
    assert sorted(result.train + result.val) == list(range(len(names)))
    assert result == split(names, fraction, mode, seed, block)


def test_runs_are_contiguous_and_each_sequence_gives_its_share() -> None:
    names = frames(cc=28, mt=28, ww=6)
    result = split(names, 0.2, seed=3)
    assert len(result.val) == 12
    for low, high, share in ((0, 28, 5), (28, 56, 6), (56, 62, 1)):
        chosen = [i for i in result.val if low <= i < high]
        assert abs(len(chosen) - share) <= 1
        assert runs(chosen) == 1


def test_long_sequences_give_several_runs_spread_over_the_drive() -> None:
    result = split(frames(d=300), 1 / 6, block=10)
    assert len(result.val) == 50
    assert runs(result.val) == 5
    assert [i // 60 for i in result.val] == [k for k in range(5) for _ in range(10)]


def test_frames_are_ordered_by_number_not_by_text() -> None:
    names = [f"f{i}" for i in range(20)]  # by text: f0, f1, f10, f11, …
    val = sorted(int(names[i][1:]) for i in split(names, 0.25).val)
    assert runs(val) == 1


def test_the_seed_moves_the_runs() -> None:
    names = frames(d=200)
    assert len({tuple(split(names, 0.1, seed=s).val) for s in range(8)}) > 3


def test_extremes_and_bad_arguments() -> None:
    names = frames(d=5)
    assert split(names, 0.0).val == []
    assert split(names, 1.0).train == []
    assert split([], 0.0).train == []
    for arguments in (
        {"val_fraction": 1.5},
        {"val_fraction": 0.5, "mode": "x"},
        {"val_fraction": 0.5, "block": 0},
    ):
        with pytest.raises(InputError):
            split(names, **arguments)


def pairs(parts: dict[str, int] | None = None, **groups: int) -> list[Pair]:
    named = [
        Pair(f"{name}_{i:04d}", Path("i"), Path("m"), group=name)
        for name, n in groups.items()
        for i in range(n)
    ]
    return named + [
        Pair(f"{part}/{i}", Path("i"), Path("m"), part, "one")
        for part, n in (parts or {}).items()
        for i in range(n)
    ]


@settings(max_examples=120, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=9),
    val=st.floats(0.05, 0.6),
    test=st.sampled_from([0.0, 0.1, 0.2, 0.35]),
    seed=st.integers(0, 99),
    mode=st.sampled_from(["blocks", "groups", "random"]),
)
def test_all_frames_are_in_one_part_and_no_group_in_two(
    sizes: list[int], val: float, test: float, seed: int, mode: str
) -> None:
    frames = pairs(**{"abcdefghi"[i]: n for i, n in enumerate(sizes)})
    try:
        parts = split_pairs(frames, val, mode, seed, test_fraction=test)
    except DataError:
        # Too few for what was asked; never because a part would be empty without a word.
        assert len(frames) < 40 or mode == "groups"
        return
    assert sorted(parts.train + parts.val + parts.test) == list(range(len(frames)))
    assert parts.train
    assert parts.val
    assert parts == split_pairs(frames, val, mode, seed, test_fraction=test)
    if mode == "groups":
        sides = [{frames[i].group for i in side} for side in (parts.train, parts.val, parts.test)]
        assert sum(map(len, sides)) == len(set.union(*sides))
        # One group more or less than what was asked for, at most.
        assert abs(len(parts.val) - val * len(frames)) <= max(sizes) + 1
    else:
        assert abs(len(parts.val) - val * len(frames)) <= 1.5
        assert abs(len(parts.test) - test * len(frames)) <= 0.5


def test_many_groups_come_near_to_the_fraction_and_the_seed_chooses_them() -> None:
    frames = pairs(**{f"g{chr(97 + i)}": 5 + i for i in range(20)})
    chosen = set()
    for seed in range(5):
        parts = split_pairs(frames, 0.2, "groups", seed)
        assert abs(len(parts.val) - 0.2 * len(frames)) <= 2
        chosen.add(tuple(parts.val))
    assert len(chosen) > 1


def test_the_official_split_is_kept_and_the_rest_left_out(caplog: pytest.LogCaptureFixture) -> None:
    frames = pairs({"train": 5, "val": 3, "test": 2, "": 4})
    parts = split_pairs(frames, 0.5)
    assert (parts.train, parts.val, parts.test) == ([0, 1, 2, 3, 4], [5, 6, 7], [8, 9])
    assert "4 frames are in no part" in caplog.text


def test_an_official_split_without_validation_gives_a_part_of_its_training_frames() -> None:
    parts = split_pairs(pairs({"train": 20, "test": 5}), 0.25)
    assert len(parts.val) == 5
    assert sorted(parts.train + parts.val) == list(range(20))
    assert parts.test == list(range(20, 25))


@pytest.mark.parametrize("parts", [{"train": 8}, {"val": 8}, {"": 8}])
def test_a_single_part_is_no_split(parts: dict[str, int]) -> None:
    frames = pairs(parts)
    assert len(split_pairs(frames, 0.25).val) == 2
    with pytest.raises(DataError, match="does not say how to split"):
        split_pairs(frames, 0.25, "official")


def test_bad_splits_are_refused() -> None:
    frames = pairs(a=6, b=6)
    with pytest.raises(DataError, match="12 frames are in one group"):
        split_pairs(frames, 0.5, "groups", group_by="_")
    with pytest.raises(InputError, match="no regular expression"):
        split_pairs(frames, 0.5, "groups", group_by="(")
    with pytest.raises(InputError, match="finds no group in 6 names"):
        split_pairs(frames, 0.5, "groups", group_by="^a")
    with pytest.raises(InputError, match="not by groups"):
        split_pairs(frames, 0.5, "blocks", group_by="^a")
    with pytest.raises(InputError, match="more than all"):
        split_pairs(frames, 0.7, "blocks", test_fraction=0.7)
    with pytest.raises(DataError, match="too few to hold one out"):
        split_pairs(frames, 0.3, "groups", test_fraction=0.4)
    with pytest.raises(InputError, match=f"one of: {', '.join(MODES)}"):
        split_pairs(frames, 0.5, "chance")
