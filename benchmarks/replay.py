# SPDX-License-Identifier: Apache-2.0
"""Replay: its overhead over the engine alone, what reading ahead gives, and memory against the bag's length.

    python benchmarks/replay.py [--model resnet50_fpn] [--frames 400] [--lengths 100 1000 10000] [--out FILE]

The bag is a camera that pans over a rendered desert, 960×540 JPEG with truth, calibration and poses. ``engine`` is the
engine alone on pixels that are letterboxed already; ``replay`` is everything: reading, decoding, letterbox, projection,
fusion, scoring, pictures for the report and annotated.mcap; ``replay_not_ahead`` reads and decodes each frame only when
it is asked for. The network's labels, confidence and OOD score look like the desert (``replay_drive.py``), as what is
done with them takes longer where there is more to see.

The speed of a shared machine's cores changes by a fifth within seconds, and one session of ONNX Runtime may be slower
than another. So the engine runs alone between blocks of the replay's own frames, in the replay's own session, and each
block is compared with the mean of its two neighbours. Told are all blocks, their median, mean and standard error. The
seconds that a replay takes beside its frames, from loading to the finished report, are told as those of one frame.

For memory each bag of tiny frames is replayed by a process of its own, with a small network.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import cv2
from replay_blocks import in_blocks, summary
from replay_drive import SIZE, write_bag, write_network

from offroad_seg.cli.main import main as offroad_seg
from offroad_seg.replay import runner
from offroad_seg.replay.prefetch import Prefetch

if TYPE_CHECKING:
    from collections.abc import Iterator

TINY = (96, 64)
BLOCK, ALONE = 10, 4
LEAST = 100
"""Frames that give at least two blocks for each way to replay."""


def measure_speed(model: str, frames: int, folder: Path) -> dict[str, Any]:
    """A replay, and one that does not read ahead, each in blocks between which the engine runs alone.

    Args:
        model: A recipe.
        frames: Of the bag; the replay that does not read ahead gets a third.
        folder: For bags, bundle and results.
    """
    bundle = write_network(folder / "bundle", model)
    found, told = {}, {}
    for name, count, ahead in (("replay", frames, Prefetch), ("replay_not_ahead", frames // 3, _NotAhead)):
        bag = folder / f"bag_{count}"
        write_bag(bag, count, SIZE)
        with patch.object(runner, "Prefetch", ahead), in_blocks(BLOCK, ALONE) as blocks:
            _replay(bundle.path, bag, folder / name)
        # The first block holds what is done once: buffers, tables, modules that are imported where they are needed.
        found[name] = blocks.found[1:]
        told[name] = summary(found[name])
    every = [ms for block in found["replay"] for ms in block["engine_ms"]]
    ms = {"engine": median(every)}
    ms |= {name: median(block["ms"] for block in blocks) for name, blocks in found.items()}
    return {
        "model": model,
        "frames": frames,
        "block": BLOCK,
        "alone": ALONE,
        "size": f"{SIZE[0]}x{SIZE[1]}",
        "ms_a_frame": ms,
        "frames_per_second": {name: 1e3 / value for name, value in ms.items()},
        "overhead_over_engine": told,
        "once": _once(bundle.path, folder),
        "blocks": found,
    }


def _replay(bundle: Path, bag: Path, out: Path) -> float:
    """Seconds from the first frame asked for to the last one done."""
    words = ["replay", str(bundle), str(bag), "--out", str(out), "--overwrite"]
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()) as told:
        status = offroad_seg(words)
    assert status == 0, told.getvalue()
    return float(json.loads((out / "metrics.json").read_text())["seconds"])


def _once(bundle: Path, folder: Path) -> dict[str, float]:
    """Seconds of a replay of one frame: what any replay takes beside its frames."""
    bag = folder / "bag_1"
    write_bag(bag, 1, SIZE)
    _replay(bundle, bag, folder / "once")
    started = time.perf_counter()
    seconds = _replay(bundle, bag, folder / "once")
    return {"frame": seconds, "command": time.perf_counter() - started}


class _NotAhead:
    """In place of ``Prefetch``: nothing is read ahead."""

    def __init__(self, start: Any) -> None:
        self._start = start

    def __enter__(self) -> Iterator[Any]:
        return iter(self._start())

    def __exit__(self, *_: object) -> None:
        pass


_CHILD = """
import pathlib, sys
from offroad_seg.cli.main import main
status = main(sys.argv[1:])
told = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print("PEAK", int(told["VmHWM"].split()[0]) / 1024)
sys.exit(status)
"""


def measure_memory(lengths: list[int], folder: Path) -> list[dict[str, Any]]:
    """Peak memory of a process that replays a bag of so many tiny frames."""
    write_network(folder / "tiny", "tiny", (64, 96))
    rows = []
    for frames in lengths:
        bag = folder / f"bag_{frames}"
        write_bag(bag, frames, TINY)
        command = ["replay", str(folder / "tiny"), str(bag), "--out", str(folder / f"out_{frames}")]
        command += ["--param", "costmap.width=10.0", "--param", "costmap.height=10.0"]
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, *command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        rows.append(
            {
                "frames": frames,
                "peak_mb": float(done.stdout.split("PEAK")[1]),
                "seconds": time.perf_counter() - started,
            }
        )
        print(f"{frames:6} frames: {rows[-1]['peak_mb']:6.0f} MB, {rows[-1]['seconds']:6.1f} s", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="resnet50_fpn")
    parser.add_argument("--frames", type=int, default=400, help="of the bag for speed; 0 leaves it out")
    parser.add_argument(
        "--lengths", type=int, nargs="*", default=[100, 1000, 10_000], help="of the bags for memory"
    )
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if 0 < arguments.frames < LEAST:
        parser.error(f"--frames {arguments.frames}: at least {LEAST}, or 0")
    result: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "opencv": cv2.__version__,
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if arguments.frames:
            speed = result["speed"] = measure_speed(arguments.model, arguments.frames, folder)
            for name, value in speed["ms_a_frame"].items():
                print(f"{name:18}{value:9.1f} ms a frame {speed['frames_per_second'][name]:8.1f} frames/s")
            for name, over in speed["overhead_over_engine"].items():
                print(
                    f"{name} takes {over['median']:.1%} more than the engine alone (median of"
                    f" {len(speed['blocks'][name])} blocks of {BLOCK} frames; mean {over['mean']:.1%} ±"
                    f" {over['standard_error']:.1%}; best {over['best']:.1%}, worst {over['worst']:.1%};"
                    f" {over['put_off']:+.2f} frames put off a block)"
                )
            print(f"once: {speed['once']['command']:.2f} s for a replay of one frame, with its report")
        result["memory"] = measure_memory(arguments.lengths, folder)
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
