# SPDX-License-Identifier: Apache-2.0
"""Writing planned frames as a generic folder: ``PART/images``, ``PART/masks``, ``ontology.yaml``."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

import cv2
import numpy as np
import yaml

from offroad_seg.errors import DataError
from offroad_seg.resources import write_text
from offroad_seg.types import UNLABELLED
from offroad_seg_train.data.image_sources import ArraySource, open_source
from offroad_seg_train.data.layouts.generic import ONTOLOGY_FILE
from offroad_seg_train.data.reading import encode_mask, is_large, needs_16_bit, read_mask, snap_mask
from offroad_seg_train.data.threads import in_threads, one_at_a_time

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology
    from offroad_seg_train.data.prepare.plan import Plan, PlannedFrame
    from offroad_seg_train.data.tiling import Tile


def write_frames(
    plan: Plan, folder: Path, *, snap: int = 0, move: bool = False, show: bool = True
) -> list[list[str]]:
    """Write all frames of a plan.

    Args:
        plan: What to write.
        folder: An empty folder.
        snap: See ``snap_mask``.
        move: Move images instead of copying them: they lie in a folder that is thrown away.
        show: Show progress.

    Returns:
        For each frame the names of what was written, below ``PART/images/``, without suffix.

    Raises:
        DataError: A file changed since it was checked, or cannot be written.
    """
    ontology = plan.ontology
    text = yaml.safe_dump(ontology.to_dict(), sort_keys=False, allow_unicode=True, width=120)
    write_text(folder / ONTOLOGY_FILE, f"# What the masks in this folder mean.\n{text}")

    def write(frame: PlannedFrame) -> list[str]:
        return _write_frame(frame, ontology, folder, snap, move)

    # Few threads, since large images are large.
    return in_threads(write, plan.frames, what="writing", unit="image", most=4, show=show)


def write_mask(path: Path, ids_HW: NDArray[np.uint8], ontology: Ontology) -> None:
    """Write class ids as a PNG that the ontology reads back.

    Grey with its raw values, 8 or 16 bits; where it knows colours only, a palette PNG in these colours.

    Raises:
        DataError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if ontology.has_raw:
        raw_HW = ontology.decode(ids_HW).astype(np.uint16 if needs_16_bit(ontology) else np.uint8)
        _write_png(path, raw_HW)
        return
    from PIL import Image

    # The palette of the ids themselves, so that every label value has its entry.
    palette_2563 = ontology.decode(np.arange(256, dtype=np.uint8)[None])[0]
    picture = Image.fromarray(ids_HW, "P")
    picture.putpalette(palette_2563.astype(np.uint8).tobytes())
    picture.save(path)


def _write_frame(frame: PlannedFrame, ontology: Ontology, folder: Path, snap: int, move: bool) -> list[str]:
    pair = frame.pair
    images, masks = folder / frame.part / "images", folder / frame.part / "masks"
    with one_at_a_time(is_large(pair.mask)):
        raw = snap_mask(read_mask(pair.mask, colors=ontology.has_palette), ontology, snap)
        ids_HW = encode_mask(raw, ontology, pair.mask)
        # Colours take three times what ids take, and are not wanted while the image is read.
        del raw
    if ids_HW.shape != frame.size:
        raise DataError("the file changed while it was read", where=str(pair.mask))
    if not frame.tiles:
        write_mask(masks / f"{frame.name}.png", ids_HW, ontology)
        image = images / f"{frame.name}{pair.image.suffix.lower()}"
        image.parent.mkdir(parents=True, exist_ok=True)
        # Byte for byte: nothing is lost by decoding and encoding again.
        (shutil.move if move else shutil.copyfile)(pair.image, image)
        return [frame.name]
    written = []
    with ExitStack() as alone:
        alone.enter_context(one_at_a_time(is_large(pair.image)))
        source = open_source(pair.image)
        if not isinstance(source, ArraySource):
            # Only the rows of a tile are decoded at a time.
            alone.close()
        alone.callback(source.close)
        for tile in frame.tiles:
            tile_HW = tile.cut(ids_HW)
            if (tile_HW == UNLABELLED).all():
                # Nothing to learn from and nothing to measure.
                continue
            name = tile_name(frame.name, tile)
            bottom, right = tile.row + tile.height, tile.column + tile.width
            _write_png(images / f"{name}.png", source.read(tile.row, bottom, tile.column, right)[..., ::-1])
            write_mask(masks / f"{name}.png", np.ascontiguousarray(tile_HW, np.uint8), ontology)
            written.append(name)
    return written


def tile_name(frame: str, tile: Tile) -> str:
    """The name of a tile: a folder for its image, then where it lies in it."""
    return f"{frame}/r{tile.row:05d}_c{tile.column:05d}"


def _write_png(path: Path, picture: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(".png", np.ascontiguousarray(picture))
    if not done:
        raise DataError("the picture cannot be encoded as PNG", where=str(path))
    path.write_bytes(data.tobytes())
