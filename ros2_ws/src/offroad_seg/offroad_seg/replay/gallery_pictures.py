# SPDX-License-Identifier: Apache-2.0
"""One frame's small pictures as data URIs: drawn once, and made smaller where the report's size asks for it."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.replay.annotated import encode_jpeg

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology

    U8 = NDArray[np.uint8]

AREA = 480 * 300
"""Pixels of a picture at most, whatever its shape: so the bytes of a frame are bounded."""
LABELS = ("prediction", "truth")
GRIDS = ("costmap", "true_costmap")
JPEG_QUALITY = 80
GREY_QUALITY = 70


def size_within(width: int, height: int, area: int = AREA) -> tuple[int, int]:
    """(width, height) of the same shape with so many pixels at most; never larger than it is."""
    scale = min(1.0, math.sqrt(area / (width * height)))
    return max(1, int(width * scale)), max(1, int(height * scale))


def color_uri(rgb_HWC: U8, size: tuple[int, int]) -> str:
    """A camera image as JPEG."""
    small = cv2.resize(rgb_HWC, size, interpolation=cv2.INTER_AREA)
    return uri(encode_jpeg(np.asarray(small, np.uint8), JPEG_QUALITY), "jpeg")


def labels_uri(labels_HW: U8, size: tuple[int, int], ontology: Ontology) -> str:
    """Class ids in the ontology's colours, without loss: the page reads the classes from them."""
    small = cv2.resize(labels_HW, size, interpolation=cv2.INTER_NEAREST)
    return png_uri(cv2.cvtColor(ontology.colorize(np.asarray(small, np.uint8)), cv2.COLOR_RGB2BGR))


def grey_uri(values_HW: U8, size: tuple[int, int]) -> str:
    """One number a pixel as grey JPEG."""
    small = cv2.resize(values_HW, size, interpolation=cv2.INTER_AREA)
    return uri(bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, GREY_QUALITY])[1]), "jpeg")


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
        return png_uri(np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST), np.uint8))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return uri(bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, GREY_QUALITY])[1]), "jpeg")
