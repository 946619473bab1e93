# SPDX-License-Identifier: Apache-2.0
"""The node that a replay evaluates: in a process and on a DDS domain of its own, ended whatever happens."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offroad_seg.errors import EngineError, OffroadSegError
from offroad_seg.ros.dds import on_this_machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

DOMAINS = range(60, 100)
NAMESPACE = "replay"
_READY_S = 180.0
_END_S = 15.0
_READY, _FAILED = "configured:", "configure failed:"
# What follows runs in place of this, and gets SIGTERM when the replay ends, be it by kill -9: nobody else would end it.
# SIGINT would be an exception while modules are imported, which some of them swallow.
# PR_SET_PDEATHSIG is 1 (linux/prctl.h), outlasts exec, and comes too late for a parent that has ended already.
WITH_PARENT = (
    "import ctypes, os, signal, sys; ctypes.CDLL(None).prctl(1, int(signal.SIGTERM)); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execv(sys.argv[2], sys.argv[2:])"
)
"""Python code: runs the command behind the process id of its parent, with which it ends."""


@contextmanager
def own_domain() -> Iterator[int]:
    """A ROS domain that no other replay on this machine uses; what is played reaches no vehicle.

    Nothing of it leaves this machine while the block runs. It is held by a lock on a file, so that a killed replay
    gives it back.

    Raises:
        OffroadSegError: All are in use.
    """
    for domain in DOMAINS:
        path = Path(tempfile.gettempdir(), f"offroad_seg_replay_domain_{domain}.lock")
        with ExitStack() as held:
            try:
                lock = held.enter_context(path.open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            held.enter_context(on_this_machine())
            yield domain
            return
    raise OffroadSegError(
        f"the ROS domains {DOMAINS.start} to {DOMAINS.stop - 1} are all in use by replays",
        mend="wait until one of them has ended",
    )


class ReplayNode:
    """``offroad-seg node`` with parameters, as a child process, which ends with the thread that made it.

    Args:
        parameters: ROS name → value.
        domain: The ROS domain.
        folder: For the parameter file and the log.
    """

    def __init__(self, parameters: dict[str, Any], domain: int, folder: Path) -> None:
        import yaml

        self._log = folder / "node.log"
        file = folder / "parameters.yaml"
        text = yaml.safe_dump({"/**": {"ros__parameters": parameters}}, allow_unicode=True)
        file.write_text(text, encoding="utf-8")
        remaps = [f"/{name}:=/{NAMESPACE}/{name}" for name in ("clock", "tf", "tf_static", "diagnostics")]
        command = [
            *(sys.executable, "-c", WITH_PARENT, str(os.getpid())),
            *(sys.executable, "-m", "offroad_seg.cli.main", "node"),
            *("--params-file", str(file), "--namespace", NAMESPACE),
            *(word for rule in remaps for word in ("--remap", rule)),
        ]
        environment = os.environ | {
            "ROS_DOMAIN_ID": str(domain),
            "RCUTILS_COLORIZED_OUTPUT": "0",
            "PYTHONUNBUFFERED": "1",
        }
        with self._log.open("w") as stream:
            self._process = subprocess.Popen(
                command, stdout=stream, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """Of the node's process."""
        return self._process.pid

    def __enter__(self) -> ReplayNode:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(_END_S)

    def wait_until_configured(self) -> None:
        """Wait until the bundle is loaded.

        Raises:
            EngineError: The node refuses it, ended, or takes too long; with its own words.
        """
        deadline = time.monotonic() + _READY_S
        while _READY not in (log := self._log.read_text(encoding="utf-8", errors="replace")):
            if _FAILED in log:
                raise EngineError(
                    "the node refused the bundle",
                    where=_tail(log),
                    mend="offroad-seg doctor says what works here",
                )
            self.check_alive()
            if time.monotonic() > deadline:
                raise EngineError(f"the node was not ready after {_READY_S:.0f} s", where=_tail(log))
            time.sleep(0.05)

    def check_alive(self) -> None:
        """Look whether the node still runs.

        Raises:
            EngineError: It has ended; with the end of its log.
        """
        status = self._process.poll()
        if status is not None:
            log = self._log.read_text(encoding="utf-8", errors="replace")
            raise EngineError(f"the node ended with status {status}", where=_tail(log))


def _tail(log: str, lines: int = 12) -> str:
    return "the node's log:\n    " + "\n    ".join(log.strip().splitlines()[-lines:])
