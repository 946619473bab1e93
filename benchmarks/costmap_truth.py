# SPDX-License-Identifier: Apache-2.0
"""The costmap held against the synthetic desert's true grid, over a drive on ground that is not flat.

    python benchmarks/costmap_truth.py --frames 500 --seed 1 --cache FOLDER --out costmap_truth.json
    python benchmarks/costmap_truth.py --frames 500 --seed 1 --cache FOLDER --bundle BUNDLE

Labels, poses, depth and calibration are exact, so what is wrong here is projection, occlusion or fusion; with
``--bundle`` the labels are a trained model's, from rendered pictures, at the network's resolution. Counted within
``--range`` metres of the camera, on every fifth frame, after fusion:

- free precision: of the cells that the map calls passable (0 to 49), the share that no lethal thing stands on;
- lethal recall: of the lethal cells whose foot (lowest 15 cm) the camera saw in this frame, the share where the map
  says lethal within ``NEAR_M`` metres; given for all, and by distance from the camera;
- lethal precision: of the cells that the map calls lethal, the share within ``NEAR_M`` of something lethal or dear;
- lethal called passable: of the lethal cells that the map knows, the share that it calls passable;
- coverage: of the cells whose ground the camera saw in this frame, the share that the map knows;
- free kept, false lethal: of those of them that are passable, the share that the map calls passable, and the share that
  it calls lethal; the same for those on the trail, by distance, which says whether the map can be driven by; and the
  mean cost of those on the trail that it knows, as a share of 100.

``--flat`` makes the same drive on a world without relief, with a vehicle that bounces: what is wrong there is no fault
of the plane.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from truth_looks import add_arguments, tour_of
from truth_score import BANDS, Score

from offroad_seg.bundle import Bundle
from offroad_seg.mapping.doubt import Doubt
from offroad_seg.mapping.settings import PipelineSettings
from offroad_seg.mapping.slope import GroundSlope
from offroad_seg.pipeline import build_pipeline
from offroad_seg.progress import progress
from offroad_seg.resources import write_text
from offroad_seg.transforms import Transform, camera_mount
from offroad_seg.types import Frame, Segmentation
from offroad_seg_train.synthetic.drive import MOUNT, base_T_optical
from offroad_seg_train.synthetic.terrain import TRAIL_HALF_WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from truth_looks import Look, Tour

    from offroad_seg.camera import CameraModel
    from offroad_seg.segmenter import Segmenter
    from offroad_seg.types import Costmap
    from offroad_seg_train.synthetic.terrain import Terrain

PASSABLE = 50
NEAR_M = 0.3
CONTACT_SLOPES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
SURE_CONFIDENCES = (0.0, 0.5, 0.7, 0.8)
PITCH_ERRORS = (-3, -2, -1, 1, 2, 3)
_EVERY = 5


@dataclass(frozen=True)
class Variant:
    """A way to map: settings, and what is left out or wrong.

    Attributes:
        settings: The pipeline's.
        pitch_error: Degrees by which the mount's pitch is wrong.
        fused: Whether frames are fused.
        levelled: Whether the vehicle's roll and pitch are known.
        noisy: Depth as of a stereo camera: 1 % of the distance as noise, mixed pixels at edges, a fifth of the image
            without values.
    """

    settings: PipelineSettings
    pitch_error: float = 0.0
    fused: bool = True
    levelled: bool = True
    noisy: bool = False


class Run:
    """One variant's map, and what was counted of it."""

    def __init__(self, variant: Variant, tour: Tour) -> None:
        ontology = tour.world.ontology
        x, y, z, roll, pitch, yaw = MOUNT
        self.variant = variant
        self.score = Score()
        self._truth = tour.truth
        self._terrain = tour.world.terrain
        self._mount = camera_mount(x, y, z, roll, pitch + np.radians(variant.pitch_error), yaw)
        self._projector = variant.settings.projector(ontology)
        self._costmap = variant.settings.costmap(ontology)
        self._slope = GroundSlope(variant.settings.slope_time)
        self._rng = np.random.default_rng(0)

    def add(
        self, look: Look, segmentation: Segmentation, camera: CameraModel, max_range: float | None
    ) -> None:
        """Map a look; count where a range is given."""
        if not self.variant.fused:
            self._costmap.reset()
        pose = look.pose if self.variant.levelled else _flattened(look.pose)
        depth_HW = self._noisy(look.depth_HW) if self.variant.noisy else look.depth_HW
        observation = self._projector.project(
            segmentation,
            camera,
            self._mount,
            pose,
            ground_up_3=self._slope.update(pose, look.stamp_ns),
            depth_HW=depth_HW,
        )
        result = self._costmap.update(observation, pose)
        if max_range is not None:
            _count(self.score, result, self._truth, self._terrain, look, max_range)

    def _noisy(self, depth_HW: NDArray[np.uint16]) -> NDArray[np.float32]:
        depth = depth_HW.astype(np.float32) * np.float32(1e-3)
        # At the edges of things such a camera mixes what lies before and behind.
        mixed = 0.5 * (depth[:, 1:] + depth[:, :-1])
        edge = (np.abs(np.diff(depth, axis=1)) > 0.2) & (depth[:, 1:] > 0) & (depth[:, :-1] > 0)
        depth[:, 1:][edge] = mixed[edge]
        depth *= 1 + np.float32(0.01) * self._rng.standard_normal(depth.shape, np.float32)
        # Holes come in patches, not pixel by pixel.
        rows, columns = -(-depth.shape[0] // 8), -(-depth.shape[1] // 8)
        hole = np.kron(self._rng.random((rows, columns)) < 0.2, np.ones((8, 8), bool))
        depth[hole[: depth.shape[0], : depth.shape[1]]] = np.nan
        return depth


def _flattened(pose: Transform) -> Transform:
    """What a vehicle that knows only its heading takes for its pose."""
    yaw = math.atan2(float(pose.rotation_33[1, 0]), float(pose.rotation_33[0, 0]))
    x, y, z = pose.translation_3.tolist()
    return Transform.from_rpy(0.0, 0.0, yaw, (x, y, z))


def measure(
    looks: Iterable[Look],
    tour: Tour,
    variants: dict[str, Variant],
    max_range: float,
    segmenter: Segmenter | None,
) -> dict[str, Score]:
    """Map the same looks in every way, and count."""
    runs = {name: Run(variant, tour) for name, variant in variants.items()}
    for k, look in enumerate(looks):
        camera = tour.camera
        segmentation = Segmentation(
            look.labels_HW, np.full(look.labels_HW.shape, 255, np.uint8), look.stamp_ns, "", 1.0
        )
        if segmenter is not None:
            assert look.image_HWC is not None
            found = segmenter.segment(Frame(look.image_HWC, look.stamp_ns, ""))
            segmentation = Doubt().apply(found.network or found)
            camera = camera.scaled(*segmentation.labels_HW.shape)
        for run in runs.values():
            run.add(look, segmentation, camera, max_range if k % _EVERY == _EVERY - 1 else None)
    return {name: run.score for name, run in runs.items()}


def _count(
    score: Score, costmap: Costmap, truth: Costmap, terrain: Terrain, look: Look, max_range: float
) -> None:
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
    score.known_lethal += int((near & (true == 100) & (costmap.cost_HW >= 0)).sum())
    score.known_lethal_passable += int((free & (true == 100)).sum())
    ground = _mask(look.ground_N2 - (row0, column0), near) & (true >= 0)
    score.ground += int(ground.sum())
    score.ground_known += int((ground & (costmap.cost_HW >= 0)).sum())
    passable = ground & (true < PASSABLE)
    on_trail = terrain.near_trail(*np.meshgrid(x + camera[0], y + camera[1])) < TRAIL_HALF_WIDTH
    for row, place in enumerate((passable, passable & on_trail)):
        for column, (low, high) in enumerate(((0, math.inf), *BANDS)):
            here = place & (distance >= low) & (distance < high)
            score.passable[row, column] += int(here.sum())
            score.passable_kept[row, column] += int((here & free).sum())
            score.passable_lethal[row, column] += int((here & (costmap.cost_HW == 100)).sum())
            known = costmap.cost_HW[here & (costmap.cost_HW >= 0)]
            score.passable_known[row, column] += known.size
            score.passable_cost[row, column] += int(known.sum(dtype=np.intp))
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


def plane_variants(base: PipelineSettings) -> dict[str, Variant]:
    """The ground plane as by default, and what each part is worth."""
    return {
        "plane": Variant(base),
        **{f"plane, contact slope {d}°": Variant(_not_learned(base, d)) for d in CONTACT_SLOPES},
        **{f"plane, sure from {s}": Variant(replace(base, sure_confidence=s)) for s in SURE_CONFIDENCES},
        "plane, without occlusion": Variant(replace(base, shadow="none")),
        "plane, object shadows": Variant(replace(base, shadow="object")),
        "plane, without levelling": Variant(base, levelled=False),
        "plane, base frame's": Variant(replace(base, slope_time=0.0)),
        "plane, horizontal": Variant(replace(base, slope_time=math.inf)),
        "plane, distance not weighed": Variant(replace(base, slope_uncertainty=0.0)),
        "plane, without fusion": Variant(base, fused=False),
        **{f"plane, mount pitch {d:+d}°": Variant(base, pitch_error=d) for d in PITCH_ERRORS},
    }


def _not_learned(base: PipelineSettings, contact_slope: float) -> PipelineSettings:
    return replace(base, contact_slope=contact_slope, contact_slope_least=contact_slope)


def depth_variants(base: PipelineSettings) -> dict[str, Variant]:
    """The same by depth."""
    base = replace(base, projection="depth")
    return {
        "depth": Variant(base),
        **{f"depth, sure from {s}": Variant(replace(base, sure_confidence=s)) for s in SURE_CONFIDENCES},
        "depth, noisy, with holes": Variant(base, noisy=True),
        "depth, without levelling": Variant(base, levelled=False),
        "depth, without fusion": Variant(base, fused=False),
        **{f"depth, mount pitch {d:+d}°": Variant(base, pitch_error=d) for d in PITCH_ERRORS},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--range", type=float, default=10.0, help="metres from the camera")
    parser.add_argument(
        "--variants", nargs="+", metavar="WORD", help="only those whose name begins with one of these"
    )
    parser.add_argument(
        "--bundle", type=Path, help="a trained model, for its labels in place of the true ones"
    )
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    tour = tour_of(arguments, images=arguments.bundle is not None)
    base = PipelineSettings()
    variants = {**plane_variants(base), **depth_variants(base)}
    if arguments.variants:
        variants = {k: v for k, v in variants.items() if k.startswith(tuple(arguments.variants))}
    segmenter = None
    if arguments.bundle is not None:
        segmenter = build_pipeline(Bundle.load(arguments.bundle), settings=base).segmenter
    looks = progress(tour.looks(arguments.frames), what="drive", total=arguments.frames)
    scores = measure(looks, tour, variants, arguments.range, segmenter)
    names = list(next(iter(scores.values())).numbers())[:-2]
    for k, name in enumerate(names):
        print(f"({k}) {name}", end="  ")
    print("\n" + " " * 30 + "".join(f"{f'({k})':>8}" for k in range(len(names))))
    for what, score in scores.items():
        numbers = score.numbers()
        print(f"{what:30}" + "".join(f"{numbers[name]:8.4f}" for name in names))
    if arguments.out:
        about = {k: str(v) if isinstance(v, Path) else v for k, v in vars(arguments).items()}
        result = {"arguments": about, "scores": {k: s.numbers() for k, s in scores.items()}}
        write_text(arguments.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
