# SPDX-License-Identifier: Apache-2.0
"""A loader that holds training up says so, once, with figures and what helps."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from torch.utils.data import Dataset

from offroad_seg_train.training import waiting
from offroad_seg_train.training.waiting import WatchedLoader, advice, choose_workers, usable_cores


class Clock:
    """Time that passes only where the test says so."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(waiting, "time", clock)
    return clock


class Slow(Dataset[dict]):
    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock = clock
        self.seconds = seconds

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> dict:
        self.clock.now += self.seconds
        return {"name": str(index)}


def epochs(clock: Clock, read_s: float, train_s: float, n: int = 2) -> WatchedLoader:
    loader = WatchedLoader(Slow(clock, read_s), batch_size=1, advise=lambda: "what helps: patience")
    for _ in range(n):
        for _ in loader:
            clock.now += train_s
    return loader


def test_slow_reading_is_said_once_with_both_rates(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    loader = epochs(clock, 3.0, 1.0)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message == (
        "training waited 75 % of the time for images: 0.25 images/s, without waiting 1; what helps: patience"
    )
    # The first batch, which starts the workers, does not count.
    assert loader.waited_s == pytest.approx(11 * 3)
    assert loader.lasted_s == pytest.approx(11 * (3 + 1))


@pytest.mark.parametrize(("read_s", "train_s"), [(0.3, 1.0), (0.1, 0.1)], ids=["small share", "short"])
def test_waiting_that_costs_little_is_no_reason_to_warn(
    clock: Clock, caplog: pytest.LogCaptureFixture, read_s: float, train_s: float
) -> None:
    epochs(clock, read_s, train_s)
    assert not caplog.records


def test_an_epoch_that_is_left_early_and_an_empty_one_do_no_harm(clock: Clock) -> None:
    loader = WatchedLoader(Slow(clock, 0), batch_size=1, advise=str)
    for batch in loader:
        assert batch["name"] == ["0"]
        break
    assert [batch["name"][0] for batch in loader] == [str(i) for i in range(12)]
    empty = WatchedLoader(Slow(clock, 0), batch_size=20, drop_last=True, advise=str)
    assert list(empty) == []
    assert isinstance(iter(loader), Iterator)


def test_workers_as_asked_or_by_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_workers(3, cached=True, gpu=False) == 3
    monkeypatch.setattr(waiting, "usable_cores", lambda: 6)
    assert choose_workers(-1, cached=True, gpu=False) == 0
    assert choose_workers(-1, cached=False, gpu=False) == 3
    assert choose_workers(-1, cached=True, gpu=True) == 5
    monkeypatch.setattr(waiting, "usable_cores", lambda: 64)
    assert choose_workers(-1, cached=True, gpu=True) == 12


def test_processes_of_one_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    all_of_them = usable_cores()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert usable_cores() == max(1, all_of_them // 2)


def test_advice_names_settings_that_would_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "usable_cores", lambda: 8)
    text = advice(cached=False, nbytes=3 << 30, workers=2, gpu=True)
    assert "data.cache=memory or disk (3.0 GiB)" in text
    assert "data.workers=7" in text
    text = advice(cached=True, nbytes=1, workers=7, gpu=True)
    assert "data.cache" not in text
    assert "data.workers" not in text
    assert "augmentation" in text


class Threads(Dataset[dict]):
    """Says how many threads OpenCV has, after it has done some work."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict:
        cv2.setNumThreads(cv2.getNumThreads())
        cv2.GaussianBlur(np.zeros((600, 800, 3), np.uint8), (0, 0), 3)
        return {"name": str(cv2.getNumThreads())}


def test_workers_have_one_opencv_thread_each_and_never_hang() -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(4)
    try:
        for _ in range(5):
            cv2.GaussianBlur(np.zeros((600, 800, 3), np.uint8), (0, 0), 3)  # the pool has threads
            loader = WatchedLoader(Threads(), batch_size=1, num_workers=2, advise=str, timeout=60)
            assert [batch["name"][0] for batch in loader] == ["1"] * 4
            assert cv2.getNumThreads() == 4
    finally:
        cv2.setNumThreads(before)
