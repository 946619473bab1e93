# SPDX-License-Identifier: Apache-2.0
"""A build that cannot end: no room on the GPU or the disk, Ctrl-C, kill -9. Nothing half-written, nothing lost."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from offroad_seg.bundle import Bundle
from offroad_seg.cli.main import main
from offroad_seg.scratch import STALE_S
from tests.helpers.refusals import Refused

if TYPE_CHECKING:
    from pathlib import Path


def test_gpu_without_room(
    portable: Bundle, tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the seam: no GPU here. A run time's own words become what was asked for, and what is free."""

    def build(*_: object) -> None:
        raise RuntimeError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.4 GiB"
        )

    monkeypatch.setattr("offroad_seg.compile.onnxruntime_builder.OnnxRuntimeBuilder.build", build)
    said = refused("compile", portable.path, "--out", tmp_path / "out", status=1)
    assert "ran out while building: 2048 MiB were asked for" in said
    assert "smaller size" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["portable"]


def command(*words: object, code: str = "", **more: Any) -> subprocess.Popen[str]:
    """The command in a process of its own; ``code`` runs before it."""
    program = f"{code}\nimport sys\nfrom offroad_seg.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def test_file_system_that_is_full(portable: Bundle, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("this container may not mount")
    with contextlib.suppress(OSError):
        (small / "ballast").write_bytes(b"x" * (64 << 10))
    try:
        child = command("compile", portable.path, "--out", small / "engine", "--no-cache")
        _, said = child.communicate(timeout=250)
        assert child.returncode == 1, said
        assert "no space left: about 1 MiB are needed, 0 MiB are free" in said
        assert f"where: {small}" in said
        assert "Traceback" not in said
        assert [p.name for p in small.iterdir()] == ["ballast"]
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_disk_that_fills_while_the_engine_is_written(portable: Bundle, tmp_path: Path) -> None:
    """The run time's own error is another one; what is told is that nothing more can be written."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))

    child = command(
        "compile",
        portable.path,
        "--out",
        tmp_path / "engine",
        "--no-cache",
        preexec_fn=limit,
    )
    _, said = child.communicate(timeout=250)
    assert child.returncode == 1, said
    assert "no space left" in said
    assert "ulimit -f" in said
    assert "Traceback" not in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["portable"]


# A builder that takes for ever, as TensorRT seems to, and does not ask whether to go on.
SLOW = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test that runs in the background has it ignored
from offroad_seg.compile import watch
from offroad_seg.compile.onnxruntime_builder import OnnxRuntimeBuilder
watch.LOG_EVERY_S, watch._GRACE_S = 0.2, 0.2
watch.Watched.__init__.__kwdefaults__["every_s"] = 0.2
def build(self, bundle, plan, folder, tools):
    (folder / "half.plan").write_bytes(b"half")
    tools.report("tactics 3 of 9")
    while True:
        time.sleep(0.05)
OnnxRuntimeBuilder.build = build
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_build_leaves_nothing_half_written(portable: Bundle, tmp_path: Path, how: int) -> None:
    out = tmp_path / "engine"
    child = command("compile", portable.path, "--out", out, "--cache", tmp_path / "cache", code=SLOW)
    assert child.stderr is not None
    said = ""
    while "tactics 3 of 9" not in said:
        line = child.stderr.readline()
        assert line, said
        said += line
    child.send_signal(how)
    rest = child.communicate(timeout=250)[1]
    assert "Traceback" not in rest
    assert not out.exists()
    left = [p for p in (tmp_path / "cache").iterdir() if p.is_dir()]
    if how == signal.SIGINT:
        assert child.returncode == 130
        assert "interrupted" in rest
        assert left == []
        return
    # Nobody can tidy up after kill -9: the next one does.
    assert len(left) == 1
    old = time.time() - 2 * STALE_S
    os.utime(left[0], (old, old))
    assert main(["compile", str(portable.path), "--out", str(out), "--cache", str(tmp_path / "cache")]) == 0
    assert len([p for p in (tmp_path / "cache").iterdir() if p.is_dir()]) == 1
    assert not left[0].exists()
    assert Bundle.load(out)


def test_old_engine_survives_a_build_that_fails(
    engine: Bundle, portable: Bundle, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p.name: p.read_bytes() for p in engine.path.iterdir()}

    def build(*_: object) -> None:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr("offroad_seg.compile.onnxruntime_builder.OnnxRuntimeBuilder.build", build)
    refused("compile", portable.path, "--out", engine.path, "--overwrite", "--no-cache", status=1)
    assert {p.name: p.read_bytes() for p in engine.path.iterdir()} == before
    shutil.rmtree(engine.path)
