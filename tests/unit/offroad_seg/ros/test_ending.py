# SPDX-License-Identifier: Apache-2.0
"""How the process ends: real signals to real processes."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

CLEAN = """
from offroad_seg.ros.ending import Ending
ending = Ending(grace_s=20.0)
print("ready", flush=True)
ending.asked.wait()
ending.ignore_signals()
ending.done()
"""
# The main thread never looks whether it was asked to end, as inside a library that does not come back.
HANGS = """
import threading
from offroad_seg.ros.ending import Ending
ending = Ending(grace_s=0.3)
print("ready", flush=True)
lock = threading.Lock()
lock.acquire()
lock.acquire()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("program", "status", "words"),
    [(CLEAN, 0, ""), (HANGS, 1, "no clean end within 0.3 s of the signal")],
    ids=["clean", "hangs"],
)
def test_a_signal_ends_the_process_whatever_the_main_thread_does(number, program, status, words):
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == status
    assert words in errors
    assert "Traceback" not in errors
