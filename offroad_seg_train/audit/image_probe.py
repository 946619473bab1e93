# SPDX-License-Identifier: Apache-2.0
"""What one image shows: its figures, its hashes, and the features by which odd ones are found."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.compile.images import read_image
from offroad_seg_train.data.reading import open_picture

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    U8 = NDArray[np.uint8]
    F32 = NDArray[np.float32]

HASH_SIDE = 16
HASH_BITS = HASH_SIDE * HASH_SIDE
THUMB = 64
SMALL = 256
_BLANK_SPREAD = 8.0
_GREY = 3
_TURNED = {5, 6, 7, 8}
_EXIF_ORIENTATION = 0x0112
_DARK, _BRIGHT = 16, 239
_EDGE = 20.0


@dataclass(frozen=True)
class Trait:
    """One feature by which images are compared.

    Attributes:
        name: In words, for explanations.
        unit: Of its figure.
        floor: The smallest spread that counts as usual: in a set of nearly equal images no trifle is an anomaly.
        weight: Its part in the distance between two images.
    """

    name: str
    unit: str
    floor: float
    weight: float = 1.0


_ROWS, _COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")
TRAITS = (
    Trait("brightness", "L*", 2.0),
    Trait("contrast", "L*", 2.0),
    Trait("red against green", "a*", 1.5),
    Trait("yellow against blue", "b*", 1.5),
    Trait("variety of colour", "a*b*", 1.5),
    Trait("sharpness", "log L*²", 0.25),
    Trait("variety of grey values", "bit", 0.25),
    Trait("share of edges", "", 0.03),
    Trait("share of upright edges", "", 0.05),
    Trait("share of black", "", 0.02, 0.25),
    Trait("share of white", "", 0.02, 0.25),
    *(Trait(f"brightness at the {r} {c}", "L*", 3.0, 1 / 3) for r in _ROWS for c in _COLUMNS),
)


@dataclass(frozen=True)
class ImageRecord:
    """What ``probe_image`` saw.

    Attributes:
        height: Rows, turned as EXIF says.
        width: Columns.
        format: ``PNG``, ``JPEG`` …, as the content says.
        mode: Pillow's: ``RGB``, ``L``, ``RGBA``, ``I;16`` …
        turned: EXIF turns it by 90°.
        grey: It shows no colour, whatever its mode.
        blank: It shows nothing: hardly any difference between its pixels.
        flat_rows: Share of rows at the bottom that are one colour, as where a file ended early.
        digest: Of the decoded pixels.
        hash_bits: Perceptual hash, bool (HASH_BITS,).
        thumb_HW: Grey picture for comparing, uint8 (THUMB, THUMB), whatever the image's shape.
        top_texture: Mean strength of edges along the upper edge, grey values a pixel of the reduced picture.
        traits: One figure for each of ``TRAITS``, float32.
        brightness: Mean grey value, 0–255.
        contrast: Standard deviation of the grey values.
        sharpness: Variance of the Laplacian of the grey values at full size (Pech-Pacheco et al., ICPR 2000).
        mean_3: Mean of red, green and blue, 0–255.
        square_3: Mean of their squares.
    """

    height: int
    width: int
    format: str
    mode: str
    turned: bool
    grey: bool
    blank: bool
    flat_rows: float
    digest: bytes
    hash_bits: NDArray[np.bool_]
    thumb_HW: U8
    top_texture: float
    traits: F32
    brightness: float
    contrast: float
    sharpness: float
    mean_3: NDArray[np.float64]
    square_3: NDArray[np.float64]


def probe_image(path: Path) -> tuple[ImageRecord, U8]:
    """Read an image and measure it.

    Returns:
        The record, and the image reduced to ``SMALL`` pixels on its longer side, RGB uint8.

    Raises:
        ImageError: It is missing, truncated, damaged, or no picture.
    """
    image_HWC = read_image(path)
    kind, mode, turned = _header(path)
    small_HWC = shrink(image_HWC, SMALL)
    grey_HW = cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY)
    small_grey_HW = cv2.cvtColor(small_HWC, cv2.COLOR_RGB2GRAY)
    low, high = np.percentile(small_grey_HW, (1, 99))
    mean, deviation = cv2.meanStdDev(grey_HW)
    mean_3, deviation_3 = cv2.meanStdDev(image_HWC)
    _, laplacian = cv2.meanStdDev(cv2.Laplacian(grey_HW, cv2.CV_16S))
    channels = small_HWC.astype(np.int16)
    record = ImageRecord(
        height=image_HWC.shape[0],
        width=image_HWC.shape[1],
        format=kind,
        mode=mode,
        turned=turned,
        grey=bool(np.ptp(channels, axis=2).max() <= _GREY),
        blank=bool(high - low < _BLANK_SPREAD),
        flat_rows=_flat_rows(image_HWC),
        digest=digest(image_HWC),
        hash_bits=_perceptual_hash(small_grey_HW),
        thumb_HW=np.asarray(
            cv2.resize(small_grey_HW, (THUMB, THUMB), interpolation=cv2.INTER_AREA), np.uint8
        ),
        top_texture=float(edge_strength(small_grey_HW[: max(3, small_grey_HW.shape[0] // 12)]).mean()),
        traits=_traits(small_HWC, small_grey_HW),
        brightness=float(mean[0, 0]),
        contrast=float(deviation[0, 0]),
        sharpness=float(laplacian[0, 0] ** 2),
        mean_3=mean_3.ravel(),
        square_3=(mean_3**2 + deviation_3**2).ravel(),
    )
    return record, small_HWC


def digest(pixels: NDArray[np.generic]) -> bytes:
    """A hash of pixels and their shape: equal for files that decode to the same picture."""
    state = hashlib.blake2b(str((pixels.shape, pixels.dtype.str)).encode(), digest_size=16)
    state.update(np.ascontiguousarray(pixels).data)
    return state.digest()


def edge_strength(grey_HW: U8) -> F32:
    """How much the grey value changes from pixel to pixel (Sobel), float32 (H, W)."""
    across, along = (cv2.Sobel(grey_HW, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1)))
    return np.asarray(cv2.magnitude(across, along) / 4, np.float32)


def shrink(image: U8, longest: int) -> U8:
    """Reduce a picture to a longest side; a smaller one is left as it is."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _header(path: Path) -> tuple[str, str, bool]:
    """Format, mode, and whether EXIF turns the picture by 90°."""
    with open_picture(path.read_bytes(), path) as picture:
        turned = picture.getexif().get(_EXIF_ORIENTATION) in _TURNED
        return picture.format or "", picture.mode, turned


