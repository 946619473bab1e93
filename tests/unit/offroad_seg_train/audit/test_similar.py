# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offroad_seg_train.audit import similar
from offroad_seg_train.audit.image_probe import HASH_BITS, THUMB
from offroad_seg_train.audit.similar import ALIKE_BITS, COPY_BITS, Likeness, find_alike, groups


def random_set(rng, number):
    """Hashes that are all far apart, and one picture, so that only hashes decide."""
    thumb = rng.integers(0, 256, (THUMB, THUMB), np.uint8)
    return rng.random((number, HASH_BITS)) < 0.5, np.repeat(thumb[None], number, axis=0)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    flips=st.lists(st.integers(0, ALIKE_BITS + 6), min_size=1, max_size=6),
    block=st.integers(2, 9),
)
def test_pairs_are_found_up_to_the_limit_and_no_further(seed, flips, block, monkeypatch_module):
    monkeypatch_module.setattr(similar, "_BLOCK", block)
    rng = np.random.default_rng(seed)
    hashes, thumbs = random_set(rng, 2 * len(flips))
    for k, number in enumerate(flips):
        hashes[2 * k + 1] = hashes[2 * k]
        hashes[2 * k + 1, rng.choice(HASH_BITS, number, replace=False)] ^= True
    parts = [("train", "val")[i % 2] for i in range(len(hashes))]
    found = {(p.first, p.second): p.bits for p in find_alike(hashes, thumbs, parts)}
    expected = {(2 * k, 2 * k + 1): n for k, n in enumerate(flips) if n <= ALIKE_BITS}
    assert found == expected


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_equal_hashes_of_different_pictures_are_not_alike():
    rng = np.random.default_rng(1)
    hashes, _ = random_set(rng, 2)
    hashes[1] = hashes[0]
    thumbs = rng.integers(0, 256, (2, THUMB, THUMB), np.uint8)
    assert find_alike(hashes, thumbs, ["all", "all"]) == []


def test_brightness_does_not_make_pictures_differ():
    rng = np.random.default_rng(2)
    hashes, thumbs = random_set(rng, 2)
    hashes[1] = hashes[0]
    thumbs[1] = (0.6 * thumbs[0] + 40).astype(np.uint8)
    (pair,) = find_alike(hashes, thumbs, ["all", "all"])
    assert pair.is_copy
    assert pair.detail > 0.99


def test_a_camera_that_stands_still_brings_few_pairs_and_one_group():
    rng = np.random.default_rng(3)
    hashes, thumbs = random_set(rng, 60)
    hashes[:] = hashes[0]
    for row in hashes:
        row[rng.choice(HASH_BITS, 3, replace=False)] ^= True
    found = find_alike(hashes, thumbs, ["all"] * 60)
    assert 59 <= len(found) <= 60 * similar.NEAREST
    assert len(groups([(p.first, p.second) for p in found])) >= 1


def test_each_part_brings_its_nearest():
    """A crowd of copies on one side must not hide the one on the other."""
    rng = np.random.default_rng(4)
    hashes, thumbs = random_set(rng, 40)
    hashes[:] = hashes[0]
    found = find_alike(hashes, thumbs, ["train"] * 39 + ["val"])
    assert any(p.second == 39 for p in found)


def test_copy_needs_both_hash_and_details():
    assert Likeness(0, 1, COPY_BITS, 0.98).is_copy
    assert not Likeness(0, 1, COPY_BITS + 2, 0.98).is_copy
    assert not Likeness(0, 1, 0, 0.9).is_copy


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)).filter(lambda p: p[0] != p[1]), max_size=20)
)
def test_groups_are_what_pairs_connect(pairs):
    found = groups(pairs)
    of = {index: k for k, group in enumerate(found) for index in group}
    assert all(of[a] == of[b] for a, b in pairs)
    assert sum(len(g) for g in found) == len({i for p in pairs for i in p})
    # No coarser than needed: cutting any group in two cuts a pair.
    for group in found:
        reached, edge = {group[0]}, [group[0]]
        while edge:
            at = edge.pop()
            new = {b if a == at else a for a, b in pairs if at in (a, b)} - reached
            reached |= new
            edge += new
        assert reached == set(group)
