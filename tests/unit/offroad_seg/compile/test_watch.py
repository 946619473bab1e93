# SPDX-License-Identifier: Apache-2.0
"""Long work shows its time, hands its result and errors on, and hears Ctrl-C."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from offroad_seg.compile.watch import Watched, abandoned


def test_result_and_error_come_back() -> None:
    assert Watched(lambda _: 7, what="adding").run() == 7

    def fail(_: Watched[int]) -> int:
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        Watched(fail, what="failing").run()
    assert not abandoned()


def test_work_that_takes_long_is_never_silent() -> None:
    stream, shown = io.StringIO(), threading.Event()

    def work(watched: Watched[int]) -> int:
        watched.report("tactics 3 of 9")
        while not shown.wait(0.01):
            if "tactics" in stream.getvalue():
                shown.set()
        return 1

    Watched(work, what="building", stream=stream, every_s=0.02).run()
    assert stream.getvalue().startswith("building")
    assert ": tactics 3 of 9 (0:0" in stream.getvalue()


def test_terminal_shows_one_line_and_clears_it() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()

    def work(_: Watched[int]) -> int:
        while "building" not in stream.getvalue():
            time.sleep(0.01)
        return 1

    Watched(work, what="building", stream=stream).run()
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")


INTERRUPTED = """
import signal, sys, time
import offroad_seg.compile.watch as watch
watch._GRACE_S = 0.2
# A test run in the background has SIGINT ignored, and so would its child.
signal.signal(signal.SIGINT, signal.default_int_handler)

def work(watched):
    print("working", flush=True)
    while not (sys.argv[1] == "asks" and watched.cancelled()):
        time.sleep(0.02)

try:
    watch.Watched(work, what="building").run()
except KeyboardInterrupt:
    print("abandoned" if watch.abandoned() else "ended", flush=True)
    import os; os._exit(130)
"""


@pytest.mark.parametrize(("kind", "said"), [("asks", "ended"), ("deaf", "abandoned")])
def test_ctrl_c_is_heard_at_once(kind: str, said: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", INTERRUPTED, kind], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "working\n"
    os.kill(child.pid, signal.SIGINT)
    out, _ = child.communicate(timeout=150)
    assert (child.returncode, out) == (130, f"{said}\n")
