# SPDX-License-Identifier: Apache-2.0
"""Replay: its overhead over the engine alone, what reading ahead gives, and memory against the bag's length.

    python benchmarks/replay.py [--model resnet50_fpn] [--frames 20] [--runs 16] [--lengths 100 1000 10000] [--out FILE]

The bag is a camera that pans over a rendered desert, 960×540 JPEG with truth, calibration and poses. ``engine`` is the
engine alone on pixels that are letterboxed already; ``pipeline`` adds letterbox, projection and fusion, as the node has
them; ``replay`` is everything: reading, decoding, scoring, annotated.mcap and report; ``replay_not_ahead`` reads and
decodes each frame only when it is asked for. The network's labels, confidence and OOD score look like the desert
(``replay_drive.py``), as what is done with them takes longer where there is more to see.

The speed of a shared machine's cores changes twofold within minutes. So the engine alone runs before and after every
run of another way, a few seconds each, and each run is compared with the mean of its two neighbours. Told are all runs,
the median of what they cost, the best and the worst; one more run before them is warm-up.

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
import numpy as np
from replay_drive import NETWORK, SIZE, write_bag, write_network

from offroad_seg.cli.main import main as offroad_seg
from offroad_seg.pipeline import build_pipelines
from offroad_seg.replay import runner
from offroad_seg.replay.bag import open_bag
from offroad_seg.replay.frames import BagFrame, FrameSource
from offroad_seg.replay.offline import perceive
from offroad_seg.replay.topic_search import choose_topics

if TYPE_CHECKING:
    from collections.abc import Callable

TINY = (96, 64)


def frames_of(bag: Path) -> list[BagFrame]:
    """All frames, decoded."""
    with open_bag(bag) as opened:
        source = FrameSource(opened, choose_topics(opened))
        return [item for item in source.frames() if isinstance(item, BagFrame)]


def measure_speed(model: str, frames: int, runs: int, folder: Path) -> dict[str, Any]:
    """Each way to run, in turn with the engine alone.

    Args:
        model: A recipe.
        frames: Of the bag, which each run goes through.
        runs: Of a replay; the other ways get a third of them, as only their rough size is asked for.
        folder: For bag, bundle and results.
    """
    bag, bundle = folder / "bag", write_network(folder / "bundle", model)
    write_bag(bag, frames, SIZE)
    items = frames_of(bag)
    pipelines = build_pipelines(bundle, ("camera",))
    segmenter = pipelines["camera"].segmenter
    boxed = np.zeros((1, *NETWORK, 3), np.uint8)
    segmenter.warm_up()

    def engine() -> float:
        spent = 0.0
        for item in items:
            bundle.letterbox.apply(item.frame.image_HWC, out=boxed[0])
            started = time.perf_counter()
            segmenter.engine.infer(boxed)
            spent += time.perf_counter() - started
        return spent

    def pipeline() -> float:
        pipelines["camera"].reset()
        started = time.perf_counter()
        for _ in perceive(items, pipelines):
            pass
        return time.perf_counter() - started

    def replay() -> float:
        out = folder / "result"
        words = ["replay", str(folder / "bundle"), str(bag), "--out", str(out), "--overwrite"]
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()) as told:
            status = offroad_seg(words)
        assert status == 0, told.getvalue()
        return float(json.loads((out / "metrics.json").read_text())["seconds"])

    def replay_not_ahead() -> float:
        with patch.object(runner, "Prefetch", _NotAhead):
            return replay()

    third = max(1, runs // 3)
    found = {}
    for way, count in ((replay, runs), (pipeline, third), (replay_not_ahead, third)):
        found[way.__name__] = _in_turn(engine, way, frames, count)
    pipelines["camera"].close()
    every = [run["engine_ms"] for told in found.values() for run in told]
    ms = {"engine": median(beside for both in every for beside in both)}
    ms |= {name: median(run["ms"] for run in told) for name, told in found.items()}
    return {
        "model": model,
        "frames": frames,
        "size": f"{SIZE[0]}x{SIZE[1]}",
        "ms_a_frame": ms,
        "frames_per_second": {name: 1e3 / value for name, value in ms.items()},
        "overhead_over_engine": {name: _spread(told) for name, told in found.items()},
        "runs": found,
    }


def _in_turn(
    engine: Callable[[], float], way: Callable[[], float], frames: int, runs: int
) -> list[dict[str, Any]]:
    """Milliseconds a frame of a way, and of the engine directly before and after it, so many times."""
    found: list[dict[str, Any]] = []
    before = 1e3 * engine() / frames
    for number in range(runs + 1):
        ms, after = 1e3 * way() / frames, 1e3 * engine() / frames
        run = {"engine_ms": [before, after], "ms": ms, "overhead": 2.0 * ms / (before + after) - 1.0}
        told = f"{way.__name__:18}{ms:7.1f} ms, engine {before:7.1f} and {after:7.1f} ms: {run['overhead']:+7.1%}"
        print(told if number else f"{told} (warm-up, does not count)", flush=True)
        if number:
            found.append(run)
        before = after
    return found


def _spread(runs: list[dict[str, Any]]) -> dict[str, float]:
    overheads = [run["overhead"] for run in runs]
    return {"median": median(overheads), "best": min(overheads), "worst": max(overheads)}


class _NotAhead:
    """In place of ``Prefetch``: nothing is read ahead."""

    def __init__(self, start: Any) -> None:
        self._start = start

    def __enter__(self) -> Any:
        return self._start()

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
    parser.add_argument("--frames", type=int, default=20, help="of the bag for speed; 0 leaves it out")
    parser.add_argument("--runs", type=int, default=16, help="of a replay, in turn with the engine")
    parser.add_argument(
        "--lengths", type=int, nargs="*", default=[100, 1000, 10_000], help="of the bags for memory"
    )
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "opencv": cv2.__version__,
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if arguments.frames:
            speed = result["speed"] = measure_speed(
                arguments.model, arguments.frames, max(1, arguments.runs), folder
            )
            for name, value in speed["ms_a_frame"].items():
                print(f"{name:18}{value:9.1f} ms a frame {speed['frames_per_second'][name]:8.1f} frames/s")
            for name, over in speed["overhead_over_engine"].items():
                print(
                    f"{name} takes {100 * over['median']:.1f} % more than the engine alone"
                    f" (median of {len(speed['runs'][name])} runs;"
                    f" best {100 * over['best']:.1f} %, worst {100 * over['worst']:.1f} %)"
                )
        result["memory"] = measure_memory(arguments.lengths, folder)
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
