# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from offroad_seg.engines.base import EngineOutput
from offroad_seg.replay.spool import Spool

TIMES = {"engine": 1.25, "total": 3.5}


def output(seed, *, ood=False):
    rng = np.random.default_rng(seed)
    arrays = rng.integers(0, 256, (3, 1, 7, 11)).astype(np.uint8)
    return EngineOutput(arrays[0], arrays[1], np.array([0.1 * seed], np.float32), arrays[2] if ood else None)


def assert_same(saved, expected):
    np.testing.assert_array_equal(saved.output.labels_BHW, expected.labels_BHW)
    np.testing.assert_array_equal(saved.output.confidence_BHW, expected.confidence_BHW)
    assert saved.output.mean_confidence_B == expected.mean_confidence_B
    if expected.ood_BHW is None:
        assert saved.output.ood_BHW is None
    else:
        np.testing.assert_array_equal(saved.output.ood_BHW, expected.ood_BHW)
    assert saved.timings_ms == TIMES


def fill(path, indices, **options):
    with Spool(path) as spool:
        for index in indices:
            spool.put(index, output(index, **options), TIMES)


@pytest.mark.parametrize("ood", [False, True])
def test_what_is_put_comes_back_after_opening_again(tmp_path, ood):
    fill(tmp_path / "s", [0, 3, 7], ood=ood)
    with Spool(tmp_path / "s") as spool:
        assert len(spool) == 3
        for index in (7, 0, 3):
            assert_same(spool.get(index), output(index, ood=ood))
        assert spool.get(1) is None


def test_reading_and_writing_in_turn(tmp_path):
    with Spool(tmp_path / "s") as spool:
        for index in range(5):
            spool.put(index, output(index), TIMES)
            assert_same(spool.get(index // 2), output(index // 2))


def test_a_file_cut_anywhere_keeps_every_whole_frame_and_goes_on(tmp_path):
    """As a process killed in the middle of writing leaves it."""
    fill(tmp_path / "whole", range(3))
    data = (tmp_path / "whole").read_bytes()
    with Spool(tmp_path / "whole") as spool:
        ends = [*list(spool._places.values())[1:], len(data)]
    for size in range(0, len(data), 5):
        path = tmp_path / "cut"
        path.write_bytes(data[:size])
        expected = sum(end <= size for end in ends)
        with Spool(path) as spool:
            assert len(spool) == expected
            spool.put(9, output(9), TIMES)
        with Spool(path) as spool:
            assert len(spool) == expected + 1
            assert_same(spool.get(9), output(9))


def test_damaged_bytes_are_not_believed(tmp_path):
    fill(tmp_path / "s", range(2))
    data = bytearray((tmp_path / "s").read_bytes())
    data[-3] ^= 1
    (tmp_path / "s").write_bytes(data)
    with Spool(tmp_path / "s") as spool:
        assert len(spool) == 1
        assert spool.get(1) is None
