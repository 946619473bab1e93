# SPDX-License-Identifier: Apache-2.0
"""Colour encodings that few cameras send, through a converter that others keep; whole rows of one plane only."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.errors import ImageError
from offroad_seg.image_bytes import sample_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.image_bytes import ImageLike

_BAYER = ("rggb", "bggr", "gbrg", "grbg")
_YUV = ("uyvy", "yuv422", "yuyv", "yuv422_yuy2")

BYTE_ENCODINGS: dict[str, int] = {**{f"bayer_{order}8": 1 for order in _BAYER}, **dict.fromkeys(_YUV, 2)}
"""Of 8-bit samples → bytes a pixel."""

WORD_ENCODINGS: dict[str, int] = {
    **{f"bayer_{order}16": 2 for order in _BAYER},
    "mono16": 2,
    "rgb16": 6,
    "bgr16": 6,
    "rgba16": 8,
    "bgra16": 8,
}
"""Of 16-bit samples → bytes a pixel."""


def convert(msg: ImageLike) -> NDArray[np.uint8]:
    """An image of ``BYTE_ENCODINGS`` as RGB, by cv_bridge where a distribution has it, else by rosbags-image.

    Raises:
        ImageError: Size, ``step`` and data length do not agree or do not suit the encoding, or there is no converter.
    """
    samples = sample_rows(msg, BYTE_ENCODINGS[msg.encoding], np.uint8)
    height, width = int(msg.height), int(msg.width)
    if msg.encoding not in _YUV and (height < 2 or width < 2):
        raise ImageError(f"a {width}×{height} Bayer image has no colours", where="width, height")
    if msg.encoding in _YUV and width % 2:
        raise ImageError(f"{msg.encoding} needs an even width, not {width}", where="width")
    try:
        return np.ascontiguousarray(_converter()(_tight(msg, msg.encoding, samples)), np.uint8)
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001 – two foreign converters, each with its own errors
        raise ImageError(
            f"{msg.encoding} could not be converted: {error}", where="encoding", mend="publish rgb8 or bgr8"
        ) from None


def high_bytes(msg: ImageLike) -> SimpleNamespace:
    """The 8-bit image of an image of ``WORD_ENCODINGS``: of every sample its high byte.

    Raises:
        ImageError: Size, ``step`` and data length do not agree.
    """
    samples = sample_rows(msg, WORD_ENCODINGS[msg.encoding], np.uint16)
    return _tight(msg, msg.encoding.replace("16", "8"), (samples >> 8).astype(np.uint8))


def _tight(msg: ImageLike, encoding: str, rows: NDArray[np.uint8]) -> SimpleNamespace:
    """A message of rows without padding."""
    return SimpleNamespace(
        header=msg.header,
        height=int(msg.height),
        width=int(msg.width),
        encoding=encoding,
        is_bigendian=int(sys.byteorder == "big"),
        step=rows.shape[1],
        data=np.ascontiguousarray(rows).tobytes(),
    )


def _converter() -> Any:
    try:
        from cv_bridge import CvBridge  # a distribution has it, the wheels do not

        bridge = CvBridge()
        return lambda msg: bridge.imgmsg_to_cv2(msg, "rgb8")
    except ImportError:
        pass
    try:
        from rosbags.image import image_to_cvimage
    except ImportError:
        raise ImageError(
            "no converter for this encoding is installed",
            where="encoding",
            mend="install ros-$ROS_DISTRO-cv-bridge, or pip install rosbags-image; or publish rgb8",
        ) from None
    return lambda msg: image_to_cvimage(msg, "rgb8")
