# SPDX-License-Identifier: Apache-2.0
"""Results come in order; an error or Ctrl-C ends the work at once."""

from __future__ import annotations

import time

import pytest

from offroad_seg_train.data.threads import in_threads


def test_results_come_in_order() -> None:
    assert in_threads(lambda n: n * n, list(range(50)), what="squaring", unit="number", show=False) == [
        n * n for n in range(50)
    ]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_queue_is_left_when_one_fails(error: type[BaseException]) -> None:
    done = []

    def work(n: int) -> None:
        if n == 3:
            raise error
        time.sleep(0.002)
        done.append(n)

    with pytest.raises(error):
        in_threads(work, list(range(2000)), what="working", unit="number", most=2, show=False)
    assert len(done) < 1000
