# SPDX-License-Identifier: Apache-2.0
"""One frame's small pictures as data URIs: drawn once, and made smaller where the report's size asks for it."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.replay.annotated import encode_jpeg
from offroad_seg.replay.indexed_png import indexed_png, palette_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology

    U8 = NDArray[np.uint8]

AREA = 480 * 300
"""Pixels of a picture at most, whatever its shape: so the bytes of a frame are bounded."""
LABELS = ("prediction", "truth")
GRIDS = ("costmap", "true_costmap")
NEARLY = 0.9
"""A picture may be so much narrower than its pixels allow where it then is a half, a quarter … of the image."""
JPEG_QUALITY = 80
GREY_QUALITY = 70


def size_within(width: int, height: int, area: int = AREA) -> tuple[int, int]:
    """(width, height) of the same shape with so many pixels at most; never larger than it is.

    Halves, quarters … are taken where they are nearly as large: they are made in a tenth of the time.
    """
    scale = min(1.0, math.sqrt(area / (width * height)))
    shares = 2.0 ** math.floor(math.log2(scale))
    if shares >= NEARLY * scale and width * shares % 1 == 0 and height * shares % 1 == 0:
        scale = shares
    return max(1, int(width * scale)), max(1, int(height * scale))


def color_uri(rgb_HWC: U8, size: tuple[int, int]) -> str:
    """A camera image as JPEG."""
    return uri(encode_jpeg(reduced(rgb_HWC, size), JPEG_QUALITY), "jpeg")


def labels_uri(labels_HW: U8, size: tuple[int, int], ontology: Ontology) -> str:
    """Class ids in the ontology's colours, without loss: the page reads the classes from them."""
    small = np.asarray(cv2.resize(labels_HW, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    return indexed_uri(small, ontology.colors_2563)


def grey_uri(values_HW: U8, size: tuple[int, int]) -> str:
    """One number a pixel as grey JPEG."""
    small = reduced(values_HW, size)
    return uri(bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, GREY_QUALITY])[1]), "jpeg")


def reduced(picture: U8, size: tuple[int, int]) -> U8:
    """Made smaller by means over areas: by halves as far as that goes, which is what is fast."""
    width, height = size
    while picture.shape[0] % 2 == picture.shape[1] % 2 == 0:
        half = picture.shape[1] // 2, picture.shape[0] // 2
        if half[0] < width or half[1] < height:
            break
        picture = np.asarray(cv2.resize(picture, half, interpolation=cv2.INTER_AREA), np.uint8)
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def indexed_uri(indices_HW: U8, colors_256C: U8) -> str:
    """A byte a pixel in the colours (RGB or RGBA) of each value, without loss."""
    return uri(indexed_png(indices_HW, colors_256C), "png")


def png_uri(bgr: U8) -> str:
    """BGR or BGRA as PNG."""
    return uri(bytes(cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 4])[1]), "png")


def uri(data: bytes, kind: str) -> str:
    """Bytes as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def picture_of(text: str) -> U8:
    """Back from a data URI to an OpenCV picture."""
    data = np.frombuffer(base64.b64decode(text.partition(",")[2]), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.uint8)


def shrunk(name: str, text: str, area: int) -> str:
    """A picture with so many pixels at most; grids stay as they are.

    Args:
        name: Which picture it is.
        text: Its data URI.
        area: Pixels at most.
    """
    if name in GRIDS:
        return text
    picture = picture_of(text)
    size = size_within(picture.shape[1], picture.shape[0], area)
    if size == (picture.shape[1], picture.shape[0]):
        return text
    if name in LABELS:
        small = cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST)
        return indexed_uri(*palette_of(np.asarray(small[:, :, 2::-1], np.uint8)))
    small = reduced(picture, size)
    return uri(bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, GREY_QUALITY])[1]), "jpeg")
