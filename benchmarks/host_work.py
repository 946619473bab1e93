# SPDX-License-Identifier: Apache-2.0
"""Host work of the node with every output subscribed, beside that of a straightforward node, in one run on one core.

    python benchmarks/host_work.py --out benchmarks/results/host_work.json

From an Image message to filled messages: labels, confidence, overlay, points, camera_info_out, costmap, costmap_raw.
All but the engine, whose answer is there at once, and DDS. The vehicle moves and leans between frames. The two take
turns, so that whatever else runs on the machine disturbs both. Frames during which the core was not shared with its
other thread (``neighbour.py``) are shown by themselves, too.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
# ruff: noqa: E402 — the settings above must come before numpy.

import argparse
import array
import json
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from frame import NETWORK, ReadyBundle, ReadyEngine
from naive_node import NaiveNode
from neighbour import SLOWER, Units
from sensor_msgs.msg import CameraInfo, Image

from offroad_seg.image import Letterbox
from offroad_seg.overlay import overlay_image
from offroad_seg.pipeline import PerceptionPipeline, PipelineSettings
from offroad_seg.ros.camera_info import CalibrationCache
from offroad_seg.ros.cloud_message import CloudWriter
from offroad_seg.ros.costmap_messages import CostmapWriter
from offroad_seg.ros.messages import ImageWriter, header_message
from offroad_seg.segmenter import NetworkSegmentation, Segmenter
from offroad_seg.sensor_messages import check_image, image_to_rgb, stamp_ns
from offroad_seg.transforms import Transform, TransformBuffer
from offroad_seg.types import Frame
from offroad_seg_train.synthetic.bag import drive_seed
from offroad_seg_train.synthetic.dataset import cached_world
from offroad_seg_train.synthetic.drive import Drive, base_T_optical
from offroad_seg_train.synthetic.render import default_camera, render

try:
    from nav2_msgs.msg import Costmap as RawCostmap
except ImportError:
    RawCostmap = None

if TYPE_CHECKING:
    from offroad_seg.camera import CameraModel
    from offroad_seg.ontology import Ontology

RANGE_M = 10.0
ODOMETRY_NS = 3_300_000
TARGET_MS, TARGET_RATIO = 3.0, 20.0
STAGES = ("receive", "letterbox", "restore", "project", "fuse", "overlay", "points", "messages")


class OurNode:
    """What the node does with a frame, without the node: every output is asked for."""

    def __init__(self, pipeline: PerceptionPipeline, ontology: Ontology, camera: CameraModel) -> None:
        self._pipeline, self._ontology = pipeline, ontology
        self._calibration = CalibrationCache()
        info = CameraInfo(width=camera.width, height=camera.height, distortion_model=camera.model)
        info.header.frame_id = "camera"
        info.d, info.k = [float(v) for v in camera.D], camera.K_33.ravel()
        self._calibration.put(info)
        self._writers = [ImageWriter("mono8"), ImageWriter("mono8"), ImageWriter("rgb8")]
        self._cloud = CloudWriter()
        self._costmaps = CostmapWriter(RawCostmap)
        self.timings_ms: dict[str, float] = {}

    def process(self, message: Image, transforms: TransformBuffer) -> list[Any]:
        """All output messages of one frame; where the vehicle is, is looked up at the image's stamp."""
        clock = [time.perf_counter()]

        def lap() -> None:
            clock.append(time.perf_counter())

        check_image(message)
        image = image_to_rgb(message)
        camera = self._calibration.model(*image.shape[:2])
        frame = Frame(image, stamp_ns(message.header), message.header.frame_id, camera)
        base_T_camera = transforms.lookup("base_link", "camera", frame.stamp_ns)
        odom_T_base = transforms.lookup("odom", "base_link", frame.stamp_ns)
        lap()
        perception = self._pipeline.process(frame, base_T_camera, odom_T_base)
        segmentation, costmap = perception.segmentation, perception.costmap
        assert costmap is not None
        lap()
        assert isinstance(segmentation, NetworkSegmentation)
        small = segmentation.network or segmentation
        overlay = overlay_image(image, small.labels_HW, self._ontology, self._writers[2].buffer(image.shape))
        lap()
        points = self._pipeline.points(frame, segmentation, base_T_camera, odom_T_base)
        assert points is not None
        lap()
        pictures = (segmentation.labels_HW, segmentation.confidence_HW, overlay)
        messages = [w.message(p, message.header) for w, p in zip(self._writers, pictures, strict=True)]
        messages.append(self._cloud.message(points, message.header))
        messages.append(self._calibration.scaled_info(*segmentation.labels_HW.shape, message.header))
        messages.append(self._costmaps.grid(costmap))
        if RawCostmap is not None:
            messages.append(self._costmaps.raw(costmap))
        lap()
        laps = [1e3 * (after - before) for before, after in zip(clock, clock[1:])]  # noqa: B905, RUF007 – one less
        inside = {name: perception.timings_ms[name] for name in ("letterbox", "restore", "project", "fuse")}
        # What the pipeline does between its stages counts for `fuse`, the last of them.
        inside["fuse"] += laps[1] - perception.timings_ms["engine"] - sum(inside.values())
        self.timings_ms = {
            "receive": laps[0],
            **inside,
            "overlay": laps[2],
            "points": laps[3],
            "messages": laps[4],
        }
        return messages


def _stamp_ns(k: int) -> int:
    return 1_000_000_000 + 33_000_000 * k