def _perceptual_hash(grey_HW: U8) -> NDArray[np.bool_]:
    """pHash: which of the lowest frequencies are above their median; 64 bits would tell deserts apart badly."""
    import imagehash
    from PIL import Image

    bits: NDArray[np.bool_] = imagehash.phash(Image.fromarray(grey_HW), HASH_SIDE).hash.ravel()
    return bits


def _traits(small_HWC: U8, grey_HW: U8) -> F32:
    lab_HWC = cv2.cvtColor(small_HWC.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    light_HW, a_HW, b_HW = cv2.split(lab_HWC)
    x_HW, y_HW = (cv2.Sobel(light_HW, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1)))
    across, along = float((x_HW**2).sum()), float((y_HW**2).sum())
    shares = np.bincount(grey_HW.ravel(), minlength=256) / grey_HW.size
    there = shares[shares > 0]
    grid = cv2.resize(light_HW, (3, 3), interpolation=cv2.INTER_AREA) - light_HW.mean()
    return np.array(
        [
            light_HW.mean(),
            light_HW.std(),
            a_HW.mean(),
            b_HW.mean(),
            np.hypot(a_HW.std(), b_HW.std()),
            np.log1p(cv2.Laplacian(light_HW, cv2.CV_32F).var()),
            -(there * np.log2(there)).sum(),
            (np.hypot(x_HW, y_HW) > _EDGE).mean(),
            across / (across + along + 1e-6),
            shares[:_DARK].sum(),
            shares[_BRIGHT + 1 :].sum(),
            *grid.ravel(),
        ],
        np.float32,
    )


def _flat_rows(image_HWC: U8) -> float:
    """Share of rows, from the bottom up, in which every pixel has the colour of the last."""
    last = image_HWC[-1, -1]
    for count, row_WC in enumerate(image_HWC[::-1]):
        if not (row_WC == last).all():
            return count / len(image_HWC)
    return 1.0
