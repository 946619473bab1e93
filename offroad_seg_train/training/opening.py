# SPDX-License-Identifier: Apache-2.0
"""The data of a run: checked, split, and ready to be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from offroad_seg.errors import DataError, InputError
from offroad_seg.image import Letterbox
from offroad_seg_train.data.checks import check_dataset
from offroad_seg_train.data.dataset import build_dataset
from offroad_seg_train.data.layouts import data_ontology, find_layout
from offroad_seg_train.data.splits import split_pairs
from offroad_seg_train.training.frames import Frames

if TYPE_CHECKING:
    from offroad_seg.ontology import Ontology
    from offroad_seg_train.training.data_config import DataConfig


def open_data(
    config: DataConfig, seed: int, *, show: bool = True
) -> tuple[Ontology, Letterbox, Frames, Frames]:
    """Ontology, letterbox, and the frames to train on and to validate on.

    Raises:
        InputError: No data folder is given, or it cannot be used.
        DataError: Its files are not sound, or nothing in it is labelled.
    """
    if config.root is None:
        raise InputError("no data folder", where="data.root", mend="give --data DIR")
    layout = find_layout(config.layout, config.root)
    ontology = data_ontology(layout, config.root, config.ontology)
    letterbox = Letterbox(config.height, config.width)
    # All that is wrong with the data is said now, not one file at a time hours later.
    check = check_dataset(layout.name, config.root, ontology, show_progress=show)
    pairs = check.pairs
    if not check.class_pixels_N.any():
        raise DataError(
            f"not one pixel of {len(pairs)} masks has a class: ontology {ontology.name} ignores every value in them",
            where=config.root,
            mend="another data.ontology, or labels",
        )

    def frames(root: str, indices: list[int] | None, source_scale: float = 1.0) -> Frames:
        return Frames(
            build_dataset(layout.name, root, ontology, letterbox, indices),
            letterbox,
            config.cache_gib,
            source_scale,
            cache=config.cache,
            cache_dir=Path(config.cache_dir) if config.cache_dir else None,
            show=show,
        )

    if config.val_root is not None:
        check_dataset(layout.name, config.val_root, ontology, show_progress=show)
        train_frames = frames(config.root, None, config.source_scale)
        return ontology, letterbox, train_frames, frames(config.val_root, None)
    parts = split_pairs(
        pairs,
        config.val_fraction,
        config.split,
        seed,
        test_fraction=config.test_fraction,
        group_by=config.group_by,
    )
    train_frames = frames(config.root, parts.train, config.source_scale)
    return ontology, letterbox, train_frames, frames(config.root, parts.val)
