# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs → numpy, with every check that keeps a bad message from being read as a good image.

Nothing here imports ROS: a message is anything with the fields of its type, so the node (rclpy), replay
(rosbags) and tests use the same code, and one image gives the same pixels on every way in.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from offroad_seg.camera import CameraModel
from offroad_seg.errors import CameraError, ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Encoding → (channels, OpenCV conversion to RGB; None = the bytes are RGB already).
_DIRECT: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
}

# Encoding → (bytes a pixel, bytes a sample). These go through a kept converter; whole rows of one plane only.
_CONVERTED: dict[str, tuple[int, int]] = {
    **{f"bayer_{order}8": (1, 1) for order in ("rggb", "bggr", "gbrg", "grbg")},
    **{f"bayer_{order}16": (2, 2) for order in ("rggb", "bggr", "gbrg", "grbg")},
    **dict.fromkeys(("uyvy", "yuv422", "yuyv", "yuv422_yuy2"), (2, 1)),
    "mono16": (2, 2),
    "rgb16": (6, 2),
    "bgr16": (6, 2),
    "rgba16": (8, 2),
    "bgra16": (8, 2),
}

# Encoding → (dtype, metres a unit), as REP-118.
_DEPTH: dict[str, tuple[type, float]] = {"32FC1": (np.float32, 1.0), "16UC1": (np.uint16, 0.001)}

ENCODINGS = tuple(_DIRECT) + tuple(_CONVERTED)
"""Encodings of colour images that are accepted."""


class HeaderLike(Protocol):
    """std_msgs/Header."""

    stamp: Any
    frame_id: str


class ImageLike(Protocol):
    """sensor_msgs/Image; ``data`` is anything with the buffer protocol (array.array, ndarray, bytes)."""

    header: Any
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any


class CompressedImageLike(Protocol):
    """sensor_msgs/CompressedImage."""

    header: Any
    format: str
    data: Any


def stamp_ns(header: HeaderLike) -> int:
    """The header's stamp in nanoseconds."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def image_to_rgb(msg: ImageLike) -> NDArray[np.uint8]:
    """A colour image as uint8 RGB, shape (H, W, 3), C-contiguous.

    For tightly packed rgb8 it is a view of the message's own bytes: do not write into it.

    Raises:
        ImageError: The encoding is not known, or size, ``step`` and data length do not agree.
    """
    encoding = msg.encoding
    if encoding in _DIRECT:
        channels, conversion = _DIRECT[encoding]
        rows = _rows(msg, channels, np.uint8)
        image = rows.reshape(len(rows), -1, channels)  # a view even of padded rows
        if conversion is None:
            return np.ascontiguousarray(image)
        return np.asarray(cv2.cvtColor(image, conversion), np.uint8)
    if encoding in _CONVERTED:
        return _convert(msg, *_CONVERTED[encoding])
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
    encoding = msg.encoding
    if encoding in _DIRECT:
        _layout(msg, _DIRECT[encoding][0])
    elif encoding in _CONVERTED:
        _layout(msg, _CONVERTED[encoding][0])
    else:
        raise _not_accepted(encoding)


def compressed_to_rgb(msg: CompressedImageLike) -> NDArray[np.uint8]:
    """A JPEG or PNG of sensor_msgs/CompressedImage as uint8 RGB, shape (H, W, 3).

    Raises:
        ImageError: It is a depth image, or the bytes are no picture that OpenCV can decode.
    """
    if "compressedDepth" in msg.format:
        raise ImageError(
            f"'{msg.format}' is a compressed depth image", where="format", mend="subscribe to a colour topic"
        )
    data = _bytes(msg.data)
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
    _layout(msg, np.dtype(_DEPTH[msg.encoding][0]).itemsize)


def depth_samples(msg: ImageLike) -> NDArray[Any]:
    """A depth image as it is: float32 metres (32FC1) or uint16 millimetres (16UC1), shape (H, W).

    It is a view of the message's own bytes where its rows are tight and its byte order is this machine's.

    Raises:
        ImageError: As ``depth_to_metres``.
    """
    check_depth(msg)
    dtype, _ = _DEPTH[msg.encoding]
    return _rows(msg, np.dtype(dtype).itemsize, dtype)


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


def _bytes(data: Any) -> NDArray[np.uint8]:
    try:
        return np.frombuffer(data, np.uint8)
    except (TypeError, ValueError):  # not a buffer, or an empty one
        return np.asarray(list(data), np.uint8) if len(data) else np.zeros(0, np.uint8)


def _not_accepted(encoding: str) -> ImageError:
    return ImageError(
        f"image encoding '{encoding}' is not accepted",
        where="encoding",
        mend=f"publish one of: {', '.join(ENCODINGS)}",
    )


def _layout(msg: ImageLike, pixel_bytes: int) -> NDArray[np.uint8]:
    """The image's bytes without padding, as a view of shape (H, bytes a row)."""
    height, width, step = int(msg.height), int(msg.width), int(msg.step)
    if height < 1 or width < 1:
        raise ImageError(f"the image is {width}×{height}", where="width, height", mend="publish pixels")
    used = width * pixel_bytes
    if step < used:
        raise ImageError(
            f"step is {step} bytes, but a row of {width} pixels in {msg.encoding} takes {used}",
            where="step",
            mend=f"set step to at least {used}",
        )
    data = _bytes(msg.data)
    if data.size != height * step:
        raise ImageError(
            f"{data.size} bytes of data, but {height} rows of {step} bytes are {height * step}",
            where="data",
            mend="publish data of height × step bytes",
        )
    return data.reshape(height, step)[:, :used]


