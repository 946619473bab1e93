# SPDX-License-Identifier: Apache-2.0
"""How data sets lie on disk: which image belongs to which mask.

- ``duality``: ``DIR/Color_Images/NAME.png`` and ``DIR/Segmentation/NAME.png`` (16-bit raw values)
- ``ycor``: ``DIR/…/FRAME/rgb.jpg`` and ``DIR/…/FRAME/labels.png`` (palette PNG)
- ``ai4mars``: ``DIR/images/STEM.jpg`` and ``DIR/masks/STEM.png`` (8-bit)

Image suffixes are free in ``duality`` and ``ai4mars``: files pair by their stem.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from offroad_seg.compile.images import IMAGE_SUFFIXES
from offroad_seg.errors import DataError, InputError

_LISTED = 8


@dataclass(frozen=True)
class Pair:
    """One labelled image.

    Attributes:
        name: Its name inside the data set, unique; what splits go by.
        image: The image file.
        mask: The mask file.
    """

    name: str
    image: Path
    mask: Path


@dataclass(frozen=True)
class Scan:
    """What a data folder holds.

    Attributes:
        pairs: Labelled images in order of name.
        without_mask: Images that have no mask.
        without_image: Masks that have no image.
        doubled: Names that several files share.
    """

    pairs: list[Pair]
    without_mask: list[Path]
    without_image: list[Path]
    doubled: list[str]


@dataclass(frozen=True)
class Layout:
    """One way in which data sets lie on disk.

    Attributes:
        name: Its name on the command line.
        ontology: The ontology that its data set comes with.
        images: Folder of the images, or None where each frame has a folder.
        masks: Folder of the masks.
    """

    name: str
    ontology: str
    images: str | None
    masks: str | None

    def fits(self, root: Path) -> bool:
        """Whether ``root`` looks like this layout."""
        if self.images and self.masks:
            return (root / self.images).is_dir() or (root / self.masks).is_dir()
        return next(root.rglob("rgb.jpg"), None) is not None

    def expects(self) -> str:
        """What it looks like, for messages."""
        if self.images:
            return f"{self.images}/ and {self.masks}/"
        return "FRAME/rgb.jpg and FRAME/labels.png"

    def scan(self, root: Path) -> Scan:
        """List images and masks and pair them.

        Raises:
            DataError: ``root`` or one of its folders is not there.
        """
        if self.images and self.masks:
            images, doubled = _by_stem(root, self.images)
            masks, also_doubled = _by_stem(root, self.masks)
        else:
            images = {_frame(p, root): p for p in root.rglob("rgb.jpg")}
            masks = {_frame(p, root): p for p in root.rglob("labels.png")}
            doubled = also_doubled = []
        return Scan(
            pairs=[Pair(n, images[n], masks[n]) for n in sorted(images.keys() & masks.keys())],
            without_mask=[images[n] for n in sorted(images.keys() - masks.keys())],
            without_image=[masks[n] for n in sorted(masks.keys() - images.keys())],
            doubled=sorted({*doubled, *also_doubled}),
        )


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("duality", "duality_desert", "Color_Images", "Segmentation"),
        Layout("ycor", "ycor", None, None),
        Layout("ai4mars", "ai4mars", "images", "masks"),
    )
}


def guess_layout(root: str | Path) -> str:
    """The layout that a data folder has.

    Raises:
        DataError: There is no such folder, or it looks like none of ``LAYOUTS``.
    """
    root = _existing(Path(root))
    for layout in LAYOUTS.values():
        if layout.fits(root):
            return layout.name
    inner = sorted(p.name for p in root.iterdir() if p.is_dir() and any(k.fits(p) for k in LAYOUTS.values()))
    hint = f"; did you mean {' or '.join(str(root / name) for name in inner[:3])}?" if inner else ""
    known = "; ".join(f"{layout.name}: {layout.expects()}" for layout in LAYOUTS.values())
    raise DataError(
        "the folder holds no data set that is known", where=str(root), mend=f"lay it out as {known}{hint}"
    )


def find_layout(name: str, root: str | Path) -> Layout:
    """The layout of that name; ``auto`` looks at the folder.

    Raises:
        InputError: There is no such layout.
        DataError: As ``guess_layout``.
    """
    if name == "auto":
        name = guess_layout(root)
    if name not in LAYOUTS:
        raise InputError(f"there is no layout '{name}'", mend=f"one of: auto, {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def scan(layout: str, root: str | Path) -> Scan:
    """What a data folder holds, paired or not.

    Raises:
        InputError: There is no such layout.
        DataError: The folder, or one that the layout needs, is missing or empty.
    """
    kind = find_layout(layout, root)
    found = kind.scan(_existing(Path(root)))
    if not (found.pairs or found.without_mask or found.without_image):
        raise DataError(
            "the data folder is empty", where=str(root), mend=f"put {kind.expects()} into it ({kind.name})"
        )
    return found


def list_pairs(layout: str, root: str | Path) -> list[Pair]:
    """The labelled images of a data folder, in order of name.

    Args:
        layout: A name from ``LAYOUTS``, or ``auto``.
        root: The data folder.

    Raises:
        DataError: The folder is missing or empty, or images and masks do not pair; the message names them.
    """
    found = scan(layout, root)
    problems = unpaired(found)
    if problems:
        raise DataError("; ".join(problems), where=str(root), mend="add what is missing, or remove the rest")
    return found.pairs


def unpaired(found: Scan) -> list[str]:
    """A sentence for each way in which images and masks do not pair, with the names."""
    problems = []
    if found.without_mask:
        problems.append(f"{len(found.without_mask)} images without a mask: {_names(found.without_mask)}")
    if found.without_image:
        problems.append(f"{len(found.without_image)} masks without an image: {_names(found.without_image)}")
    if found.doubled:
        problems.append(f"names that several files share: {', '.join(found.doubled[:_LISTED])}")
    return problems


def _names(paths: list[Path]) -> str:
    # The frame's folder tells YCOR's files apart, which are all called the same.
    listed = ", ".join(f"{p.parent.name}/{p.name}" for p in paths[:_LISTED])
    return listed + (f" and {len(paths) - _LISTED} more" if len(paths) > _LISTED else "")


def _existing(root: Path) -> Path:
    if not root.is_dir():
        raise DataError("there is no such data folder", where=str(root))
    return root


def _frame(path: Path, root: Path) -> str:
    return path.parent.relative_to(root).as_posix()


def _by_stem(root: Path, folder: str) -> tuple[dict[str, Path], list[str]]:
    if not (root / folder).is_dir():
        raise DataError(f"the folder {folder} is missing", where=str(root))
    found: dict[str, Path] = {}
    doubled = []
    for path in sorted((root / folder).iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in found:
            doubled.append(path.stem)
        found[path.stem] = path
    return found, doubled
