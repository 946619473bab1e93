# SPDX-License-Identifier: Apache-2.0
"""``train --resume`` after ``kill -9`` reaches the same losses, to the last bit, as a run that nobody stopped."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EPOCHS = 4
RAW = (100, 300, 7100, 10000)


def write_frames(root: Path, n: int, seed: int) -> None:
    """Pictures whose colours give the class away, in the Duality layout."""
    rng = np.random.default_rng(seed)
    for folder in ("Color_Images", "Segmentation"):
        (root / folder).mkdir(parents=True)
    colours = rng.integers(0, 256, (len(RAW), 3))
    for i in range(n):
        ids = np.kron(rng.integers(0, len(RAW), (4, 7)), np.ones((12, 12), np.int64))
        image = np.clip(colours[ids] + rng.normal(0, 20, (*ids.shape, 3)), 0, 255).astype(np.uint8)
        cv2.imwrite(str(root / "Color_Images" / f"f{i:03d}.png"), image)
        cv2.imwrite(str(root / "Segmentation" / f"f{i:03d}.png"), np.array(RAW, np.uint16)[ids])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_frames(root / "train", 16, seed=1)
    write_frames(root / "val", 6, seed=1)
    return root


def start(data: Path, run: Path, *options: str, workers: int) -> subprocess.Popen:
    words = [sys.executable, "-m", "offroad_seg.cli.main", "train", "--out", str(run), *options]
    words.append(f"data.workers={workers}")
    if "--resume" not in options:
        words += ["--config", "tiny", "--data", str(data / "train"), f"data.val_root={data / 'val'}"]
        words += ["data.height=48", "data.width=84", "data.cache_gib=0", "model.width=8"]
        words += [f"epochs={EPOCHS}", "batch_size=4", "loss.class_weights=none", "device=cpu", "seed=7"]
    return subprocess.Popen(
        words,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    return output


def rows(run: Path) -> list[dict]:
    path = run / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@contextmanager
def stalling(image: Path):
    """Put a pipe in an image's place: who reads it waits, in the middle of an epoch."""
    aside = image.with_suffix(".aside")
    image.rename(aside)
    os.mkfifo(image)
    try:
        yield
    finally:
        aside.replace(image)


def wait_for_reader(pipe: Path, process: subprocess.Popen) -> int:
    """The pipe's open end; as long as it is open, its reader waits for bytes that never come."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:  # ENXIO: nobody reads yet
                raise
            time.sleep(0.01)
    raise AssertionError("nobody read the image")


def kill_inside_an_epoch(data: Path, run: Path, process: subprocess.Popen, after_epochs: int) -> None:
    # The data are checked before the first epoch: a pipe must not be there yet.
    assert any("images to train on" in line for line in process.stdout), process.wait()
    deadline = time.monotonic() + 240
    while len(rows(run)) < after_epochs and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)
    image = data / "train" / "Color_Images" / "f009.png"
    with stalling(image):
        end = wait_for_reader(image, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(end)
    assert process.returncode == -signal.SIGKILL


def test_a_killed_run_goes_on_as_if_nothing_had_been(data: Path, tmp_path: Path) -> None:
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    # Beside the others, on a copy: a picture of `data` is not always there.
    whole = start(shutil.copytree(data, tmp_path / "copy"), unbroken, workers=0)

    # Another number of workers must change nothing either; one reads ahead, which a wrong epoch would show.
    kill_inside_an_epoch(data, broken, start(data, broken, workers=1), after_epochs=0)
    assert rows(broken) == [], "killed in its first epoch"
    kill_inside_an_epoch(data, broken, start(data, broken, "--resume", workers=1), after_epochs=1)
    assert 1 <= len(rows(broken)) < EPOCHS
    output = finish(start(data, broken, "--resume", workers=1))
    assert "going on after epoch" in output
    finish(whole)

    expected = rows(unbroken)
    assert [row["epoch"] for row in expected] == list(range(1, EPOCHS + 1))
    assert expected[0]["train"]["loss"] > expected[-1]["train"]["loss"], "it learns something"
    assert rows(broken) == expected
    for name in ("last.ckpt", "best.ckpt"):
        a, b = (
            torch.load(run / "checkpoints" / name, weights_only=True)["state_dict"]
            for run in (unbroken, broken)
        )
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a), name
    leftovers = [p for p in broken.rglob("*") if p.name.startswith(".") or p.suffix in (".tmp", ".old")]
    assert not leftovers
