# SPDX-License-Identifier: Apache-2.0
"""A disk that is full while a checkpoint is written: the checkpoints that were there stay whole.

The kernel refuses the write (RLIMIT_FSIZE), as a full disk does.
"""

from __future__ import annotations

import resource
from contextlib import contextmanager
from pathlib import Path

import lightning.pytorch as lightning
import pytest

from offroad_seg.errors import OffroadSegError
from offroad_seg_train.checkpoint import load_checkpoint
from offroad_seg_train.training.checkpoint_files import write_checkpoint
from offroad_seg_train.training.config import TrainConfig
from offroad_seg_train.training.run import train


@contextmanager
def files_no_larger_than(size: int):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class FullDisk(lightning.Callback):
    """The disk is full from the second epoch on."""

    def on_validation_epoch_end(self, trainer, *_) -> None:
        if trainer.current_epoch == 1:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))


def whole_files(run: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (run / "checkpoints").iterdir()}


def test_the_checkpoints_of_the_epoch_before_are_whole_and_the_run_goes_on(
    recipe: TrainConfig, tmp_path: Path
) -> None:
    unbroken = train(recipe, tmp_path / "unbroken", show=False)
    run = tmp_path / "run"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(OffroadSegError, match="cannot be written: File too large") as caught:
            train(recipe, run, show=False, callbacks=[FullDisk()])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(run / "checkpoints") in caught.value.where
    assert "--resume" in caught.value.mend
    assert sorted(whole_files(run)) == ["best.ckpt", "last.ckpt"], "no half file is left"
    for name in ("best.ckpt", "last.ckpt"):
        assert load_checkpoint(run / "checkpoints" / name).epoch == 1

    resumed = train(recipe, run, resume=True, show=False)
    assert [{**row, "seconds": 0} for row in resumed.rows] == [{**row, "seconds": 0} for row in unbroken.rows]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "last.ckpt"
    write_checkpoint({"weights": torch.zeros(10)}, path)
    before = path.read_bytes()
    with files_no_larger_than(50_000), pytest.raises(OffroadSegError, match=r"last\.ckpt"):
        write_checkpoint({"weights": torch.zeros(100_000)}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
