# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs → numpy, with every check that keeps a bad message from being read as a good image.

Nothing here imports ROS: a message is anything with the fields of its type, so the node (rclpy), replay
(rosbags) and tests use the same code, and one image gives the same pixels on every way in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from offroad_seg.camera import CameraModel
from offroad_seg.errors import CameraError, ImageError
from offroad_seg.image_bytes import byte_rows, message_bytes, sample_rows
from offroad_seg.rare_encodings import BYTE_ENCODINGS, WORD_ENCODINGS, convert, high_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.image_bytes import ImageLike

# Encoding → (channels, OpenCV conversion to RGB; None = the bytes are RGB already).
_DIRECT: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
}

# Encoding → (dtype, metres a unit), as REP-118.
_DEPTH: dict[str, tuple[type, float]] = {"32FC1": (np.float32, 1.0), "16UC1": (np.uint16, 0.001)}

_PIXEL_BYTES = {
    **{name: channels for name, (channels, _) in _DIRECT.items()},
    **BYTE_ENCODINGS,
    **WORD_ENCODINGS,
}

ENCODINGS = tuple(_PIXEL_BYTES)
"""Encodings of colour images that are accepted."""


class HeaderLike(Protocol):
    """std_msgs/Header."""

    stamp: Any
    frame_id: str


class CompressedImageLike(Protocol):
    """sensor_msgs/CompressedImage."""

    header: Any
    format: str
    data: Any


def stamp_ns(header: HeaderLike) -> int:
    """The header's stamp in nanoseconds."""
    return joined_ns(int(header.stamp.sec), int(header.stamp.nanosec))


def joined_ns(seconds: int, nanoseconds: int) -> int:
    """Nanoseconds of a time as messages have it: whole seconds, and the rest."""
    return seconds * 1_000_000_000 + nanoseconds


def split_ns(stamp: int) -> tuple[int, int]:
    """``joined_ns`` undone: whole seconds, and the rest of a second in nanoseconds (0 to 999,999,999)."""
    return divmod(stamp, 1_000_000_000)


def image_to_rgb(msg: ImageLike) -> NDArray[np.uint8]:
    """A colour image as uint8 RGB, shape (H, W, 3), C-contiguous.

    For tightly packed rgb8 it is a view of the message's own bytes: do not write into it.

    Raises:
        ImageError: The encoding is not known, or size, ``step`` and data length do not agree.
    """
    encoding = msg.encoding
    if encoding in _DIRECT:
        channels, conversion = _DIRECT[encoding]
        rows = sample_rows(msg, channels, np.uint8)
        image = rows.reshape(len(rows), -1, channels)  # a view even of padded rows
        if conversion is None:
            return np.ascontiguousarray(image)
        return np.asarray(cv2.cvtColor(image, conversion), np.uint8)
    if encoding in BYTE_ENCODINGS:
        return convert(msg)
    if encoding in WORD_ENCODINGS:
        return image_to_rgb(high_bytes(msg))
    raise _not_accepted(encoding)


def check_image(msg: Any) -> None:
    """Whether an Image or CompressedImage can be one at all: what shows without converting or decoding it.

    Raises:
        ImageError: As ``image_to_rgb``; for CompressedImage only if there are no bytes.
    """
    if not hasattr(msg, "encoding"):
        if len(msg.data) == 0:
            raise ImageError("compressed image without data", where="data")
        return
    if msg.encoding not in _PIXEL_BYTES:
        raise _not_accepted(msg.encoding)
    byte_rows(msg, _PIXEL_BYTES[msg.encoding])


def compressed_to_rgb(msg: CompressedImageLike) -> NDArray[np.uint8]:
    """A JPEG or PNG of sensor_msgs/CompressedImage as uint8 RGB, shape (H, W, 3).

    Raises:
        ImageError: It is a depth image, or the bytes are no picture that OpenCV can decode.
    """
    if "compressedDepth" in msg.format:
        raise ImageError(
            f"'{msg.format}' is a compressed depth image", where="format", mend="subscribe to a colour topic"
        )
    data = message_bytes(msg.data)
    if data.size == 0:
        raise ImageError("compressed image without data", where="data")
    try:
        # IGNORE_ORIENTATION: an EXIF flag must not turn the image away from its CameraInfo.
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ImageError(
            f"the picture cannot be decoded: {error.err}", where=f"format '{msg.format}'"
        ) from None
    if bgr is None:
        raise ImageError(
            f"the {data.size} bytes are no picture that can be decoded",
            where=f"format '{msg.format}'",
            mend="publish jpeg or png",
        )
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def check_depth(msg: ImageLike) -> None:
    """Whether an Image can be a depth image at all: what shows without converting it.

    Raises:
        ImageError: As ``depth_to_metres``.
    """
    if msg.encoding not in _DEPTH:
        mend = f"publish one of: {', '.join(_DEPTH)}"
        raise ImageError(f"depth encoding '{msg.encoding}' is not accepted", where="encoding", mend=mend)
    byte_rows(msg, np.dtype(_DEPTH[msg.encoding][0]).itemsize)


def depth_samples(msg: ImageLike) -> NDArray[Any]:
    """A depth image as it is: float32 metres (32FC1) or uint16 millimetres (16UC1), shape (H, W).

    It is a view of the message's own bytes where its rows are tight and its byte order is this machine's.

    Raises:
        ImageError: As ``depth_to_metres``.
    """
    check_depth(msg)
    dtype, _ = _DEPTH[msg.encoding]
    return sample_rows(msg, np.dtype(dtype).itemsize, dtype)


def depth_to_metres(msg: ImageLike) -> NDArray[np.float32]:
    """A depth image (32FC1 metres or 16UC1 millimetres) as float32 metres, shape (H, W), NaN where invalid.

    Raises:
        ImageError: Another encoding, or size, ``step`` and data length do not agree.
    """
    depth = depth_samples(msg).astype(np.float32)
    depth *= np.float32(_DEPTH[msg.encoding][1])
    # REP-118: 0 (integers), NaN and infinities carry no measurement that a projector could use.
    depth[~np.isfinite(depth) | (depth <= 0)] = np.nan
    return depth


def camera_from_info(msg: Any, image_size: tuple[int, int] | None = None) -> CameraModel:
    """The camera model of a sensor_msgs/CameraInfo, ROI and binning applied.

    Args:
        msg: The message; the fields ``d``, ``k``, ``roi`` as in ROS 2.
        image_size: (height, width) of the image that it must fit, where that is known.

    Raises:
        CameraError: Numbers are not finite, a focal length is not positive, the model is not known, the size
            does not fit, or there is no frame_id.
    """
    if not msg.header.frame_id:
        raise CameraError("CameraInfo without a frame_id", mend="set frame_id in the camera driver")
    binning, roi = (int(msg.binning_x), int(msg.binning_y)), msg.roi
    return CameraModel.from_info(
        int(msg.width),
        int(msg.height),
        str(msg.distortion_model),
        [float(v) for v in msg.d],
        [float(v) for v in msg.k],
        binning=binning,
        roi=(int(roi.x_offset), int(roi.y_offset), int(roi.width), int(roi.height)),
        image_size=image_size,
    )


def _not_accepted(encoding: str) -> ImageError:
    return ImageError(
        f"image encoding '{encoding}' is not accepted",
        where="encoding",
        mend=f"publish one of: {', '.join(ENCODINGS)}",
    )
