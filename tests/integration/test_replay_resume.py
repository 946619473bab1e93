# SPDX-License-Identifier: Apache-2.0
"""A replay that was broken off goes on, and ends as if it had not been."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from unittest.mock import patch

import pytest

from offroad_seg.cli.main import main
from offroad_seg.ontology import load_ontology
from offroad_seg.replay.records import read_records
from offroad_seg.replay.resume import partial_folder, saved_frames
from offroad_seg.replay.spool import Spool
from offroad_seg.replay.summary import TIME_KEYS
from tests.helpers.bags import write_bag
from tests.helpers.bundles import make_color_bundle

FRAMES = 24

# An engine that takes its time, and counts how often it ran.
SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test that runs in the background has it ignored
from offroad_seg.engines import onnxruntime as m
from offroad_seg.cli.main import main
engine = next(v for v in vars(m).values() if isinstance(v, type) and v.__module__ == m.__name__ and hasattr(v, "infer"))
infer, counts = engine.infer, [0]
def slow(self, image):
    counts[0] += 1
    # The run that is to be broken off waits for that.
    time.sleep(0.05 if counts[0] < 10 or "--resume" in sys.argv else 2.0)
    return infer(self, image)
engine.infer = slow
status = main(sys.argv[1:])
print("RAN", counts[0])
sys.exit(status)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    ontology = load_ontology("duality_desert")
    make_color_bundle(folder / "bundle", ontology, 60, 96)
    write_bag(folder / "drive.mcap", ontology, frames=FRAMES, height=60, width=96, noise=90)
    assert main(arguments(folder, "whole")) == 0
    return folder


def arguments(place, out, *options):
    return ["replay", str(place / "bundle"), str(place / "drive.mcap"), "--out", str(place / out), *options]


def start(place, out, *options):
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, *arguments(place, out, *options)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_frames(place, out, count):
    spool = partial_folder(place / out) / "engine.spool"
    deadline = time.monotonic() + 150
    # Each frame of 60 × 96 takes about the same room.
    while time.monotonic() < deadline:
        if spool.is_file() and spool.stat().st_size > 0 and saved(spool) >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"no {count} frames")


def saved(spool):
    return spool.read_bytes().count(b"OSF2")


def comparable(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    records = [
        {k: v for k, v in json.loads(r.to_json()).items() if k != "latency_ms"}
        for r in read_records(folder / "frames.jsonl")
    ]
    return {k: v for k, v in metrics.items() if k not in TIME_KEYS}, records


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_what_was_broken_off_goes_on_and_ends_the_same(place, stop):
    out = f"by_{stop.name}"
    process = start(place, out)
    try:
        wait_for_frames(place, out, 5)
        process.send_signal(stop)
        _, said = process.communicate(timeout=150)
    finally:
        process.kill()
    assert process.returncode == (130 if stop == signal.SIGINT else -signal.SIGKILL)
    if stop == signal.SIGINT:
        assert "--resume" in said
    assert "Traceback" not in said
    assert not (place / out).exists()
    kept = saved_frames(place / out)
    assert 5 <= kept < FRAMES

    process = start(place, out, "--resume")
    printed, said = process.communicate(timeout=250)
    assert process.returncode == 0, said
    assert f"{kept} frames are known" in said
    # The engine ran for the rest only; once more to warm up.
    assert int(printed.split("RAN")[1]) == FRAMES - kept + 1
    assert comparable(place / out) == comparable(place / "whole")
    assert (place / out / "report.html").is_file()
    assert not partial_folder(place / out).exists()


def broken_off(place, out, frames=4):
    """What Ctrl-C after some frames leaves, without a process of its own."""
    put, kept = Spool.put, []

    def interrupted(self, *arguments):
        put(self, *arguments)
        kept.append(1)
        if len(kept) == frames:
            raise KeyboardInterrupt

    with patch.object(Spool, "put", interrupted):
        assert main(arguments(place, out)) == 130
    assert saved_frames(place / out) == frames


def test_it_is_neither_lost_nor_taken_for_something_else(place, capsys):
    broken_off(place, "kept")
    assert main(arguments(place, "kept")) == 2
    said = capsys.readouterr().err
    assert "--resume" in said
    assert "--overwrite" in said
    os.utime(place / "drive.mcap", ns=(1, 1))
    assert main(arguments(place, "kept", "--resume")) == 2
    assert "another bag" in capsys.readouterr().err
    assert saved_frames(place / "kept") == 4
    assert main(arguments(place, "kept", "--overwrite")) == 0
    assert not partial_folder(place / "kept").exists()


def test_costs_may_change_when_it_goes_on(place):
    broken_off(place, "other_costs")
    dear = ("--param", "class_cost.Landscape=77")
    assert main(arguments(place, "other_costs", "--resume", *dear)) == 0
    assert main(arguments(place, "dear", *dear)) == 0
    assert comparable(place / "other_costs") == comparable(place / "dear")


def test_nothing_to_resume_is_no_error(place, capsys):
    assert main(arguments(place, "fresh", "--resume")) == 0
    assert "beginning anew" in capsys.readouterr().err
    assert comparable(place / "fresh")[1] == comparable(place / "whole")[1]


def test_two_processes_do_not_write_to_one_folder(place, capsys):
    broken_off(place, "shared")
    lock = os.open(partial_folder(place / "shared"), os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(arguments(place, "shared", "--resume")) == 2
        assert "another process" in capsys.readouterr().err
        assert saved_frames(place / "shared") == 4
    finally:
        os.close(lock)


def test_resume_does_not_go_with_the_node(place, capsys):
    assert main(arguments(place, "x", "--resume", "--via-ros")) == 2
    assert "--via-ros" in capsys.readouterr().err
