# SPDX-License-Identifier: Apache-2.0
"""Depth against the plane on real frames: how far apart they place the road, and what each calls free.

    python benchmarks/real_depth.py FOLDER --out PICTURES [--frames N]

FOLDER holds ``image_data/*.png``, ``dense_depth/*.png`` (metres × 256) and ``calib/*.txt`` (a line ``cam_K: …``), as
ORFD has them. The frames have no labels: every pixel is called ground, as by a network that has failed altogether, so
that what a map still refuses it refuses by shape alone. The mount is the one fitted to ORFD's road; give yours.

For each frame a picture is written: image, depth, and both maps seen from above (green free, red lethal, grey unknown).
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from offroad_seg.camera import CameraModel
from offroad_seg.mapping.level import ground_view
from offroad_seg.mapping.settings import PipelineSettings
from offroad_seg.ontology import load_ontology
from offroad_seg.progress import progress
from offroad_seg.resources import write_text
from offroad_seg.transforms import camera_mount
from offroad_seg.types import OBSTACLE, UNLABELLED, Segmentation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.mapping.projector import Projector
    from offroad_seg.transforms import Transform

ONTOLOGY = load_ontology("duality_desert")
GROUND = ONTOLOGY.id_of("Landscape")
NETWORK = (266, 473)
BANDS = ((3, 6), (6, 9), (9, 12), (12, 15))
_ROAD_HALF_M, _ROAD_HEIGHT_M = 2.5, 0.3
_GREEN, _RED, _GREY = (90, 190, 90), (60, 60, 220), (70, 70, 70)
_PIXELS = 6  # a cell's side in the pictures


def read(folder: Path, name: str) -> tuple[NDArray[np.uint8], NDArray[np.float32], CameraModel]:
    """Image (BGR), depth in metres (NaN where there is none), calibration."""
    image = cv2.imread(str(folder / "image_data" / f"{name}.png"))
    raw = cv2.imread(str(folder / "dense_depth" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
    text = (folder / "calib" / f"{name}.txt").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("cam_K"))
    camera = CameraModel.from_info(
        image.shape[1], image.shape[0], "plumb_bob", (), [float(word) for word in line.split()[1:]]
    )
    return np.asarray(image), np.where(raw > 0, raw / np.float32(256), np.nan).astype(np.float32), camera


def apart(depth_HW: NDArray[np.float32], camera: CameraModel, mount: Transform) -> dict[str, Any]:
    """How far apart depth and plane place the road, by distance: median and 90th percentile, metres."""
    view = ground_view(mount, None)
    v, u = (part.ravel() for part in np.mgrid[: camera.height : 4, : camera.width : 4])
    rays = camera.rays(np.stack([u, v], axis=1).astype(float))
    rays = (rays / rays[:, 2:]) @ view.camera_R_grid
    measured = rays * depth_HW[v, u][:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        on_plane = rays * (view.drop / rays[:, 2])[:, None]
        road = (rays[:, 2] < 0) & (np.abs(measured[:, 2] - view.drop) < _ROAD_HEIGHT_M)
        road &= np.abs(measured[:, 1]) < _ROAD_HALF_M
    reach = np.hypot(measured[:, 0], measured[:, 1])
    out: dict[str, Any] = {}
    for low, high in BANDS:
        here = road & (reach >= low) & (reach < high)
        if here.any():
            gap = np.hypot(*(measured - on_plane)[here][:, :2].T)
            out[f"{low}-{high} m"] = {
                "median": float(np.median(gap)),
                "p90": float(np.percentile(gap, 90)),
                "pixels": int(here.sum()),
            }
    return out


def from_above(labels_HW: NDArray[np.uint8], title: str) -> NDArray[np.uint8]:
    """A map as a picture, the vehicle below, ahead is up."""
    picture = np.full((*labels_HW.shape, 3), _GREY, np.uint8)
    picture[labels_HW == GROUND] = _GREEN
    picture[labels_HW == OBSTACLE] = _RED
    # Ahead (columns) becomes up, left (rows) becomes left; the half behind the vehicle holds nothing.
    ahead = picture[:, labels_HW.shape[1] // 2 :]
    turned = np.ascontiguousarray(ahead.transpose(1, 0, 2)[::-1, ::-1])
    large = cv2.resize(turned, None, fx=_PIXELS, fy=_PIXELS, interpolation=cv2.INTER_NEAREST)
    return np.asarray(
        cv2.putText(large, title, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2, cv2.LINE_AA)
    )


def picture_of(
    image: NDArray[np.uint8], depth_HW: NDArray[np.float32], maps: list[NDArray[np.uint8]], max_range: float
) -> NDArray[np.uint8]:
    """Image and depth on the left, both maps on the right."""
    shade = np.nan_to_num(np.clip(1.0 - depth_HW / max_range, 0.0, 1.0) * 255.0).astype(np.uint8)
    colours = cv2.applyColorMap(shade, cv2.COLORMAP_TURBO)
    colours[~np.isfinite(depth_HW)] = 0
    right = np.hstack(maps)
    half = right.shape[0] // 2
    width = round(image.shape[1] * half / image.shape[0])
    left = np.vstack(
        [cv2.resize(part, (width, half), interpolation=cv2.INTER_AREA) for part in (image, colours)]
    )
    return np.asarray(np.hstack([left, right[: left.shape[0]]]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures and real_depth.json")
    parser.add_argument("--frames", type=int, default=1000, help="at most so many")
    parser.add_argument("--range", type=float, default=30.0, help="metres")
    parser.add_argument("--mount", type=float, nargs=3, default=(1.9, 1.6, 7.1), metavar=("Z", "ROLL", "PITCH"),
                        help="height of the camera (m), roll and pitch (degrees)")  # fmt: skip
    arguments = parser.parse_args()
    height, roll, pitch = arguments.mount
    mount = camera_mount(0.0, 0.0, height, math.radians(roll), math.radians(pitch), 0.0)
    common: dict[str, Any] = {
        "costmap_width": 64.0, "costmap_height": 32.0, "resolution": 0.2, "max_range": arguments.range,
        "costmap_frame": "base_link",
    }  # fmt: skip
    projectors: dict[str, Projector] = {
        name: PipelineSettings(projection=name, **common).projector(ONTOLOGY)
        for name in ("ground_plane", "depth")
    }
    names = sorted(path.stem for path in (arguments.folder / "image_data").glob("*.png"))[: arguments.frames]
    arguments.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    everything = Segmentation(np.full(NETWORK, GROUND, np.uint8), np.full(NETWORK, 255, np.uint8), 0, "", 1.0)
    for name in progress(names, what="frames", total=len(names)):
        image, depth_HW, camera = read(arguments.folder, name)
        maps = {
            word: projector.project(everything, camera.scaled(*NETWORK), mount, depth_HW=depth_HW).labels_HW
            for word, projector in projectors.items()
        }
        results[name] = {
            "apart": apart(depth_HW, camera, mount),
            **{
                f"{word}_{what}_cells": int((cells == value).sum())
                for word, cells in maps.items()
                for what, value in (("free", GROUND), ("lethal", OBSTACLE), ("unknown", UNLABELLED))
            },
            "free_by_plane_lethal_by_depth": int(
                ((maps["ground_plane"] == GROUND) & (maps["depth"] == OBSTACLE)).sum()
            ),
        }
        titles = [from_above(cells, word.replace("_", " ")) for word, cells in maps.items()]
        cv2.imwrite(str(arguments.out / f"{name}.png"), picture_of(image, depth_HW, titles, arguments.range))
    print(
        f"{'':>16}" + "".join(f"{f'{a}-{b} m: median, p90':>26}" for a, b in BANDS) + f"{'free → lethal':>15}"
    )
    for name, result in results.items():
        gaps = [result["apart"].get(f"{a}-{b} m") for a, b in BANDS]
        words = [f"{g['median']:.2f}, {g['p90']:.2f}" if g else "–" for g in gaps]
        print(
            f"{name:>16}"
            + "".join(f"{w:>26}" for w in words)
            + f"{result['free_by_plane_lethal_by_depth']:>15}"
        )
    write_text(arguments.out / "real_depth.json", json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
