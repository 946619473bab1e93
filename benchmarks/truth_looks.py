# SPDX-License-Identifier: Apache-2.0
"""What a camera sees on a drive through the synthetic desert, with its truth; kept on disk, for it is costly.

    python benchmarks/truth_looks.py --frames 500 --seed 1 --cache FOLDER [--images]

``costmap_truth.py --cache FOLDER`` then maps the same looks again and again. A drive that was interrupted goes on
where it stopped. ``--images`` renders pictures too, for a trained model to label; it takes ten times as long.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.ontology import load_ontology
from offroad_seg.progress import progress
from offroad_seg.transforms import Transform
from offroad_seg_train.synthetic.bag import drive_seed
from offroad_seg_train.synthetic.dataset import ONTOLOGY, cached_world
from offroad_seg_train.synthetic.drive import Drive, base_T_optical
from offroad_seg_train.synthetic.render import default_camera, render
from offroad_seg_train.synthetic.truth import true_costmap
from offroad_seg_train.synthetic.world import GROUND, build_world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from offroad_seg.camera import CameraModel
    from offroad_seg.types import Costmap
    from offroad_seg_train.synthetic.world import World

FOOT_M = 0.15
_FARTHEST_MM = 60_000


@dataclass(frozen=True)
class Look:
    """One frame with its truth.

    Attributes:
        stamp_ns: Time.
        pose: ``world_T_base``; the world frame serves as odom.
        labels_HW: True class of each pixel.
        depth_HW: uint16 millimetres along the optical axis, as a depth camera has it; 0 in the sky and far away.
        foot_N2: Cells (row, column of the true grid) of lethal things whose foot (lowest ``FOOT_M``) the camera sees.
        ground_N2: Cells whose ground it sees.
        image_HWC: The picture, or None.
    """

    stamp_ns: int
    pose: Transform
    labels_HW: NDArray[np.uint8]
    depth_HW: NDArray[np.uint16]
    foot_N2: NDArray[np.int32]
    ground_N2: NDArray[np.int32]
    image_HWC: NDArray[np.uint8] | None = None


@dataclass
class Tour:
    """A drive along a world's trail.

    Attributes:
        seed: Of the world, and of where on the trail it begins.
        camera: Its size is the looks'.
        rate_hz: Frames a second.
        images: Render pictures.
        flat: On a world without relief, in a vehicle that bounces.
        cache: Folder where looks are kept; None keeps none.
    """

    seed: int
    camera: CameraModel
    rate_hz: float
    images: bool = False
    flat: bool = False
    cache: Path | None = None

    def __post_init__(self) -> None:
        self.world: World = (
            build_world(drive_seed(self.seed), load_ontology(ONTOLOGY), flat=True)
            if self.flat
            else cached_world(drive_seed(self.seed))
        )
        self._truth: Costmap | None = None

    @property
    def truth(self) -> Costmap:
        """The true grid of the world."""
        if self._truth is None:
            self._truth = true_costmap(self.world)
        return self._truth

    def looks(self, frames: int) -> Iterator[Look]:
        """The first frames of the drive, from the cache where they are in it."""
        terrain = self.world.terrain
        start = float(np.random.default_rng(self.seed).uniform(0, terrain.trail.length))
        times = np.arange(frames) / self.rate_hz
        poses = Drive(terrain, start=start).poses(times)
        if self.flat:
            poses = [pose @ _bounce(float(t)) for t, pose in zip(times, poses, strict=True)]
        u, v = np.meshgrid(np.arange(self.camera.width), np.arange(self.camera.height))
        rays = self.camera.rays(np.stack([u.ravel(), v.ravel()], axis=1).astype(float))
        for k, (time, pose) in enumerate(zip(times, poses, strict=True)):
            path = self._path(k)
            if path is not None and path.is_file():
                yield _read(path, round(1e9 * time), pose)
                continue
            look = self._look(k, round(1e9 * time), pose, rays)
            if path is not None:
                _write(path, look)
            yield look

    def _path(self, k: int) -> Path | None:
        if self.cache is None:
            return None
        name = f"{self.seed}_{self.camera.width}x{self.camera.height}_{self.rate_hz:g}"
        name += "_flat" if self.flat else ""
        return self.cache / f"{name}{'_images' if self.images else ''}" / f"{k:05}.npz"

    def _look(self, k: int, stamp_ns: int, pose: Transform, rays: NDArray[np.float64]) -> Look:
        """One ray for each pixel."""
        world, truth = self.world, self.truth
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
        millimetres = np.zeros(len(rays))
        millimetres[seen] = 1000.0 * hits.distance_N[seen] * rays[seen, 2]
        millimetres[millimetres > _FARTHEST_MM] = 0.0
        above = points[:, 2] - world.terrain.height(points[:, 0], points[:, 1])
        foot = ~bare & (world.ontology.costs_256[labels[seen]] == 100) & (above < FOOT_M)
        shape = (self.camera.height, self.camera.width)
        return Look(
            stamp_ns,
            pose,
            labels.reshape(shape),
            np.rint(millimetres).astype(np.uint16).reshape(shape),
            _cells(truth, points[foot]),
            _cells(truth, points[bare]),
            render(world, self.camera, view, (k,)).image_HWC if self.images else None,
        )


def _bounce(seconds: float) -> Transform:
    """What braking and stones do to a vehicle on level ground: within 3° of roll and 4° of pitch, in under a second."""
    return Transform.from_rpy(
        math.radians(3.0) * math.sin(2 * math.pi * 1.3 * seconds),
        math.radians(4.0) * math.sin(2 * math.pi * 1.9 * seconds + 1.0),
        0.0,
    )


def _cells(truth: Costmap, points_N3: NDArray[np.float64]) -> NDArray[np.int32]:
    """Rows and columns of the true grid, each once."""
    origin = np.array([truth.grid.origin_y, truth.grid.origin_x])
    cells = np.floor((points_N3[:, 1::-1] - origin) / truth.grid.resolution).astype(np.int32)
    inside = ((cells >= 0) & (cells < (truth.grid.height, truth.grid.width))).all(axis=1)
    return np.unique(cells[inside], axis=0)


def _write(path: Path, look: Look) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp.npz")
    arrays = {
        "labels": look.labels_HW,
        "depth": look.depth_HW,
        "foot": look.foot_N2,
        "ground": look.ground_N2,
    }
    if look.image_HWC is not None:
        arrays["image"] = look.image_HWC
    np.savez_compressed(temporary, **arrays)
    temporary.replace(path)


def _read(path: Path, stamp_ns: int, pose: Transform) -> Look:
    with np.load(path, allow_pickle=False) as file:
        return Look(
            stamp_ns,
            pose,
            file["labels"],
            file["depth"],
            file["foot"],
            file["ground"],
            file.get("image"),
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What both commands need to know of the drive."""
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--rate", type=float, default=10.0, help="frames a second")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--flat", action="store_true", help="a world without relief, and a vehicle that bounces"
    )
    parser.add_argument("--cache", type=Path, help="folder where looks are kept")


def tour_of(arguments: argparse.Namespace, *, images: bool) -> Tour:
    """The drive that the arguments describe."""
    camera = default_camera(arguments.width, arguments.height)
    return Tour(arguments.seed, camera, arguments.rate, images, arguments.flat, arguments.cache)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--images", action="store_true", help="render pictures too")
    arguments = parser.parse_args()
    if arguments.cache is None:
        parser.error("--cache: give a folder to keep the looks in")
    tour = tour_of(arguments, images=arguments.images)
    for _ in progress(tour.looks(arguments.frames), what="looks", total=arguments.frames):
        pass


if __name__ == "__main__":
    main()
