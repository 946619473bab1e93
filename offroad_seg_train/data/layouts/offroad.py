# SPDX-License-Identifier: Apache-2.0
"""Layouts of off-road data sets: Duality, YCOR, RUGD, RELLIS-3D.

- ``duality``: ``…/Color_Images/NAME.png`` and ``…/Segmentation/NAME.png`` (16-bit raw values)
- ``ycor``: ``…/FRAME/rgb.jpg`` and ``…/FRAME/labels.png`` (palette PNG: the index is the value)
- ``rugd``: ``RUGD_frames-with-annotations/SCENE/SCENE_00001.png`` and ``RUGD_annotations/SCENE/SCENE_00001.png`` (RGB);
  the sample has ``images/`` and ``annotations/`` without scenes
- ``rellis3d``: ``…/00000/pylon_camera_node/FRAME.jpg`` and ``…/00000/pylon_camera_node_label_id/FRAME.png`` (raw ids),
  with ``train.lst``, ``val.lst``, ``test.lst`` where they were downloaded; images and labels may lie in folders of
  their own, as the archives have them
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offroad_seg.errors import DataError
from offroad_seg_train.data.layouts.base import PARTS, Frames, Layout, collect_beside, part_of
from offroad_seg_train.data.layouts.survey import list_entries

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from offroad_seg_train.data.layouts.survey import Survey

_RUGD_FOLDERS = (
    ("RUGD_frames-with-annotations", "RUGD_annotations"),
    ("images", "annotations"),
)
_RUGD_COLORMAP = "RUGD_annotation-colormap.txt"
# Wigness et al., IROS 2019: whole scenes are held out.
RUGD_PARTS = {
    "train": (
        "park-2", "trail", "trail-3", "trail-4", "trail-6", "trail-9", "trail-10", "trail-11", "trail-12",
        "trail-14", "trail-15", "village",
    ),
    "val": ("park-8", "trail-5"),
    "test": ("creek", "park-1", "trail-7", "trail-13"),
}  # fmt: skip
_RUGD_PART_OF_SCENE = {scene: part for part, scenes in RUGD_PARTS.items() for scene in scenes}

_RELLIS_IMAGES, _RELLIS_MASKS = "pylon_camera_node", "pylon_camera_node_label_id"


def _ycor(found: Survey) -> Frames:
    frames = Frames()
    for folder, names in found.folders.items():
        for file, add in (("rgb.jpg", frames.add_image), ("labels.png", frames.add_mask)):
            if file in names:
                add(folder.as_posix(), found.path(folder / file), part_of(folder.parts))
    return frames


def _rugd_folders(found: Survey) -> tuple[list[PurePosixPath], list[PurePosixPath]]:
    """Folders of images and of masks; the archives unpack into a folder of their own name, so they may be nested."""
    for image_name, mask_name in _RUGD_FOLDERS:
        images, masks = found.named(image_name), found.named(mask_name)
        if images or masks:
            return [f for f in images if image_name not in f.parent.parts], [
                f for f in masks if mask_name not in f.parent.parts
            ]
    return [], []


def _rugd(found: Survey) -> Frames:
    images, masks = _rugd_folders(found)
    for folders, name in zip((images, masks), _RUGD_FOLDERS[0], strict=True):
        if not folders:
            raise DataError(f"the folder {name} is missing", where=str(found.root))
    frames = Frames()
    for folders, add in ((images, frames.add_image), (masks, frames.add_mask)):
        for folder in folders:
            for path in found.pictures(folder, below=True):
                # Folders of the same name inside each other say nothing; the file's name begins with its scene.
                name = f"{rugd_scene(path.stem)}/{path.stem}"
                add(name, found.path(path), _RUGD_PART_OF_SCENE.get(rugd_scene(path.stem), ""))
    return frames


def rugd_scene(name: str) -> str:
    """The scene of a RUGD frame: ``trail-10`` of ``trail-10_00021`` or ``trail-10/trail-10_00021``."""
    return name.rpartition("/")[2].rpartition("_")[0]


def _rellis(found: Survey) -> Frames:
    frames = Frames()
    parts = {}
    for part in PARTS:
        parts.update({_rellis_key(entry): part for entry in list_entries(found, f"{part}.lst")})
    for folder_name, add in ((_RELLIS_IMAGES, frames.add_image), (_RELLIS_MASKS, frames.add_mask)):
        folders = found.named(folder_name)
        if not folders:
            raise DataError(f"the folders {folder_name} are missing", where=str(found.root))
        for folder in folders:
            for path in found.pictures(folder):
                name = f"{folder.parent.name}/{path.stem}".removeprefix("/")
                add(name, found.path(path), parts.get(name, ""))
    return frames


def _rellis_key(entry: str) -> str:
    """``00000/frame000104`` of a list's ``00000/pylon_camera_node/frame000104.jpg``."""
    words = entry.split("/")
    return f"{words[-3] if len(words) > 2 else ''}/{words[-1].rsplit('.', 1)[0]}".removeprefix("/")


DUALITY = Layout(
    name="duality",
    ontology="duality_desert",
    looks_like="Color_Images/ and Segmentation/",
    fits=lambda found: bool(found.named("Color_Images", "Segmentation")),
    collect=lambda found: collect_beside(found, "Color_Images", "Segmentation"),
)
YCOR = Layout(
    name="ycor",
    ontology="ycor",
    looks_like="FRAME/rgb.jpg and FRAME/labels.png",
    fits=lambda found: any("rgb.jpg" in names for names in found.folders.values()),
    collect=_ycor,
)
RUGD = Layout(
    name="rugd",
    ontology="rugd",
    looks_like="RUGD_frames-with-annotations/SCENE/ and RUGD_annotations/SCENE/",
    fits=lambda found: (
        bool(found.named(*_RUGD_FOLDERS[0]))
        or any(_RUGD_COLORMAP in names for names in found.folders.values())
    ),
    collect=_rugd,
    group=rugd_scene,
)
RELLIS3D = Layout(
    name="rellis3d",
    ontology="rellis3d",
    looks_like="SEQUENCE/pylon_camera_node/ and SEQUENCE/pylon_camera_node_label_id/",
    fits=lambda found: bool(found.named(_RELLIS_IMAGES, _RELLIS_MASKS)),
    collect=_rellis,
    group=lambda name: name.rpartition("/")[0],
)
