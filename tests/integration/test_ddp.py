# SPDX-License-Identifier: Apache-2.0
"""Two processes (gloo, on the CPU) train as one does: the same figures, one confusion matrix, one writer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from offroad_seg_train.checkpoint import load_checkpoint
from offroad_seg_train.training.recipe import load_recipe
from offroad_seg_train.training.run import train
from tests.integration.test_resume import write_frames

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TRAINING, VALIDATION = 16, 7


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_frames(root / "train", TRAINING, seed=1)
    # An odd number: one process has an image less than the other.
    write_frames(root / "val", VALIDATION, seed=1)
    (root / "phases.yaml").write_text("""
        data: {height: 48, width: 84, workers: 0}
        # Without batch statistics and weights of pixels, the mean of two batches is that of one twice as large.
        model: {name: tiny, width: 8, norm: layer}
        optimizer: {name: sgd, lr: 0.1}
        ema: {decay: 0.5}
        phases: [{epochs: 2}, {epochs: 1, lr_factor: 0.1}]
        epochs: 3
        device: cpu
        seed: 7
        """)
    return root


def train_by_command(data: Path, run: Path, *settings: str) -> str:
    words = [sys.executable, "-m", "offroad_seg.cli.main", "train", "--config", str(data / "phases.yaml")]
    words += ["--data", str(data / "train"), f"data.val_root={data / 'val'}", "--out", str(run), *settings]
    done = subprocess.run(
        words,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("runs")
    config = load_recipe(
        data / "phases.yaml", ["batch_size=4", f"data.val_root={data / 'val'}"], data / "train"
    )
    train(config, folder / "one", show=False)
    said = train_by_command(data, folder / "two", "batch_size=2", "devices=2", "strategy=ddp")
    return {"one": (folder / "one", ""), "two": (folder / "two", said)}


def rows(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_have_the_figures_of_one(runs: dict[str, tuple[Path, str]]) -> None:
    one, two = rows(runs["one"][0]), rows(runs["two"][0])
    assert [row["epoch"] for row in two] == [row["epoch"] for row in one] == [1, 2, 3]
    for a, b in zip(one, two, strict=True):
        assert b["train"]["loss"] == pytest.approx(a["train"]["loss"], rel=1e-4)
        for name in ("miou", "miou_present", "mean_dice", "pixel_accuracy"):
            assert b["val"][name] == pytest.approx(a["val"][name], abs=2e-3), name
            assert b["train"][name] == pytest.approx(a["train"][name], abs=2e-3), name


def test_the_confusion_matrix_is_summed_and_counts_each_image_once(
    runs: dict[str, tuple[Path, str]],
) -> None:
    for (a, b), images in (
        (((rows(runs["one"][0])[-1][part], rows(runs["two"][0])[-1][part])), images)
        for part, images in (("train", TRAINING), ("val", VALIDATION))
    ):
        pixels = [{name: c["pixels"] for name, c in figures["per_class"].items()} for figures in (a, b)]
        assert pixels[0] == pixels[1]
        assert sum(pixels[1].values()) == images * 48 * 84


def test_the_weights_are_those_of_one_process(runs: dict[str, tuple[Path, str]]) -> None:
    a, b = (
        load_checkpoint(run / "checkpoints" / "last.ckpt").module.state_dict() for run, _ in runs.values()
    )
    for name in a:
        assert (a[name] - b[name]).abs().max() < 1e-3, name


def test_only_the_first_process_writes_and_speaks(runs: dict[str, tuple[Path, str]]) -> None:
    def kinds(run: Path) -> list[str]:
        names = [str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()]
        return sorted("events" if "tfevents" in name else name for name in names)

    # One file of events for each phase, of one process.
    assert kinds(runs["two"][0]) == kinds(runs["one"][0])
    said = runs["two"][1]
    for words in (
        "epoch 1/3",
        "epoch 3/3",
        "phase 2 of 2 begins",
        "best validation miou",
        "phase 1 of 2: tiny",
    ):
        assert said.count(words) == 1, (words, said)


def test_a_process_that_fails_ends_the_other(data: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="the loss is") as caught:
        train_by_command(
            data, tmp_path / "run", "batch_size=2", "devices=2", "strategy=ddp", "optimizer.lr=1e30"
        )
    assert "images f" in str(caught.value)
    assert "Traceback" not in str(caught.value)
