# SPDX-License-Identifier: Apache-2.0
"""What a killed process leaves behind is removed by the next one; what a living one holds is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from offroad_seg import resources
from offroad_seg.scratch import STALE_S, remove_stale, scratch_folder

HOLD = """
import sys, time
from pathlib import Path
from offroad_seg.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1]), ".work-") as folder:
    (folder / "half.bin").write_bytes(b"x")
    print(folder, flush=True)
    time.sleep(600)
"""


def age(folder: Path) -> None:
    old = time.time() - 2 * STALE_S
    os.utime(folder, (old, old))


def test_folder_is_gone_at_the_end_of_the_block_and_after_an_error(tmp_path):
    with scratch_folder(tmp_path, ".work-") as folder:
        assert folder.parent == tmp_path
        assert folder.name.startswith(".work-")
        (folder / "x").write_text("x")
    with pytest.raises(ValueError, match="boom"), scratch_folder(tmp_path, ".work-"):
        raise ValueError("boom")
    assert list(tmp_path.iterdir()) == []


def test_killed_process_is_cleaned_up_after_and_a_living_one_is_left_alone(tmp_path):
    children = [
        subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        held = [Path(child.stdout.readline().strip()) for child in children]
        children[0].send_signal(signal.SIGKILL)
        children[0].wait()
        assert remove_stale(tmp_path, ".work-") == []  # too young: may be about to be locked
        for folder in held:
            age(folder)
        with scratch_folder(tmp_path, ".work-") as mine:
            assert sorted(p.name for p in tmp_path.iterdir()) == sorted([held[1].name, mine.name])
    finally:
        for child in children:
            child.kill()
            child.wait()
            child.stdout.close()


def test_only_folders_of_that_name_are_removed(tmp_path):
    for name in (".work-", ".work-abc.tmp", ".work-12345678.tmp", "work-12345678.tmp", ".work-12345678.tmp2"):
        (tmp_path / name).mkdir()
        age(tmp_path / name)
    assert [p.name for p in remove_stale(tmp_path, ".work-")] == [".work-12345678.tmp"]
    assert len(list(tmp_path.iterdir())) == 4


def test_crash_between_two_renames_loses_nothing(tmp_path):
    out = tmp_path / "out"
    (tmp_path / ".out.old").mkdir()  # the folder that was to be replaced, moved aside
    (tmp_path / ".out.old" / "precious").write_text("x")
    with pytest.raises(ValueError, match="boom"), resources.replacing_folder(out, overwrite=True):
        raise ValueError("boom")
    assert (out / "precious").read_text() == "x"
    with resources.replacing_folder(out, overwrite=True) as folder:
        (folder / "new").write_text("y")
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["out", "out/new"]
