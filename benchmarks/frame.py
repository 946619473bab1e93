# SPDX-License-Identifier: Apache-2.0
"""Host work of one frame, stage by stage, on one core: everything but the engine.

    python benchmarks/frame.py --out frame.json

A picture of the synthetic desert goes through the real pipeline; only the engine is replaced by one that returns the
true labels at once. The vehicle moves and leans between frames, so that every table is worked out anew, as on a drive;
``parked`` is the same without motion; ``depth`` maps by a depth image (uint16 millimetres, of the camera's size) in
place of the ground plane.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
# ruff: noqa: E402 — the settings above must come before numpy.

import argparse
import json
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from offroad_seg.engines.base import EngineInfo, EngineOutput
from offroad_seg.image import Letterbox
from offroad_seg.mapping.settings import PipelineSettings
from offroad_seg.pipeline import STAGES, PerceptionPipeline
from offroad_seg.segmenter import Segmenter
from offroad_seg.transforms import Transform
from offroad_seg.types import Frame
from offroad_seg_train.synthetic.bag import drive_seed
from offroad_seg_train.synthetic.dataset import cached_world
from offroad_seg_train.synthetic.drive import Drive, base_T_optical
from offroad_seg_train.synthetic.render import default_camera, render

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology

SIZES = ((640, 480), (1280, 720))
NETWORK = (266, 476)
WAYS = (("moving", True, "ground_plane"), ("parked", False, "ground_plane"), ("depth", True, "depth"))
TARGET_MS = {"host": 3.0, "map": 1.0}


class ReadyEngine:
    """Returns the same labels at once."""

    name = "ready"
    info = EngineInfo("ready", "", "cpu", "uint8")

    def __init__(self, labels_HW: NDArray[np.uint8]) -> None:
        self._output = EngineOutput(
            labels_HW[None], np.full((1, *labels_HW.shape), 230, np.uint8), np.full(1, 0.9, np.float32)
        )

    def infer(self, image_BHWC: NDArray[np.uint8]) -> EngineOutput:  # noqa: ARG002
        """The same, whatever the pixels."""
        return self._output

    def close(self) -> None:
        """Nothing to free."""


@dataclass(frozen=True)
class ReadyBundle:
    """What the segmenter asks a bundle for."""

    ontology: Ontology
    letterbox: Letterbox
    manifest = SimpleNamespace(ood=None)


def measure(width: int, height: int, frames: int, *, moving: bool, projection: str) -> dict[str, Any]:
    """Milliseconds of every stage, medians and 95th percentiles."""
    world = cached_world(drive_seed(0))
    pose = Drive(world.terrain, start=20.0).poses(np.array([0.0]))[0]
    camera = default_camera(width, height)
    picture = render(world, camera, pose @ base_T_optical(), (0,))
    letterbox = Letterbox(*NETWORK)
    bundle: Any = ReadyBundle(world.ontology, letterbox)
    settings = PipelineSettings(max_range=10.0, projection=projection)
    depth_HW = np.rint(1000 * np.nan_to_num(picture.depth_HW)).clip(0, 65535).astype(np.uint16)
    pipeline = PerceptionPipeline(
        Segmenter(bundle, ReadyEngine(letterbox.apply_mask(picture.labels_HW))),
        settings.projector(world.ontology),
        settings.costmap(world.ontology),
        slope_time=settings.slope_time,
    )
    rows = []
    for k in range(frames + 10):
        lean = Transform.from_rpy(0.02 * np.sin(k), 0.02 * np.cos(1.3 * k), 0.0, (0.07 * k, 0.02 * k, 0.0))
        here = pose @ lean if moving else pose
        frame = Frame(picture.image_HWC, 33_000_000 * k, "camera", camera, depth_HW)
        cpu = time.thread_time()
        timings = pipeline.process(frame, base_T_optical(), here).timings_ms
        cpu = 1e3 * (time.thread_time() - cpu)
        timings["host"] = timings["total"] - timings["engine"]
        timings["map"] = timings["project"] + timings["fuse"]
        timings["host_cpu"] = cpu - timings["engine"]
        rows.append(timings)
    names = [s for s in STAGES if s not in ("engine", "total")] + ["map", "host", "host_cpu"]
    values = {name: np.array([row[name] for row in rows[10:]]) for name in names}
    return {
        name: {"p50": float(np.percentile(v, 50)), "p95": float(np.percentile(v, 95))}
        for name, v in values.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    results: dict[str, Any] = {}
    for width, height in SIZES:
        for way, moving, projection in WAYS:
            results[f"{width}x{height} {way}"] = measure(
                width, height, arguments.frames, moving=moving, projection=projection
            )
    stages = list(next(iter(results.values())))
    print("p50 (p95) in ms; network 476x266, costmap 200x200 cells of 0.1 m, one core")
    print(f"{'':18}" + "".join(f"{stage:>16}" for stage in stages))
    for name, result in results.items():
        print(f"{name:18}" + "".join(f"{v['p50']:8.2f} ({v['p95']:5.2f})" for v in result.values()))
    print(f"map = project + fuse (target by the plane {TARGET_MS['map']:g} ms)")
    print(f"host = all but the engine (target {TARGET_MS['host']:g} ms)")
    if arguments.out:
        about = {
            "machine": platform.processor() or platform.machine(),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
        }
        arguments.out.write_text(
            json.dumps({"about": about, "ms": results}, indent=2) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
