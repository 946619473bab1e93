# SPDX-License-Identifier: Apache-2.0
"""Long work in a thread of its own, so that its progress is shown and Ctrl-C is heard while a run time builds.

A build spends minutes inside one call of C++. Python would hear Ctrl-C only when that returns, and could say nothing
meanwhile: so the caller's thread waits, shows the time, and goes away when it is told to.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Generic, TextIO, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

LOG_EVERY_S = 10.0
_TERMINAL_EVERY_S = 0.5
_GRACE_S = 3.0
_abandoned: list[threading.Thread] = []


class Watched(Generic[T]):
    """One piece of long work.

    Args:
        work: What to do; it is given this object, for ``report`` and ``cancelled``.
        what: What it is called, such as ``building tensorrt fp16``.
        stream: Where progress goes; None takes stderr.
        every_s: Seconds between two lines where the stream is no terminal.
    """

    def __init__(
        self,
        work: Callable[[Watched[T]], T],
        *,
        what: str,
        stream: TextIO | None = None,
        every_s: float = LOG_EVERY_S,
    ) -> None:
        self._work, self._what = work, what
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty()
        self._every_s = _TERMINAL_EVERY_S if self._live else every_s
        self._phase = ""
        self._done = threading.Event()
        self._cancelled = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None

    def report(self, phase: str) -> None:
        """What is being done right now; shown with the next line."""
        self._phase = phase

    def cancelled(self) -> bool:
        """Whether the user has interrupted."""
        return self._cancelled.is_set()

    def run(self) -> T:
        """Do the work and return what it returns.

        Raises:
            KeyboardInterrupt: The user interrupted; the work may still be running, see ``abandoned``.
            BaseException: Whatever the work raised.
        """
        thread = threading.Thread(target=self._run, name=self._what, daemon=True)
        started = time.monotonic()
        try:
            thread.start()  # inside: it waits for the thread, which may already work when Ctrl-C comes
            while not self._done.wait(self._every_s):
                self._show(time.monotonic() - started)
        except BaseException:
            self._cancelled.set()
            # A run time that asks whether to go on ends now; one that does not is left to the end of the process.
            if not self._done.wait(_GRACE_S):
                _abandoned.append(thread)
            raise
        finally:
            self._clear()
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _run(self) -> None:
        try:
            self._result.append(self._work(self))
        except BaseException as error:  # noqa: BLE001 (raised again where the work was asked for)
            self._error = error
        finally:
            self._done.set()

    def _show(self, elapsed_s: float) -> None:
        minutes, seconds = divmod(int(elapsed_s), 60)
        phase = f": {self._phase}" if self._phase else ""
        text = f"{self._what}{phase} ({minutes}:{seconds:02d})"
        self._stream.write(f"\r\x1b[K{text}" if self._live else f"{text}\n")
        self._stream.flush()

    def _clear(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def abandoned() -> bool:
    """Whether interrupted work still runs: the process must then end without waiting for it."""
    return any(thread.is_alive() for thread in _abandoned)
