# SPDX-License-Identifier: Apache-2.0
"""The costmap from true labels, held against the synthetic desert's true grid, over a drive.

    python benchmarks/costmap_truth.py --frames 300 --out costmap_truth.json

Labels, poses and calibration are exact, so what is wrong here is projection, occlusion or fusion, on terrain that is
not flat. Counted within ``--range`` metres of the camera, on every fifth frame, after fusion:

- free precision: of the cells that the map calls passable (0 to 49), the share that no lethal thing stands on;
- lethal recall: of the lethal cells whose foot (lowest ``FOOT_M`` metres) the camera saw in this frame, the share
  where the map says lethal within ``NEAR_M`` metres; given for all, and by distance from the camera;
- lethal precision: of the cells that the map calls lethal, the share within ``NEAR_M`` of something lethal or dear;
- coverage: of the cells whose ground the camera saw in this frame, the share that the map knows.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.mapping.settings import PipelineSettings
from offroad_seg.mapping.slope import GroundSlope
from offroad_seg.progress import progress
from offroad_seg.transforms import Transform, camera_mount
from offroad_seg.types import Segmentation
from offroad_seg_train.synthetic.bag import drive_seed
from offroad_seg_train.synthetic.dataset import cached_world
from offroad_seg_train.synthetic.drive import MOUNT, Drive, base_T_optical
from offroad_seg_train.synthetic.render import default_camera
from offroad_seg_train.synthetic.truth import true_costmap
from offroad_seg_train.synthetic.world import GROUND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel
    from offroad_seg.types import Costmap
    from offroad_seg_train.synthetic.world import World

PASSABLE = 50
FOOT_M = 0.15
NEAR_M = 0.3
BANDS = ((0, 4), (4, 6), (6, 8), (8, 10))
_EVERY = 5


@dataclass(frozen=True)
class Look:
    """One frame with its truth.

    Attributes:
        stamp_ns: Time.
        pose: ``world_T_base``; the world frame serves as odom.
        labels_HW: True class of each pixel.
        foot_N2: Cells (row, column of the true grid) of lethal things whose foot the camera sees.
        ground_N2: Cells whose ground it sees.
    """

    stamp_ns: int
    pose: Transform
    labels_HW: NDArray[np.uint8]
    foot_N2: NDArray[np.intp]
    ground_N2: NDArray[np.intp]


@dataclass(frozen=True)
class Variant:
    """A way to map: settings, an error of the mount's pitch (degrees), and whether frames are fused."""

    settings: PipelineSettings
    pitch_error: float = 0.0
    fused: bool = True


@dataclass
class Score:
    """Counts over a drive."""

    free: int = 0
    free_wrong: int = 0
    foot: NDArray[np.intp] = field(default_factory=lambda: np.zeros(len(BANDS), np.intp))
    foot_lethal: NDArray[np.intp] = field(default_factory=lambda: np.zeros(len(BANDS), np.intp))
    lethal: int = 0
    lethal_right: int = 0
    ground: int = 0
    ground_known: int = 0

    def numbers(self) -> dict[str, float]:
        """Shares, and how many cells they rest on."""
        return {
            "free_precision": 1 - self.free_wrong / max(1, self.free),
            "lethal_recall": float(self.foot_lethal.sum() / max(1, self.foot.sum())),
            **{
                f"lethal_recall_{low}_{high}_m": float(hit / max(1, n))
                for (low, high), hit, n in zip(BANDS, self.foot_lethal, self.foot, strict=True)
            },
            "lethal_precision": self.lethal_right / max(1, self.lethal),
            "coverage": self.ground_known / max(1, self.ground),
            "free_cells": self.free,
            "lethal_foot_cells": int(self.foot.sum()),
        }


def drive(
    world: World, truth: Costmap, camera: CameraModel, frames: int, rate_hz: float, seed: int
) -> Iterator[Look]:
    """Drive along the trail and look at every frame's pixels, by one ray each."""
    course = Drive(
        world.terrain, start=float(np.random.default_rng(seed).uniform(0, world.terrain.trail.length))
    )
    times = np.arange(frames) / rate_hz
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = camera.rays(np.stack([u.ravel(), v.ravel()], axis=1).astype(float))
    costs = world.ontology.costs_256
    for time, pose in zip(times, course.poses(times), strict=True):
        view = pose @ base_T_optical()
        directions = (rays @ view.rotation_33.T).astype(np.float32)
        hits = world.scene.cast(
            np.broadcast_to(view.translation_3.astype(np.float32), directions.shape), directions
        )
        seen = np.flatnonzero(hits.triangle_N >= 0)
        points = view.translation_3 + hits.distance_N[seen, None] * directions[seen].astype(float)
        labels = np.full(len(rays), world.ontology.id_of("Sky"), np.uint8)
        labels[seen] = world.triangle_class_F[hits.triangle_N[seen]]
        bare = world.triangle_kind_F[hits.triangle_N[seen]] == GROUND
        cover = world.ground_cover(points[bare, 0], points[bare, 1])
        labels[seen[bare]] = world.ground_classes(cover)
        above = points[:, 2] - world.terrain.height(points[:, 0], points[:, 1])
        foot = ~bare & (costs[labels[seen]] == 100) & (above < FOOT_M)
        yield Look(
            round(1e9 * time),
            pose,
            labels.reshape(camera.height, camera.width),
            _cells(truth, points[foot]),
            _cells(truth, points[bare]),
        )


