# SPDX-License-Identifier: Apache-2.0
"""The letterbox on the GPU: the same bytes as ``Letterbox.apply``, for an image that went up once, as it is.

Weights and places are worked out here, once for each size of image, and the kernel (``kernels/image.cu``) has only
integers left to add. So it cannot drift from what the network was trained on.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from ctypes import c_int, c_uint64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
MAX_SIZES = 8
"""So many sizes of image are kept ready, the most recently used: a size for each camera."""


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


@dataclass(frozen=True)
class _Place:
    """What images of one size need on the way to the GPU: taken once, kept."""

    staging: PinnedArray
    image: DeviceBuffer
    table: DeviceBuffer
    arguments: tuple[c_int, ...]

    def close(self) -> None:
        for held in (self.staging, self.image, self.table):
            held.close()


class GpuLetterbox:
    """Brings images to the network's input; what a size of image needs is kept, for several cameras.

    Args:
        gpu: Where.
        letterbox: How.
    """

    def __init__(self, gpu: Gpu, letterbox: Letterbox) -> None:
        self._gpu, self._letterbox = gpu, letterbox
        self._kernels = Kernels(gpu, _PTX.read_bytes())
        self._places: dict[tuple[int, int], _Place] = {}  # the one that was used last is the last
        self._size = (0, 0)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images that it is set up for."""
        return self._size

    def set_size(self, height: int, width: int, stream: Stream) -> tuple[int, int] | None:
        """Set it up for images of another size.

        Returns:
            A size that it is no longer prepared for, because there were too many: work that was recorded for it must
            not be launched again.

        Raises:
            ImageError: The image is empty.
            GpuMemoryError: There is no room for it.
        """
        size = (height, width)
        dropped = None
        if size in self._places:
            place = self._places.pop(size)
        else:
            place = self._prepare(height, width, stream)
            if len(self._places) == MAX_SIZES:
                dropped = next(iter(self._places))
                self._places.pop(dropped).close()
        self._places[size] = place
        self._size = size
        return dropped

    def stage(self, image_HWC: U8) -> None:
        """Put an image into the memory from which the GPU takes it.

        Raises:
            ImageError: Not uint8 RGB of the size that was set.
        """
        place = self._places.get(self._size)
        if place is None or image_HWC.dtype != np.uint8 or image_HWC.shape != place.staging.array.shape:
            raise ImageError(
                f"the image is {image_HWC.dtype} {image_HWC.shape}, not uint8 {(*self._size, 3)}"
            )
        np.copyto(place.staging.array, image_HWC)

    def enqueue(self, target: DeviceBuffer, stream: Stream) -> None:
        """Put upload and letterbox of the staged image into a stream.

        Args:
            target: The network's input, uint8 [1, H, W, 3].
            stream: The queue.
        """
        place = self._places[self._size]
        stream.upload(place.image, place.staging)
        box = self._letterbox
        grid = (-(-box.width // _BLOCK[0]), -(-box.height // _BLOCK[1]))
        addresses = (c_uint64(b.address) for b in (place.image, target, place.table))
        self._kernels.launch("letterbox", grid, _BLOCK, stream, *addresses, *place.arguments)

    def enqueue_narrow(self, source: DeviceBuffer, target: DeviceBuffer, stream: Stream) -> None:
        """Put the change of whole numbers in half precision to bytes into a stream; ``target`` says how many."""
        count = target.nbytes
        grid = (-(-count // _NARROW_BLOCK), 1)
        arguments = (c_uint64(source.address), c_uint64(target.address), c_int(count))
        self._kernels.launch("narrow", grid, (_NARROW_BLOCK, 1), stream, *arguments)

    def close(self) -> None:
        """Free everything; safe to call twice."""
        for place in self._places.values():
            place.close()
        self._places.clear()
        self._size = (0, 0)
        self._kernels.close()

    def _prepare(self, height: int, width: int, stream: Stream) -> _Place:
        place = self._letterbox.geometry(height, width)
        across = resize_table(width, place.width, clamp=True)
        down = resize_table(height, place.height, clamp=False)
        # OpenCV takes the mean of four pixels where both sides are halved exactly.
        halve = (height, width) == (2 * place.height, 2 * place.width)
        if halve:
            for table in (across, down):
                table[:, 0] = 2 * np.arange(len(table))
                table[:, 1] = table[:, 0] + 1
        entries = np.concatenate((across, down))
        box = self._letterbox
        numbers = (width, box.height, box.width, place.height, place.width, place.top, place.left)
        with ExitStack() as held:
            staging = held.enter_context(closing(PinnedArray(self._gpu, (height, width, 3), np.uint8)))
            image = held.enter_context(closing(DeviceBuffer(self._gpu, staging.nbytes)))
            on_gpu = held.enter_context(closing(DeviceBuffer(self._gpu, entries.nbytes)))
            with closing(PinnedArray(self._gpu, entries.shape, np.int32)) as staged:
                staged.array[:] = entries
                stream.upload(on_gpu, staged)
                stream.synchronize()
            held.pop_all()  # all was taken: nothing is given back
        return _Place(staging, image, on_gpu, tuple(c_int(v) for v in (*numbers, box.pad_value, int(halve))))
