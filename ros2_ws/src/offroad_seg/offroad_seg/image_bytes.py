# SPDX-License-Identifier: Apache-2.0
"""The bytes of a sensor_msgs/Image as rows of samples, once size, ``step`` and length were seen to agree."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from offroad_seg.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ImageLike(Protocol):
    """sensor_msgs/Image; ``data`` is anything with the buffer protocol (array.array, ndarray, bytes)."""

    header: Any
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any


def message_bytes(data: Any) -> NDArray[np.uint8]:
    """The ``data`` of a message, as a view where it has the buffer protocol."""
    try:
        return np.frombuffer(data, np.uint8)
    except (TypeError, ValueError):  # not a buffer, or an empty one
        return np.asarray(list(data), np.uint8) if len(data) else np.zeros(0, np.uint8)


def byte_rows(msg: ImageLike, pixel_bytes: int) -> NDArray[np.uint8]:
    """The image's bytes without padding, as a view of shape (H, bytes a row).

    Raises:
        ImageError: Size, ``step`` and data length do not agree.
    """
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
    data = message_bytes(msg.data)
    if data.size != height * step:
        raise ImageError(
            f"{data.size} bytes of data, but {height} rows of {step} bytes are {height * step}",
            where="data",
            mend="publish data of height × step bytes",
        )
    return data.reshape(height, step)[:, :used]


def sample_rows(msg: ImageLike, pixel_bytes: int, dtype: type) -> NDArray[Any]:
    """The image's samples, shape (H, samples a row), in native byte order; a view where that is possible.

    Raises:
        ImageError: As ``byte_rows``.
    """
    rows = byte_rows(msg, pixel_bytes)
    item = np.dtype(dtype)
    if item.itemsize == 1:
        return rows
    samples = np.ascontiguousarray(rows).view(item)
    if bool(msg.is_bigendian) != (sys.byteorder == "big"):
        samples = samples.byteswap()
    return samples
