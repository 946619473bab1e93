# SPDX-License-Identifier: Apache-2.0
"""Layouts of data sets seen from the air: RescueNet, AeroScapes, ISPRS Potsdam.

- ``rescuenet``: ``…/train-org-img/STEM.jpg`` and ``…/train-label-img/STEM_lab.png`` (values), or
  ``…/ColorMasks-TrainSet/STEM_lab.png`` (colours); ``val``, ``test`` in the same way
- ``aeroscapes``: ``JPEGImages/STEM.jpg``, ``SegmentationClass/STEM.png`` (values), ``ImageSets/trn.txt``, ``val.txt``
- ``potsdam``: ``top_potsdam_2_10_RGB.tif`` and ``top_potsdam_2_10_label.tif`` (colours), in any folders
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from offroad_seg.errors import DataError
from offroad_seg_train.data.layouts.base import Frames, Layout, collect_beside
from offroad_seg_train.data.layouts.survey import list_entries

if TYPE_CHECKING:
    from offroad_seg_train.data.layouts.survey import Survey

_RESCUE_IMAGES = re.compile(r"(train|val|test)-org-img")
_RESCUE_VALUES = re.compile(r"(train|val|test)-label-img")
_RESCUE_COLORS = re.compile(r"ColorMasks-(Train|Val|Test)Set")

_AERO_LISTS = {"trn.txt": "train", "train.txt": "train", "val.txt": "val", "test.txt": "test"}

_TILE = re.compile(r"(top_potsdam_\d+_\d+)_(RGBIR|RGB|IRRG|label_noBoundary|label)", re.IGNORECASE)
# The tiles whose labels the contest kept to itself until 2018.
POTSDAM_TEST = frozenset(
    f"top_potsdam_{tile}"
    for tile in (
        "2_13", "2_14", "3_13", "3_14", "4_13", "4_14", "4_15", "5_13", "5_14", "5_15", "6_13", "6_14", "6_15",
        "7_13",
    )
)  # fmt: skip


def _rescuenet(found: Survey) -> Frames:
    images = found.matching(_RESCUE_IMAGES.fullmatch)
    values = found.matching(_RESCUE_VALUES.fullmatch)
    colors = found.matching(_RESCUE_COLORS.fullmatch)
    if not images:
        raise DataError("the folders train-org-img … are missing", where=str(found.root))
    if not (values or colors):
        raise DataError("the folders train-label-img … are missing", where=str(found.root))
    frames = Frames()
    for folder in images:
        for path in found.pictures(folder):
            part = folder.name.partition("-")[0]
            frames.add_image(f"{part}/{path.stem}", found.path(path), part)
    # Both codings say the same: the values are smaller and quicker to read.
    for folder in values or colors:
        part = (
            folder.name.partition("-")[0] if values else folder.name[len("ColorMasks-") : -len("Set")].lower()
        )
        for path in found.pictures(folder):
            frames.add_mask(f"{part}/{path.stem.removesuffix('_lab')}", found.path(path), part)
    return frames


def _looks_like_rescuenet(found: Survey) -> bool:
    # FloodNet, by the same authors, has the same folders and other classes behind the same values.
    names = " ".join([found.root.resolve().name, *(str(f) for f in found.folders)]).lower()
    return "floodnet" not in names and bool(
        found.matching(_RESCUE_IMAGES.fullmatch) or found.matching(_RESCUE_VALUES.fullmatch)
    )


def _aeroscapes(found: Survey) -> Frames:
    frames = collect_beside(found, "JPEGImages", "SegmentationClass")
    for file, part in _AERO_LISTS.items():
        for entry in list_entries(found, file):
            stem = PurePosixPath(entry).stem
            frames.parts.update({name: part for name in frames.images if name.rpartition("/")[2] == stem})
    return frames


def _potsdam(found: Survey) -> Frames:
    tiles: dict[str, dict[str, list[PurePosixPath]]] = {}
    for folder in found.folders:
        for path in found.pictures(folder):
            if match := _TILE.fullmatch(path.stem):
                kinds = tiles.setdefault(match.group(1).lower(), {})
                kinds.setdefault(match.group(2).lower(), []).append(path)
    if not any("rgb" in kinds for kinds in tiles.values()):
        raise DataError(
            "there are no files top_potsdam_…_RGB.tif",
            where=str(found.root),
            mend="take the images of 2_Ortho_RGB: the infrared ones are not what a camera sees",
        )
    frames = Frames()
    for tile, kinds in tiles.items():
        part = "test" if tile in POTSDAM_TEST else "train"
        for path in kinds.get("rgb", []):
            frames.add_image(tile, found.path(path), part)
        for path in _potsdam_labels(kinds):
            frames.add_mask(tile, found.path(path), part)
    return frames


def _potsdam_labels(kinds: dict[str, list[PurePosixPath]]) -> list[PurePosixPath]:
    """The labels to take where several kinds lie side by side: with borders before those without, all before some."""
    labels = kinds.get("label") or kinds.get("label_noboundary") or []
    complete = [path for path in labels if "labels_all" in str(path).lower()]
    return complete or labels


def _has_potsdam_tiles(found: Survey) -> bool:
    return any(
        name.lower().startswith("top_potsdam_") and _TILE.fullmatch(PurePosixPath(name).stem)
        for names in found.folders.values()
        for name in names
    )


RESCUENET = Layout(
    name="rescuenet",
    ontology="rescuenet",
    looks_like="train/train-org-img/ and train/train-label-img/",
    fits=_looks_like_rescuenet,
    collect=_rescuenet,
    # The numbers say nothing about which flight a picture is from.
    group=lambda name: name,
)
AEROSCAPES = Layout(
    name="aeroscapes",
    ontology="aeroscapes",
    looks_like="JPEGImages/ and SegmentationClass/",
    # Pascal VOC has these folders too, and its objects in one more.
    fits=lambda found: bool(found.named("JPEGImages")) and not found.named("SegmentationObject"),
    collect=_aeroscapes,
    group=lambda name: name.rpartition("_")[0],
)
POTSDAM = Layout(
    name="potsdam",
    ontology="potsdam",
    looks_like="top_potsdam_2_10_RGB.tif and top_potsdam_2_10_label.tif",
    fits=_has_potsdam_tiles,
    collect=_potsdam,
    group=lambda name: name,
)
