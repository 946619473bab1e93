# SPDX-License-Identifier: Apache-2.0
"""The words of ``offroad-seg train``."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from offroad_seg.cli.main import main
from offroad_seg_train.commands.train import COMMAND


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    COMMAND.add_arguments(parser)
    return parser.parse_args(list(words))


def test_settings_may_stand_anywhere() -> None:
    args = parse("epochs=1", "--config", "tiny", "seed=2", "--out", "a=b", "clip=3", "optimizer.lr=1e-3")
    assert args.settings == ["epochs=1", "seed=2", "clip=3", "optimizer.lr=1e-3"]
    assert args.out == Path("a=b")


@pytest.mark.parametrize(
    "words", [["--confg=tiny"], ["--config", "tiny", "--out", "x", "e=1", "--out", "y", "stray"]]
)
def test_other_words_are_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*words)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train"], "tiny"),
        (["train", "--config", "tiny"], "--data DIR"),
        (["train", "--config", "tiny", "optimizer.speed=3"], "speed"),
        (["train", "--config", "tiny", "--data", "/nowhere/at/all"], "/nowhere/at/all"),
        (["train", "--resume", "--out", "/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_bad_usage_exits_with_2_and_says_what_to_do(
    words: list[str], message: str, capsys, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_run_prints_where_its_best_checkpoint_is(frames: Path, tmp_path: Path, capsys) -> None:
    small = ["data.height=48", "data.width=80", "data.workers=0", "model.width=8", "epochs=2", "device=cpu"]
    run = tmp_path / "run"
    assert main(["train", "--config", "tiny", "--data", str(frames), "--out", str(run), *small]) == 0
    assert str(run / "checkpoints" / "best.ckpt") in capsys.readouterr().out
    assert (run / "checkpoints" / "best.ckpt").is_file()
    assert main(["train", "--config", "tiny", "--data", str(frames), "--out", str(run), *small]) == 2
    assert "not empty" in capsys.readouterr().err
    assert main(["train", "--resume", "--out", str(run)]) == 0
