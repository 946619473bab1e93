# SPDX-License-Identifier: Apache-2.0
"""``offroad-seg replay`` over many bags on a real Ray cluster."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed")

import pyarrow.parquet as pq

from offroad_seg.cli.main import main
from tests.helpers.fleet import fleet, lasting, read

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def place(fleet_place):
    return fleet_place


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "127.0.0.1:99999"])
def test_a_cluster_that_is_none_is_said_at_once(place, tmp_path, capsys, address):
    pytest.importorskip("ray", reason="Ray is not installed")
    out = tmp_path / "out"
    words = ["replay", str(place / "bundle"), str(place / "bags" / "a_run.mcap"), "--out", str(out)]
    assert main([*words, "--ray-address", address]) == 1
    text = capsys.readouterr().err
    assert "no Ray cluster" in text
    assert address in text
    assert not out.exists()


def busy_workers(driver: psutil.Process) -> list[psutil.Process]:
    """Worker processes that are at a bag now: Ray names a process after its task."""
    found = []
    for process in driver.children(recursive=True):
        try:
            if process.cmdline()[0].startswith("ray::do"):
                found.append(process)
        except (psutil.Error, IndexError):
            continue
    return found


def begun(bags: Path) -> bool:
    """Whether some frame of a bag is done, and the bag is not."""
    for spool in bags.glob(".*.partial/engine.spool"):
        with contextlib.suppress(FileNotFoundError):  # just done
            if spool.stat().st_size > 0:
                return True
    return False


@pytest.mark.timeout(600)
def test_workers_give_the_same_numbers_although_one_is_killed(place):
    """A local cluster of two workers, one of which is killed in the middle of a bag."""
    pytest.importorskip("ray", reason="Ray is not installed")
    shutil.rmtree(place / "cluster", ignore_errors=True)
    words = fleet(place, "cluster", "--ray-address", "local", "--workers", "2")
    driver = subprocess.Popen(
        [sys.executable, "-m", "offroad_seg.cli.main", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        watched = psutil.Process(driver.pid)
        deadline = time.monotonic() + 240
        # The other one may still be starting, or be done already, on a busy machine.
        while not (begun(place / "cluster" / "bags") and (busy := busy_workers(watched))):
            assert driver.poll() is None, driver.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        family = [watched, *watched.children(recursive=True)]
        busy[0].kill()
        places = set()
        for process in family:
            try:
                places |= {
                    c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN
                }
            except psutil.Error:
                continue
        said, _ = driver.communicate(timeout=300)
    finally:
        driver.kill()
        driver.wait(60)
    assert driver.returncode == 1, said
    assert "broken: no result" in said
    assert places
    assert {p.removeprefix("::ffff:") for p in places} <= {"127.0.0.1", "::1"}, (
        "it can be reached from elsewhere"
    )
    assert lasting(read(place / "cluster")) == lasting(read(place / "one"))
    one, two = (pq.read_table(place / out / "frames.parquet").to_pylist() for out in ("one", "cluster"))
    assert [{k: v for k, v in r.items() if "latency" not in k} for r in one] == [
        {k: v for k, v in r.items() if "latency" not in k} for r in two
    ]
    _, alive = psutil.wait_procs([p for p in family if p.pid != os.getpid()], timeout=60)
    assert alive == []
