# SPDX-License-Identifier: Apache-2.0
"""What a layout is: how it is recognised, and which image belongs to which mask."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from offroad_seg.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from offroad_seg_train.data.layouts.survey import Survey

# Folder names that say to which part of a split their frames belong.
PART_WORDS = {
    "train": "train",
    "training": "train",
    "trainset": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "valset": "val",
    "test": "test",
    "testing": "test",
    "testset": "test",
}
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Pair:
    """One labelled image.

    Attributes:
        name: Its name inside the data set, unique; what splits go by.
        image: The image file.
        mask: The mask file.
        part: ``train``, ``val`` or ``test`` where the data set says so itself, else empty.
        group: What it was recorded with (drive, scene, site), for splits by groups.
    """

    name: str
    image: Path
    mask: Path
    part: str = ""
    group: str = ""


@dataclass(frozen=True)
class Scan:
    """What a data folder holds.

    Attributes:
        pairs: Labelled images in order of name.
        without_mask: Images that have no mask.
        without_image: Masks that have no image.
        doubled: Names that several files share.
        unlabelled: Number of images that the data set leaves without labels on purpose.
    """

    pairs: list[Pair]
    without_mask: list[Path]
    without_image: list[Path]
    doubled: list[str]
    unlabelled: int = 0


@dataclass
class Frames:
    """Images and masks by the name of their frame, while a layout collects them.

    Attributes:
        images: Image files.
        masks: Mask files.
        doubled: Names that several images, or several masks, share.
        parts: ``train``, ``val`` or ``test``, for frames of which the data set says so.
        partly_labelled: More images than labels are published; an image without a mask is no mistake.
    """

    images: dict[str, Path] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)
    doubled: set[str] = field(default_factory=set)
    parts: dict[str, str] = field(default_factory=dict)
    partly_labelled: bool = False

    def add_image(self, name: str, path: Path, part: str = "") -> None:
        """Take an image in."""
        self._add(self.images, name, path, part)

    def add_mask(self, name: str, path: Path, part: str = "") -> None:
        """Take a mask in."""
        self._add(self.masks, name, path, part)

    def _add(self, files: dict[str, Path], name: str, path: Path, part: str) -> None:
        if name in files:
            self.doubled.add(name)
        files[name] = path
        if part:
            self.parts[name] = part


def by_folder_and_prefix(name: str) -> str:
    """The usual group: the frame's folder, and its name up to the first digit (``train/cc0000016`` → ``train/cc``)."""
    path = PurePosixPath(name)
    prefix = re.match(r"\D*", path.name)
    folder = "" if path.parent == PurePosixPath() else f"{path.parent}/"
    return folder + (prefix.group() if prefix else "")


@dataclass(frozen=True)
class Layout:
    """One way in which data sets lie on disk.

    Attributes:
        name: Its name on the command line.
        ontology: The ontology that its data set comes with; None where only the user knows.
        looks_like: What it looks like, for messages.
        fits: Whether a folder looks like it.
        collect: Finds its images and masks.
        group: The group of a frame, by its name.
    """

    name: str
    ontology: str | None
    looks_like: str
    fits: Callable[[Survey], bool]
    collect: Callable[[Survey], Frames]
    group: Callable[[str], str] = by_folder_and_prefix

    def scan(self, found: Survey) -> Scan:
        """List images and masks and pair them.

        Raises:
            DataError: A folder that the layout needs is not there.
        """
        frames = self.collect(found)
        images, masks = frames.images, frames.masks
        without_mask = [images[n] for n in sorted(images.keys() - masks.keys())]
        pairs = [
            Pair(n, images[n], masks[n], frames.parts.get(n, ""), self.group(n))
            for n in sorted(images.keys() & masks.keys())
        ]
        unlabelled = len(without_mask) if frames.partly_labelled and pairs else 0
        return Scan(
            pairs=pairs,
            without_mask=[] if unlabelled else without_mask,
            without_image=[masks[n] for n in sorted(masks.keys() - images.keys())],
            doubled=sorted(frames.doubled),
            unlabelled=unlabelled,
        )


def part_of(folders: Iterable[str]) -> str:
    """The part that folder names speak of (``valid`` → ``val``); empty where none does."""
    for name in folders:
        if part := PART_WORDS.get(name.lower()):
            return part
    return ""


def beside(folder: PurePosixPath, path: PurePosixPath) -> str:
    """The name of a frame whose file lies in (or below) ``folder``: the way to it, without ``folder``'s own name.

    ``train/Color_Images/cc01.png`` in ``train/Color_Images`` → ``train/cc01``.
    """
    return (folder.parent / path.relative_to(folder)).with_suffix("").as_posix()


def collect_beside(found: Survey, image_folder: str, mask_folder: str, *, below: bool = False) -> Frames:
    """Frames from folders of images that lie beside folders of masks, anywhere; files pair by their stem.

    Args:
        found: The data folder.
        image_folder: Name of the folders of images.
        mask_folder: Name of the folders of masks.
        below: Take their subfolders in.

    Raises:
        DataError: There is no folder of one of the two names.
    """
    frames = Frames()
    for name, add in ((image_folder, frames.add_image), (mask_folder, frames.add_mask)):
        folders = [f for f in found.named(name) if not below or not _inside(f, image_folder, mask_folder)]
        if not folders:
            raise DataError(f"the folder {name} is missing", where=str(found.root))
        for folder in folders:
            for path in found.pictures(folder, below=below):
                add(beside(folder, path), found.path(path), part_of(path.parent.parts))
    return frames


def _inside(folder: PurePosixPath, *names: str) -> bool:
    """Whether a folder lies below one of these names: ``images/masks/`` holds images of the frame folder ``masks``."""
    return any(part in names for part in folder.parent.parts)
