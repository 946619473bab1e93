# SPDX-License-Identifier: Apache-2.0
"""The pictures that a gate runs on, and those that int8 takes its ranges from."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from offroad_seg.compile.images import IMAGE_SUFFIXES, list_images, read_image, read_whole
from offroad_seg.errors import ImageError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.image import Letterbox
    from offroad_seg.ontology import Ontology

    U8 = NDArray[np.uint8]

MAX_IMAGES = 32
MAX_CALIBRATION = 128
_SYNTHETIC = 8
_SEED = 20240
_PNG_COLOR_TYPE, _PNG_PALETTE = 25, 3  # byte of the IHDR chunk, and its value for indexed colours


class GateImage(NamedTuple):
    """One letterboxed picture.

    Attributes:
        name: Its path below the folder.
        image_HWC: uint8 RGB at network size.
        inside: Rows and columns that show the picture; the rest is padding, which nobody looks at.
        truth_HW: uint8 class ids at network size, 255 = unlabelled; None where there is no mask.
    """

    name: str
    image_HWC: U8
    inside: tuple[slice, slice]
    truth_HW: U8 | None = None


@dataclass(frozen=True)
class GateImages:
    """Letterboxed images for a gate.

    Attributes:
        images: The pictures.
        source: ``real`` or ``synthetic``: figures on noise say less, so manifests and logs say which it was.
    """

    images: list[GateImage]
    source: str

    @property
    def has_truth(self) -> bool:
        """Whether every picture has its mask."""
        return all(image.truth_HW is not None for image in self.images)

    def digest(self) -> str:
        """SHA-256 over names, pixels and truth: the same pictures need no second gate."""
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(image.name.encode() + b"\0")
            digest.update(image.image_HWC.tobytes())
            if image.truth_HW is not None:
                digest.update(image.truth_HW.tobytes())
        return digest.hexdigest()


def gate_images(
    folder: Path | None,
    letterbox: Letterbox,
    count: int = MAX_IMAGES,
    *,
    masks: Path | None = None,
    ontology: Ontology | None = None,
) -> GateImages:
    """Images for a gate: evenly chosen from a folder, else drawn.

    Args:
        folder: Real images, also in subfolders; None draws a synthetic set.
        letterbox: Network size.
        count: At most so many.
        masks: Folder with a mask for each image, of the same name or stem.
        ontology: What the masks' values mean; needed with ``masks``.

    Raises:
        ImageError: The folder holds no image, or a chosen one or its mask is missing or cannot be read.
        OntologyError: A mask holds values that the ontology does not know.
        InputError: Masks without images.
    """
    if folder is None:
        if masks is not None:
            raise InputError("masks without images", where="--masks", mend="give --images DIR, too")
        return GateImages(list(_synthetic(letterbox, min(count, _SYNTHETIC))), "synthetic")
    chosen = _evenly(list_images(folder), count)
    return GateImages([_load(path, folder, letterbox, masks, ontology) for path in chosen], "real")


def calibration_images(
    folder: Path | None, images: Path | None, letterbox: Letterbox, *, not_these: Sequence[str] = ()
) -> list[U8]:
    """Letterboxed pictures (H, W, 3) from which int8 takes the ranges of its values.

    Args:
        folder: Where they are; None takes those of ``images`` that the gate does not use.
        images: The gate's folder.
        letterbox: Network size.
        not_these: Names of the gate's own pictures: who is examined does not write the questions.

    Raises:
        InputError: There is none.
        ImageError: One cannot be read.
    """
    source = folder or images
    if source is None:
        raise InputError("int8 needs pictures to take its ranges from", mend=_GIVE_CALIBRATION)
    paths = list_images(source)
    if folder is None:
        paths = [p for p in paths if p.relative_to(source).as_posix() not in set(not_these)]
    if not paths:
        raise InputError(
            "the gate uses every picture of this folder, and int8 needs others to take its ranges from",
            where=str(source),
            mend=_GIVE_CALIBRATION,
        )
    return [letterbox.apply(read_image(path)) for path in _evenly(paths, MAX_CALIBRATION)]


_GIVE_CALIBRATION = "--calibration DIR with about 100 pictures of the vehicle's camera"


def read_mask(path: Path, ontology: Ontology) -> U8:
    """A mask file as class ids (H, W) uint8, 255 = unlabelled.

    Raises:
        ImageError: It cannot be read.
        OntologyError: It holds values that the ontology does not know.
    """
    data = read_whole(path)
    if not ontology.has_palette and data[_PNG_COLOR_TYPE : _PNG_COLOR_TYPE + 1] == bytes([_PNG_PALETTE]):
        return ontology.encode(_palette_indexes(data, path), where=str(path))
    mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if mask is None:
        raise ImageError("this is not a mask that can be read", where=str(path))
    if mask.ndim == 3:
        mask = cv2.cvtColor(mask[..., :3], cv2.COLOR_BGR2RGB)
    return ontology.encode(mask, where=str(path))


def _palette_indexes(data: bytes, path: Path) -> U8:
    """The indexes of a palette PNG, which OpenCV would turn into colours."""
    try:
        from PIL import Image
    except ImportError:
        raise ImageError(
            "masks with a palette need Pillow, which is not installed",
            where=str(path),
            mend="pip install pillow",
        ) from None
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture, np.uint8)


def _load(
    path: Path, folder: Path, letterbox: Letterbox, masks: Path | None, ontology: Ontology | None
) -> GateImage:
    image_HWC, relative = read_image(path), path.relative_to(folder)
    height, width = image_HWC.shape[:2]
    place = letterbox.geometry(height, width)
    inside = (slice(place.top, place.top + place.height), slice(place.left, place.left + place.width))
    truth_HW = None
    if masks is not None:
        assert ontology is not None
        mask_path = _find_mask(masks, relative)
        ids_HW = read_mask(mask_path, ontology)
        if ids_HW.shape != (height, width):
            raise ImageError(
                f"the mask is {ids_HW.shape[1]}×{ids_HW.shape[0]} and its image {width}×{height}",
                where=str(mask_path),
                mend="give the masks that belong to these images",
            )
        truth_HW = letterbox.apply_mask(ids_HW)
    return GateImage(relative.as_posix(), letterbox.apply(image_HWC), inside, truth_HW)


def _find_mask(masks: Path, image: Path) -> Path:
    for candidate in (image, *(image.with_suffix(suffix) for suffix in sorted(IMAGE_SUFFIXES))):
        if (masks / candidate).is_file():
            return masks / candidate
    raise ImageError(
        f"there is no mask for {image.as_posix()}",
        where=str(masks),
        mend="masks lie in --masks DIR under the names that the images have in --images DIR",
    )


def _evenly(paths: list[Path], count: int) -> list[Path]:
    return [paths[i] for i in sorted(set(np.linspace(0, len(paths) - 1, count).round().astype(int).tolist()))]


def _synthetic(letterbox: Letterbox, count: int) -> Iterator[GateImage]:
    """Seeded pictures with structure at every scale, from haze to grain."""
    height, width = letterbox.height, letterbox.width
    random = np.random.default_rng(_SEED)
    for index in range(count):
        picture = np.zeros((height, width, 3), np.float32)
        for scale in (2, 5, 16, 64):
            grid = random.random((max(2, height // scale), max(2, width // scale), 3), np.float32)
            picture += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * scale**0.5
        low, high = picture.min(), picture.max()
        image_HWC = ((picture - low) / (high - low) * 255).astype(np.uint8)
        yield GateImage(f"synthetic_{index}", image_HWC, (slice(0, height), slice(0, width)))
