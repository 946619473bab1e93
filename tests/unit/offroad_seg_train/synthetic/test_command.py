# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from rosbags.rosbag2 import Reader

from offroad_seg.cli.main import main


def test_pictures_and_a_drive(tmp_path, capsys):
    out, bag = tmp_path / "desert", tmp_path / "drive"
    size = ["--width", "80", "--height", "48", "--workers", "1", "--seed", "2"]
    drive = ["--bag", str(bag), "--bag-seed", "4", "--seconds", "0.4", "--rate", "5"]
    assert main(["synth", "--out", str(out), "--images", "1", *drive, *size]) == 0
    assert [p.name for p in (out / "Segmentation").iterdir()] == ["w000_0000.png"]
    with Reader(bag) as reader:
        assert {c.topic: c.msgcount for c in reader.connections}["/camera/image"] == 2
    said = capsys.readouterr().out
    assert str(out) in said
    assert str(bag) in said


def test_nothing_to_write_is_refused(capsys):
    assert main(["synth"]) == 2
    assert "--out" in capsys.readouterr().err


def test_an_existing_bag_is_refused_before_the_pictures_are_made(tmp_path, capsys):
    bag = tmp_path / "drive"
    bag.mkdir()
    (bag / "metadata.yaml").write_text("mine")
    arguments = ["synth", "--out", str(tmp_path / "out"), "--images", "1", "--bag", str(bag)]
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert (bag / "metadata.yaml").read_text() == "mine"


@pytest.mark.parametrize("wrong", [["--images", "0"], ["--width", "3"], ["--workers", "0"], ["--seed", "-1"]])
def test_bad_numbers_exit_with_2(tmp_path, wrong):
    assert main(["synth", "--out", str(tmp_path / "out"), *wrong]) == 2
    assert not (tmp_path / "out").exists()
