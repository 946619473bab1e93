# SPDX-License-Identifier: Apache-2.0
"""What DDS and the node add to the pipeline: from an image's publication to its labels' arrival, and without ROS.

    .venv/bin/python benchmarks/over_dds.py BUNDLE --out benchmarks/results/over_dds.json

The two take turns, some seconds each: on a machine that others use, what is measured minutes apart cannot be compared.
Camera and listener are one process, the node, with its costmap, is another; the pipeline without ROS is the segmenter
(letterbox, engine, labels) in the first, while the node waits.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np

from offroad_seg.bench.playing import Run, SteadyClock, play
from offroad_seg.bench.workloads import Loaded, Pictures, load_pictures
from offroad_seg.bundle import Bundle
from offroad_seg.ros.bench_player import NodePlayer

TARGET_MS = 5.0
SETTLE_S = 2.0


def latencies_ms(run: Run) -> list[float]:
    """Of the frames that were answered."""
    return [1e3 * (done_s - run.sent_s[number]) for number, done_s in run.done_s.items()]


def measure(
    bundle: Bundle, pictures: Pictures, rate_hz: float, blocks: int, seconds: float
) -> dict[str, Any]:
    """All turns; milliseconds."""
    loaded, clock = Loaded(bundle, pictures), SteadyClock()
    segment = loaded.workload("segmenter")
    found: dict[str, list[list[float]]] = {"over_dds": [], "without": []}
    sent = 0
    with NodePlayer(bundle.path, pictures.images, {}) as node:
        node.play(rate_hz, SETTLE_S)
        play(segment, rate_hz, SETTLE_S, clock)
        for block in range(blocks):
            found["without"].append(latencies_ms(play(segment, rate_hz, seconds, clock)))
            run = node.play(rate_hz, seconds)
            sent += len(run.sent_s)
            found["over_dds"].append(latencies_ms(run))
            over, without = (float(np.median(found[name][-1])) for name in ("over_dds", "without"))
            print(
                f"turn {block + 1:2}: {over:6.2f} over DDS, {without:6.2f} without: {over - without:5.2f} more"
            )
    loaded.close()
    medians = {name: [round(float(np.median(v)), 3) for v in turns] for name, turns in found.items()}
    added = np.subtract(medians["over_dds"], medians["without"])
    summary = {
        name: {f"p{q}": round(float(np.percentile(np.concatenate(turns), q)), 3) for q in (50, 99)}
        for name, turns in found.items()
    }
    return {
        "p50_of_each_turn": medians,
        "added_p50_of_each_turn": added.round(3).tolist(),
        "added": round(float(np.median(added)), 3),
        "all_frames": summary,
        "sent": sent,
        "answered": sum(map(len, found["over_dds"])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--size", default="640x480", help="WxH")
    parser.add_argument("--rate", type=float, default=30.0, help="Hz")
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each turn")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    width, height = (int(v) for v in arguments.size.split("x"))
    bundle = Bundle.load(arguments.bundle)
    pictures = load_pictures(None, width, height)
    result = measure(bundle, pictures, arguments.rate, arguments.turns, arguments.seconds)
    turns = result["added_p50_of_each_turn"]
    within = sum(value <= TARGET_MS for value in turns)
    print(f"DDS and the node add {result['added']:.2f} ms in the median turn (aim {TARGET_MS:g}); ", end="")
    print(f"{within} of {len(turns)} turns within; {result['answered']} of {result['sent']} images answered")
    if arguments.out:
        about = {
            "machine": platform.processor() or platform.machine(),
            "bundle": bundle.manifest.name,
            "network": [bundle.letterbox.width, bundle.letterbox.height],
            "size": arguments.size,
            "rate_hz": arguments.rate,
            "seconds": arguments.seconds,
        }
        text = json.dumps({"about": about, "ms": result}, indent=2)
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