class Scene:
    """One picture of the desert, and a pose for each frame."""

    def __init__(self, width: int, height: int) -> None:
        self.world = cached_world(drive_seed(0))
        self._pose = Drive(self.world.terrain, start=20.0).poses(np.array([0.0]))[0]
        self.camera = default_camera(width, height)
        self.picture = render(self.world, self.camera, self._pose @ base_T_optical(), (0,))
        self._data = array.array("B", self.picture.image_HWC.tobytes())

    def message(self, k: int) -> Image:
        """Frame k as a driver publishes it."""
        header = header_message(_stamp_ns(k), "camera")
        height, width = self.camera.height, self.camera.width
        return Image(
            header=header, height=height, width=width, encoding="rgb8", step=3 * width, data=self._data
        )

    def transforms(self) -> TransformBuffer:
        """With the camera's mount."""
        found = TransformBuffer()
        found.set_static("base_link", "camera", base_T_optical())
        return found

    def move(self, transforms: TransformBuffer, k: int) -> None:
        """Odometry before and after frame k, as it comes in between frames."""
        for sign in (-1, 1):
            transforms.set("odom", "base_link", _stamp_ns(k) + sign * ODOMETRY_NS, self.pose(k + 0.1 * sign))

    def pose(self, k: float) -> Transform:
        """Of the vehicle, in odom."""
        lean = (0.02 * np.sin(k), 0.02 * np.cos(1.3 * k), 0.0)
        return self._pose @ Transform.from_rpy(*lean, (0.07 * k, 0.02 * k, 0.0))


def nodes(scene: Scene) -> tuple[OurNode, NaiveNode]:
    ontology, letterbox = scene.world.ontology, Letterbox(*NETWORK)
    labels_HW = letterbox.apply_mask(scene.picture.labels_HW)
    bundle: Any = ReadyBundle(ontology, letterbox)
    settings = PipelineSettings(max_range=RANGE_M)
    pipeline = PerceptionPipeline(
        Segmenter(bundle, ReadyEngine(labels_HW)),
        settings.projector(ontology),
        settings.costmap(ontology),
        slope_time=settings.slope_time,
        cloud=settings.cloud(ontology),
    )
    logits = np.where(labels_HW == np.arange(len(ontology.classes))[:, None, None], 5.0, 0.0)
    naive = NaiveNode(
        ontology,
        scene.camera,
        logits.astype(np.float32),
        cells=round(settings.costmap_width / settings.resolution),
        resolution=settings.resolution,
        max_range=RANGE_M,
    )
    return OurNode(pipeline, ontology, scene.camera), naive


def measure(scene: Scene, frames: int, *, naive_every: int = 10) -> dict[str, dict[str, dict[str, float]]]:
    """Node → stage → p50 and p95, ms; ``total_cpu`` is the thread's processor time.

    ``undivided`` is ours, of the frames around which the core was this process's alone; left out if there were none.
    """
    ours, naive = nodes(scene)
    units, looks = Units(), list[tuple[float, float]]()
    rows: dict[str, list[dict[str, float]]] = {"ours": [], "naive": []}
    warm, transforms, mount = 20, scene.transforms(), base_T_optical()
    for k in range(frames + warm):
        for name, node in (("ours", ours), ("naive", naive)):
            if name == "naive" and k % naive_every:
                continue
            message, pose = scene.message(k), scene.pose(k)
            scene.move(transforms, k)
            before = units.look()
            started, cpu = time.perf_counter(), time.thread_time()
            if isinstance(node, OurNode):
                node.process(message, transforms)
            else:
                node.process(message, mount, pose)
            total = {"total_cpu": 1e3 * (time.thread_time() - cpu)}
            total["total"] = 1e3 * (time.perf_counter() - started)
            if k >= warm:
                rows[name].append({**node.timings_ms, **total})
                if name == "ours":
                    looks.append((before, units.look()))
    # The quickest look of all tells what the core can do alone. A neighbour comes and goes within milliseconds: the
    # frames before and behind must have been undisturbed as well.
    quiet = np.concatenate([[False], np.max(looks, axis=1) < SLOWER * np.min(looks), [False]])
    alone = quiet[1:-1] & quiet[:-2] & quiet[2:]
    rows["undivided"] = [row for row, is_alone in zip(rows["ours"], alone, strict=True) if is_alone]
    print(f"{alone.mean():.0%} of the frames had the core to themselves")
    return {
        name: {
            stage: {f"p{q}": float(np.percentile([row[stage] for row in found], q)) for q in (50, 95)}
            for stage in found[0]
        }
        for name, found in rows.items()
        if found
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=300, help="of ours; a tenth of the other")
    parser.add_argument("--size", default="1280x720", help="WxH")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    width, height = (int(v) for v in arguments.size.split("x"))
    result = measure(Scene(width, height), arguments.frames)
    print(f"{width}x{height}, every output, costmap 200x200 cells, one core; ms, p50 (p95)")
    for name, stages in result.items():
        print(f"{name}:")
        for stage, values in stages.items():
            print(f"  {stage:12}{values['p50']:9.2f} ({values['p95']:.2f})")
    ours, naive = (result[name]["total"]["p50"] for name in ("ours", "naive"))
    print(f"ours {ours:.2f} ms (aim {TARGET_MS:g}), {naive / ours:.0f} times less (aim {TARGET_RATIO:g})")
    if "undivided" in result:
        print(f"on a core that is not shared: {result['undivided']['total']['p50']:.2f} ms")
    if arguments.out:
        about = {
            "machine": platform.processor() or platform.machine(),
            "size": arguments.size,
            "frames": arguments.frames,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "costmap_raw": RawCostmap is not None,
        }
        text = json.dumps({"about": about, "ms": result, "ratio": naive / ours}, indent=2)
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