def _rows(msg: ImageLike, pixel_bytes: int, dtype: type) -> NDArray[Any]:
    """The image's samples, shape (H, samples a row), in native byte order; a view where that is possible."""
    rows = _layout(msg, pixel_bytes)
    item = np.dtype(dtype)
    if item.itemsize == 1:
        return rows
    samples = np.ascontiguousarray(rows).view(item)
    if bool(msg.is_bigendian) != (sys.byteorder == "big"):
        samples = samples.byteswap()
    return samples


def _convert(msg: ImageLike, pixel_bytes: int, sample_bytes: int) -> NDArray[np.uint8]:
    """Rare encodings, through cv_bridge where a distribution has it, else rosbags-image."""
    dtype = np.uint8 if sample_bytes == 1 else np.uint16
    samples = _rows(msg, pixel_bytes, dtype)
    height, width = int(msg.height), int(msg.width)
    tight = SimpleNamespace(
        header=msg.header,
        height=height,
        width=width,
        encoding=msg.encoding,
        is_bigendian=int(sys.byteorder == "big"),
        step=width * pixel_bytes,
        data=np.ascontiguousarray(samples).tobytes(),
    )
    if pixel_bytes == 1 and (height < 2 or width < 2):
        raise ImageError(f"a {width}×{height} Bayer image has no colours", where="width, height")
    if msg.encoding in ("uyvy", "yuv422", "yuyv", "yuv422_yuy2") and width % 2:
        raise ImageError(f"{msg.encoding} needs an even width, not {width}", where="width")
    if sample_bytes == 2:
        return _convert_16(tight, samples)
    try:
        return np.ascontiguousarray(_converter()(tight), np.uint8)
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001 – two foreign converters, each with its own errors
        raise ImageError(
            f"{msg.encoding} could not be converted: {error}", where="encoding", mend="publish rgb8 or bgr8"
        ) from None


def _convert_16(tight: SimpleNamespace, samples: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """16-bit samples keep their high byte; the 8-bit image goes the way of its 8-bit encoding."""
    tight.encoding = tight.encoding.replace("16", "8")
    tight.step //= 2
    tight.data = (samples >> 8).astype(np.uint8).tobytes()
    return image_to_rgb(tight)


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
