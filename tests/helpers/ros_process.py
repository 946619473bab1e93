# SPDX-License-Identifier: Apache-2.0
"""Real nodes in processes of their own, on a DDS domain that nobody else uses, ended whatever happens."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from offroad_seg.ros.dds import use_large_image_profile
from offroad_seg.ros.replay_node import WITH_PARENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATIENCE_S = 120.0
"""How long a process may take to start, or to end, on the busiest machine."""
_DOMAINS = range(20, 60)
_SHM = Path("/dev/shm")


@contextmanager
def own_domain() -> Iterator[int]:
    """A ROS domain that no other test process on this machine uses, set in this process's environment.

    It is held by a lock on a file, so that a killed test gives it back. What Fast DDS leaves of it is removed.
    """
    for domain in _DOMAINS:
        lock = Path(tempfile.gettempdir(), f"offroad_seg_test_domain_{domain}.lock").open("w")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        break
    else:
        raise RuntimeError(f"all test domains {_DOMAINS} are in use")
    saved = {name: os.environ.get(name) for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE")}
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"  # nothing of a test leaves this machine
    use_large_image_profile()
    try:
        yield domain
    finally:
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _remove_ports(domain)
        lock.close()


class NodeProcess:
    """``offroad-seg node`` in a process of its own.

    Args:
        arguments: After the ``node`` of the command line.
        log: Where its output goes.
        module: What is run in place of the command line's own module.
        **environment: Variables for it.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        module: str = "offroad_seg.cli.main",
        **environment: str,
    ) -> None:
        self.log = log
        self._segments: set[Path] = set()
        environment = {
            **os.environ,
            **environment,
            "OMP_NUM_THREADS": "1",
            "RCUTILS_COLORIZED_OUTPUT": "0",
            "PYTHONUNBUFFERED": "1",
        }
        with log.open("w") as stream:
            self.process = subprocess.Popen(
                # Ends with a test that is killed, too: nodes left behind would speak in somebody else's domain.
                [
                    *(sys.executable, "-c", WITH_PARENT, str(os.getpid())),
                    *(sys.executable, "-m", module, "node", *arguments),
                ],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=Path(__file__).parents[2],
                start_new_session=True,
            )

    def wait_for(self, text: str, timeout_s: float = PATIENCE_S) -> str:
        """Wait until the log has ``text``; returns the log.

        Raises:
            TimeoutError: It did not come, or the process ended before.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            ended = self.process.poll() is not None
            content = self.log.read_text(errors="replace")
            if text in content:
                return content
            if ended or time.monotonic() > deadline:
                raise TimeoutError(f"no {text!r} (process ended: {ended}) in:\n{content}")
            time.sleep(0.02)

    def end(self, number: int = signal.SIGINT, timeout_s: float = PATIENCE_S) -> int:
        """Send a signal and wait; returns the exit status. Kills what does not end."""
        self._note_segments()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
            raise
        finally:
            # A clean end removes them itself; a killed process leaves them behind.
            for segment in self._segments:
                segment.unlink(missing_ok=True)

    def _note_segments(self) -> None:
        with suppress(OSError):
            maps = Path(f"/proc/{self.process.pid}/maps").read_text()
            own = {Path(line.split()[-1]) for line in maps.splitlines() if "/dev/shm/fastrtps_" in line}
            self._segments = {p for p in own if not p.name.startswith("fastrtps_port")}


@contextmanager
def running_node(
    arguments: Sequence[str], log: Path, ready: str = "configured:", **options: str
) -> Iterator[NodeProcess]:
    """A node that has said ``ready``; ended, and its exit status checked, when the block ends."""
    node = NodeProcess(arguments, log, **options)
    try:
        node.wait_for(ready)
        yield node
    finally:
        status = node.end()
    assert status == 0, f"the node ended with {status}:\n{log.read_text()}"


def _remove_ports(domain: int) -> None:
    first = 7400 + 250 * domain
    for port in range(first, first + 250):
        for name in (f"fastrtps_port{port}", f"fastrtps_port{port}_el", f"sem.fastrtps_port{port}_mutex"):
            with suppress(OSError):
                (_SHM / name).unlink(missing_ok=True)