def measure(
    looks: Iterator[Look],
    world: World,
    truth: Costmap,
    camera: CameraModel,
    variants: dict[str, Variant],
    max_range: float,
) -> dict[str, Score]:
    """Map the same looks in every way, and count."""
    runs = {}
    for name, v in variants.items():
        x, y, z, roll, pitch, yaw = MOUNT
        mount = camera_mount(x, y, z, roll, pitch + np.radians(v.pitch_error), yaw)
        runs[name] = (
            v,
            mount,
            v.settings.projector(world.ontology),
            v.settings.costmap(world.ontology),
            GroundSlope(v.settings.slope_time),
            Score(),
        )
    for k, look in enumerate(looks):
        segmentation = Segmentation(
            look.labels_HW, np.full(look.labels_HW.shape, 255, np.uint8), look.stamp_ns, "", 1.0
        )
        for v, mount, projector, costmap, slope, score in runs.values():
            if not v.fused:
                costmap.reset()
            up_3 = slope.update(look.pose, look.stamp_ns)
            observation = projector.project(segmentation, camera, mount, look.pose, ground_up_3=up_3)
            result = costmap.update(observation, look.pose)
            if k % _EVERY == _EVERY - 1:
                _count(score, result, truth, look, max_range)
    return {name: run[-1] for name, run in runs.items()}


def _count(score: Score, costmap: Costmap, truth: Costmap, look: Look, max_range: float) -> None:
    grid = costmap.grid
    row0 = round((grid.origin_y - truth.grid.origin_y) / grid.resolution)
    column0 = round((grid.origin_x - truth.grid.origin_x) / grid.resolution)
    if min(row0, column0) < 0 or max(row0, column0) + grid.width > truth.grid.width:
        return
    camera = (look.pose @ base_T_optical()).translation_3
    x = grid.origin_x + (np.arange(grid.width) + 0.5) * grid.resolution - camera[0]
    y = grid.origin_y + (np.arange(grid.height) + 0.5) * grid.resolution - camera[1]
    distance = np.hypot(x[None, :], y[:, None])
    near = distance <= max_range
    true = truth.cost_HW[row0 : row0 + grid.height, column0 : column0 + grid.width]
    free = near & (costmap.cost_HW >= 0) & (costmap.cost_HW < PASSABLE)
    score.free += int(free.sum())
    score.free_wrong += int((free & (true == 100)).sum())
    ground = _mask(look.ground_N2 - (row0, column0), near) & (true >= 0)
    score.ground += int(ground.sum())
    score.ground_known += int((ground & (costmap.cost_HW >= 0)).sum())
    foot = _mask(look.foot_N2 - (row0, column0), near) & (true == 100)
    reach = round(NEAR_M / grid.resolution)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    lethal = cv2.dilate((costmap.cost_HW == 100).astype(np.uint8), disc) > 0
    stopped = near & (costmap.cost_HW == 100)
    score.lethal += int(stopped.sum())
    score.lethal_right += int((stopped & (cv2.dilate((true >= PASSABLE).astype(np.uint8), disc) > 0)).sum())
    for k, (low, high) in enumerate(BANDS):
        band = foot & (distance >= low) & (distance < high)
        score.foot[k] += int(band.sum())
        score.foot_lethal[k] += int((band & lethal).sum())


def _mask(cells_N2: NDArray[np.intp], near_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Those cells of a window, within range."""
    out = np.zeros_like(near_HW)
    inside = cells_N2[((cells_N2 >= 0) & (cells_N2 < near_HW.shape)).all(axis=1)]
    out[inside[:, 0], inside[:, 1]] = True
    return out & near_HW


def _cells(truth: Costmap, points_N3: NDArray[np.float64]) -> NDArray[np.intp]:
    """Rows and columns of the true grid, each once."""
    origin = np.array([truth.grid.origin_y, truth.grid.origin_x])
    return np.unique(np.floor((points_N3[:, 1::-1] - origin) / truth.grid.resolution).astype(np.intp), axis=0)


def all_variants() -> dict[str, Variant]:
    """The defaults, and what each part is worth."""
    base = PipelineSettings()
    return {
        "as by default": Variant(base),
        "base frame's plane": Variant(replace(base, slope_time=0.0)),
        "horizontal plane": Variant(replace(base, slope_time=math.inf)),
        "distance not weighed": Variant(replace(base, slope_uncertainty=0.0)),
        "object shadows": Variant(replace(base, shadow="object")),
        "without occlusion": Variant(replace(base, shadow="none")),
        "without fusion": Variant(base, fused=False),
        **{f"mount pitch wrong by {d:+d}°": Variant(base, pitch_error=d) for d in (-3, -2, -1, 1, 2, 3)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--rate", type=float, default=10.0, help="frames a second")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--range", type=float, default=10.0, help="metres from the camera")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    world = cached_world(drive_seed(arguments.seed))
    truth = true_costmap(world)
    camera = default_camera(arguments.width, arguments.height)
    looks = progress(
        drive(world, truth, camera, arguments.frames, arguments.rate, arguments.seed),
        what="drive",
        total=arguments.frames,
    )
    scores = measure(iter(looks), world, truth, camera, all_variants(), arguments.range)
    names = list(next(iter(scores.values())).numbers())[:-2]
    print(" " * 26 + "".join(f"{name.replace('lethal_recall_', 'recall '):>16}" for name in names))
    for what, score in scores.items():
        numbers = score.numbers()
        print(f"{what:26}" + "".join(f"{numbers[name]:16.4f}" for name in names))
    if arguments.out:
        result = {
            "arguments": {**vars(arguments), "out": str(arguments.out)},
            "scores": {k: s.numbers() for k, s in scores.items()},
        }
        arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
