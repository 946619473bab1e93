# SPDX-License-Identifier: Apache-2.0
"""The letterbox on the GPU: the same bytes as ``Letterbox.apply``, for an image that went up once, as it is.

Weights and places are worked out here, once for each size of image, and the kernel (``kernels/image.cu``) has only
integers left to add. So it cannot drift from what the network was trained on.
"""

from __future__ import annotations

from ctypes import c_int, c_uint64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from offroad_seg.engines.cuda import DeviceBuffer, Kernels, PinnedArray
from offroad_seg.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offroad_seg.engines.cuda import Gpu, Stream
    from offroad_seg.image import Letterbox

    U8 = NDArray[np.uint8]

_PTX = Path(__file__).with_name("kernels") / "image.ptx"
_ONE = 2048  # a weight of 1: 11 bits, OpenCV's INTER_RESIZE_COEF_SCALE
_BLOCK = (32, 8)
_NARROW_BLOCK = 256


def resize_table(source: int, target: int, *, clamp: bool) -> NDArray[np.int32]:
    """Which two source pixels make each target pixel along one axis, and how much of each.

    As ``cv::resize`` with INTER_LINEAR for 8-bit images (OpenCV 4, ``imgproc/src/resize.cpp``): pixel centres, weights
    in float32 rounded to 11 bits. Across a row (``clamp``) a weight that would reach beyond the border is 0; down a
    column the border pixel is taken twice instead.

    Args:
        source: Pixels of the source.
        target: Pixels of the result.
        clamp: True across a row (x), false down a column (y).

    Returns:
        int32 (target, 4): index, index, weight, weight; the weights' sum is 2048, or off by one by rounding.
    """
    scale = 1.0 / (target / source)
    exact = ((np.arange(target) + 0.5) * scale - 0.5).astype(np.float32)
    first = np.floor(exact).astype(np.int64)
    part = (exact - first.astype(np.float32)).astype(np.float32)
    if clamp:
        outside = (first < 0) | (first >= source - 1)
        part[outside] = 0.0
        first = np.clip(first, 0, source - 1)
    table = np.empty((target, 4), np.int32)
    table[:, 0] = np.clip(first, 0, source - 1)
    table[:, 1] = np.clip(first + 1, 0, source - 1)
    table[:, 2] = np.rint((np.float32(1.0) - part) * np.float32(_ONE))
    table[:, 3] = np.rint(part * np.float32(_ONE))
    return table


class GpuLetterbox:
    """Brings images of one size at a time to the network's input.

    Args:
        gpu: Where.
        letterbox: How.
    """

    def __init__(self, gpu: Gpu, letterbox: Letterbox) -> None:
        self._gpu, self._letterbox = gpu, letterbox
        self._kernels = Kernels(gpu, _PTX.read_bytes())
        self._size = (0, 0)
        self._staging: PinnedArray | None = None
        self._image: DeviceBuffer | None = None
        self._table: DeviceBuffer | None = None
        self._arguments: tuple[Any, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images that it is set up for."""
        return self._size

    def set_size(self, height: int, width: int, stream: Stream) -> None:
        """Set it up for images of another size.

        Raises:
            ImageError: The image is empty.
            GpuMemoryError: There is no room for it.
        """
        place = self._letterbox.geometry(height, width)
        self._free()
        across = resize_table(width, place.width, clamp=True)
        down = resize_table(height, place.height, clamp=False)
        # OpenCV takes the mean of four pixels where both sides are halved exactly.
        halve = (height, width) == (2 * place.height, 2 * place.width)
        if halve:
            for table in (across, down):
                table[:, 0] = 2 * np.arange(len(table))
                table[:, 1] = table[:, 0] + 1
        entries = np.concatenate((across, down))
        self._staging = PinnedArray(self._gpu, (height, width, 3), np.uint8)
        self._image = DeviceBuffer(self._gpu, self._staging.nbytes)
        self._table = DeviceBuffer(self._gpu, entries.nbytes)
        staged = PinnedArray(self._gpu, entries.shape, np.int32)
        staged.array[:] = entries
        stream.upload(self._table, staged)
        stream.synchronize()
        staged.close()
        box = self._letterbox
        self._arguments = tuple(
            c_int(v)
            for v in (
                width,
                box.height,
                box.width,
                place.height,
                place.width,
                place.top,
                place.left,
                box.pad_value,
                int(halve),
            )
        )
        self._size = (height, width)

    def stage(self, image_HWC: U8) -> None:
        """Put an image into the memory from which the GPU takes it.

        Raises:
            ImageError: Not uint8 RGB of the size that was set.
        """
        staging = self._staging
        if staging is None or image_HWC.dtype != np.uint8 or image_HWC.shape != staging.array.shape:
            raise ImageError(
                f"the image is {image_HWC.dtype} {image_HWC.shape}, not uint8 {(*self._size, 3)}"
            )
        np.copyto(staging.array, image_HWC)

    def enqueue(self, target: DeviceBuffer, stream: Stream) -> None:
        """Put upload and letterbox of the staged image into a stream.

        Args:
            target: The network's input, uint8 [1, H, W, 3].
            stream: The queue.
        """
        assert self._staging is not None
        assert self._image is not None
        assert self._table is not None
        stream.upload(self._image, self._staging)
        box = self._letterbox
        grid = (-(-box.width // _BLOCK[0]), -(-box.height // _BLOCK[1]))
        addresses = (c_uint64(b.address) for b in (self._image, target, self._table))
        self._kernels.launch("letterbox", grid, _BLOCK, stream, *addresses, *self._arguments)

    def enqueue_narrow(self, source: DeviceBuffer, target: DeviceBuffer, stream: Stream) -> None:
        """Put the change of whole numbers in half precision to bytes into a stream; ``target`` says how many."""
        count = target.nbytes
        grid = (-(-count // _NARROW_BLOCK), 1)
        arguments = (c_uint64(source.address), c_uint64(target.address), c_int(count))
        self._kernels.launch("narrow", grid, (_NARROW_BLOCK, 1), stream, *arguments)

    def close(self) -> None:
        """Free everything; safe to call twice."""
        self._free()
        self._kernels.close()

    def _free(self) -> None:
        for held in (self._staging, self._image, self._table):
            if held is not None:
                held.close()
        self._staging = self._image = self._table = None
        self._size = (0, 0)
