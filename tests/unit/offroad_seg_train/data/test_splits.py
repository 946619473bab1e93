# SPDX-License-Identifier: Apache-2.0
"""Splits: exact sizes, contiguous runs, the same on every machine."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg.errors import DataError, InputError
from offroad_seg_train.data.splits import split


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
