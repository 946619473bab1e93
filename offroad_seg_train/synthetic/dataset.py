# SPDX-License-Identifier: Apache-2.0
"""A folder of pictures with exact masks, in the layout of the Duality data."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from offroad_seg.errors import InputError
from offroad_seg.ontology import load_ontology
from offroad_seg.progress import progress as progress_bar
from offroad_seg.resources import replacing_folder, write_text
from offroad_seg_train.synthetic.drive import random_view
from offroad_seg_train.synthetic.render import default_camera, render, write_png
from offroad_seg_train.synthetic.world import World, build_world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offroad_seg.camera import CameraModel
    from offroad_seg.types import JsonDict

ONTOLOGY = "duality_desert"
_MOST_PER_WORLD = 40
_WORLDS_WANTED = 12
_LARGEST_MM = 65535
MIN_SIDE = 16


@lru_cache(maxsize=1)
def cached_world(seed: tuple[int, ...]) -> World:
    """The world of a seed, kept until another is asked for: tasks of one process share it."""
    return build_world(seed, load_ontology(ONTOLOGY))


def check_size(width: int, height: int) -> None:
    """Refuse picture sizes that cannot be rendered.

    Raises:
        InputError: A side is smaller than ``MIN_SIDE`` pixels.
    """
    if min(width, height) < MIN_SIDE:
        raise InputError(
            f"a picture of {width}×{height} is too small", mend=f"give at least {MIN_SIDE} pixels a side"
        )


def images_per_world(images: int) -> int:
    """A world is costly to build, but variety makes a data set: at least twelve worlds where it is worth it."""
    return int(np.clip(-(-images // _WORLDS_WANTED), 4, _MOST_PER_WORLD))


def write_dataset(
    out: Path | str,
    images: int,
    seed: int,
    width: int = 480,
    height: int = 270,
    progress: bool = True,
    workers: int = 2,
    *,
    overwrite: bool = False,
    depth: bool = False,
) -> Path:
    """Write pictures and masks: ``out/Color_Images/*.png``, ``out/Segmentation/*.png`` (16-bit raw values).

    Beside them ``camera.yaml`` (calibration) and ``frames.jsonl`` (world, pose and sun of each picture).

    The same arguments give the same pictures, whatever the number of workers. Names sort by world, so that a split by
    blocks separates worlds.

    Args:
        out: Folder to make.
        images: Number of pictures.
        seed: Which deserts.
        width: Pixels.
        height: Pixels.
        progress: Show a bar.
        workers: Processes that render; 1 renders in this one.
        overwrite: Replace a folder that is not empty, once the new one is whole.
        depth: Also write ``out/depth/*.png``, 16-bit millimetres along the optical axis; 0 is sky or beyond 65.5 m.

    Raises:
        InputError: The folder is not empty, or a number makes no sense.
    """
    if images < 1 or workers < 1 or seed < 0:
        raise InputError(
            f"images={images}, workers={workers}, seed={seed}",
            mend="give images ≥ 1, workers ≥ 1 and seed ≥ 0",
        )
    check_size(width, height)
    out = Path(out)
    with replacing_folder(out, overwrite=overwrite) as folder:
        for name in ("Color_Images", "Segmentation", *(["depth"] if depth else [])):
            (folder / name).mkdir()
        size = images_per_world(images)
        lots = [(w, min(size, images - w * size)) for w in range(-(-images // size))]
        tasks = [(str(folder), seed, world, count, width, height, depth) for world, count in lots]
        rows: list[JsonDict] = []
        with_bar = progress_bar(
            _finished(tasks, workers), what="synthetic pictures", total=images, show=progress
        )
        rows.extend(with_bar)
        rows.sort(key=lambda row: str(row["name"]))
        write_text(folder / "frames.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        write_text(folder / "camera.yaml", camera_yaml(default_camera(width, height)))
    return out


def _finished(tasks: list[tuple[str, int, int, int, int, int, bool]], workers: int) -> Iterator[JsonDict]:
    if workers == 1 or len(tasks) == 1:
        for task in tasks:
            yield from _render_lot(*task)
        return
    # Processes, not threads: shading is numpy that holds the interpreter for most of the time. Started afresh rather
    # than forked, because the caller may hold threads and a GPU.
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_render_list, *task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield from future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _render_list(*task: int | str | bool) -> list[JsonDict]:
    return list(_render_lot(*task))  # type: ignore[arg-type]


def _render_lot(
    folder: str, seed: int, world_index: int, count: int, width: int, height: int, depth: bool
) -> Iterator[JsonDict]:
    world = cached_world((seed, world_index))
    camera = default_camera(width, height)
    for k in range(count):
        rng = np.random.default_rng([seed, world_index, k, 77])
        world_T_optical = random_view(rng, world)
        noise, exposure = float(rng.uniform(0.004, 0.022)), float(np.exp(rng.normal(0, 0.10)))
        picture = render(
            world, camera, world_T_optical, (seed, world_index, k), noise=noise, exposure=exposure
        )
        name = f"w{world_index:03d}_{k:04d}.png"
        write_png(f"{folder}/Color_Images/{name}", picture.image_HWC)
        write_png(f"{folder}/Segmentation/{name}", world.ontology.decode(picture.labels_HW))
        if depth:
            millimetres = np.nan_to_num(picture.depth_HW * 1000.0, nan=0.0)
            millimetres[millimetres > _LARGEST_MM] = 0
            write_png(f"{folder}/depth/{name}", millimetres.round().astype(np.uint16))
        yield {
            "name": name,
            "world": [seed, world_index],
            "position": [round(float(v), 4) for v in world_T_optical.translation_3],
            "quaternion_xyzw": [round(float(v), 6) for v in world_T_optical.quaternion_xyzw()],
            "sun": [round(float(v), 4) for v in world.style.sun_3],
        }


def camera_yaml(camera: CameraModel) -> str:
    """A calibration file as camera_info_manager reads it."""

    def matrix(rows: int, cols: int, data: list[float]) -> JsonDict:
        return {"rows": rows, "cols": cols, "data": data}

    k = [float(v) for v in camera.K_33.ravel()]
    d = list(camera.D) or [0.0] * 5
    projection = [*k[0:3], 0.0, *k[3:6], 0.0, *k[6:9], 0.0]
    return yaml.safe_dump(
        {
            "image_width": camera.width,
            "image_height": camera.height,
            "camera_name": "synthetic",
            "camera_matrix": matrix(3, 3, k),
            "distortion_model": camera.model,
            "distortion_coefficients": matrix(1, len(d), d),
            "rectification_matrix": matrix(3, 3, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]),
            "projection_matrix": matrix(3, 4, projection),
        },
        sort_keys=False,
        default_flow_style=None,
    )
