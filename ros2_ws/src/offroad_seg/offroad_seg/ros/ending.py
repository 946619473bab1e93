# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM end the process: cleanly where that is possible, in bounded time in any case."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from typing import NoReturn

GRACE_S = 8.0
"""So long a clean end may take: less than the 10 s after which Docker kills."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Ending:
    """Hears the signals from now on; in the main thread.

    Python runs a signal's handler between two steps of the main thread. While that one is inside a library that does
    not come back (a network that hangs while it is loaded), nothing would happen. So the signal's number is also
    written to a socket, and a thread that reads it ends the process when the grace is over.

    Attributes:
        asked: Set by the first signal.
    """

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self.asked = threading.Event()
        self._ended = threading.Event()
        self._grace_s = grace_s
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)
        for number in _SIGNALS:
            signal.signal(number, lambda _number, _frame: self.asked.set())
        self._old_fd = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._wait, name="ending", daemon=True).start()

    def ignore_signals(self) -> None:
        """The end has begun: a second signal must not disturb it."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def done(self) -> None:
        """The end was clean."""
        self._ended.set()
        signal.set_wakeup_fd(self._old_fd)
        self._write.close()  # the thread reads the end of it

    def _wait(self) -> None:
        heard = self._read.recv(1)
        self._read.close()
        if heard and not self._ended.wait(self._grace_s):
            end_now(f"no clean end within {self._grace_s:g} s of the signal: something hangs")


def end_now(reason: str) -> NoReturn:
    """End the process at once, with status 1, whatever its threads do; what it has logged is written."""
    print(f"error: {reason}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
