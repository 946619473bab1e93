# SPDX-License-Identifier: Apache-2.0
"""Masks and overlays of images without labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.compile.images import list_images, read_image
from offroad_seg.errors import InputError
from offroad_seg.overlay import overlay_image
from offroad_seg.progress import progress
from offroad_seg.resources import replacing_folder
from offroad_seg_train.data.reading import needs_16_bit
from offroad_seg_train.evaluation.pictures import write_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offroad_seg_train.evaluation.opened import OpenedModel


def predict(
    model: OpenedModel, images: Sequence[Path], out: Path, *, overwrite: bool = False, ids: bool = False
) -> int:
    """Write ``masks/NAME.png`` and ``overlays/NAME.jpg`` for each image, at its own size.

    Masks hold the ontology's raw values, 16-bit where these need it, or its palette colours: they can be labels.

    Args:
        model: What labels them.
        images: Picture files and folders of them.
        out: Folder to write.
        overwrite: Replace results that are there.
        ids: Write class ids (8-bit) in place of raw values.

    Returns:
        Number of images.

    Raises:
        InputError: ``out`` is not empty, an image cannot be read, or two images share a name.
        EngineError: The logits are not finite.
    """
    named = name_images(images)
    wide = needs_16_bit(model.ontology)
    with replacing_folder(out, overwrite=overwrite) as folder:
        for name, path in progress(named.items(), what="predicting", total=len(named), unit="image"):
            image_HWC = read_image(path)
            labels_HW, _ = model.predict(image_HWC)
            raw = model.ontology.decode(labels_HW)
            mask = labels_HW if ids else raw if wide else raw.astype(np.uint8)
            write_image(folder / "masks" / f"{name}.png", mask)
            write_image(
                folder / "overlays" / f"{name}.jpg", overlay_image(image_HWC, labels_HW, model.ontology)
            )
    return len(named)


def name_images(images: Sequence[Path]) -> dict[str, Path]:
    """Name of the result → image: the path below a given folder, or the file's own name, without suffix.

    Raises:
        InputError: A path is missing, or two images would get one name.
    """
    named: dict[str, Path] = {}
    for given in images:
        found = list_images(given) if given.is_dir() else [given]
        for path in found:
            name = (path.relative_to(given) if given.is_dir() else Path(path.name)).with_suffix("").as_posix()
            if name in named:
                raise InputError(
                    f"two images would be called {name}",
                    where=f"{named[name]} and {path}",
                    mend="predict them into two folders",
                )
            named[name] = path
    return named
