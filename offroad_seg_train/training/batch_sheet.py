# SPDX-License-Identifier: Apache-2.0
"""``train --show-batch``: what the network of a recipe would be shown first, as one picture."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from offroad_seg.errors import InputError
from offroad_seg_train.data.augment.sheet import draw_sheet
from offroad_seg_train.evaluation.pictures import write_image
from offroad_seg_train.training.loading import build_training_loader
from offroad_seg_train.training.opening import open_data

if TYPE_CHECKING:
    from pathlib import Path

    from offroad_seg_train.training.config import TrainConfig

IMAGES = 18
_SUFFIXES = (".png", ".jpg", ".jpeg")


def show_batch(config: TrainConfig, path: Path, *, images: int = IMAGES, show: bool = True) -> None:
    """Draw the first pictures of a run's first epoch beside their labels, exactly as training would get them.

    Args:
        config: The recipe.
        path: The picture to write, ``.png`` or ``.jpg``; what is there is replaced.
        images: How many.
        show: Show progress.

    Raises:
        InputError: The data cannot be used, or ``path`` names no picture.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError("a picture is .png or .jpg", where=f"--show-batch {path}", mend="such as batch.png")
    # Few images are read: keeping them all would take longer than the rest.
    data = config.data if config.data.cache == "disk" else replace(config.data, cache="none")
    config = replace(config, data=replace(data, workers=0))
    ontology, _, frames, _ = open_data(config.data, config.seed, show=show)
    loader = build_training_loader(frames, config, ontology.n_classes, show=show)
    shown = (item for b in loader for item in zip(b["image"], b["labels"], b["name"], strict=True))
    items = list(islice(shown, images))
    sheet = draw_sheet(
        [image_CHW.permute(1, 2, 0).numpy() for image_CHW, _, _ in items],
        [labels_HW.numpy() for _, labels_HW, _ in items],
        [name for _, _, name in items],
        ontology,
        title=f"{config.name}: the first {len(items)} of {len(frames)} training images, epoch 1, "
        f"{config.data.width}x{config.data.height}",
    )
    write_image(path, sheet)
