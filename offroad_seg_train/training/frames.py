# SPDX-License-Identifier: Apache-2.0
"""Labelled frames at the size that training cuts its views from, kept in memory where they fit."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from offroad_seg.progress import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from offroad_seg.image import Letterbox
    from offroad_seg_train.data.dataset import SegmentationDataset

    U8 = NDArray[np.uint8]
    I64 = NDArray[np.int64]

log = logging.getLogger(__name__)

_GIB = 1 << 30
_CHUNK = 64 << 20


class Frames:
    """Frames at source size, from memory where they fit.

    Args:
        dataset: The frames on disk.
        letterbox: The network's size.
        cache_gib: Read all frames now and keep them if they take no more than this.
        source_scale: Size that frames are kept at, relative to the network's; never larger than the file. 0 keeps the
            file's own size.
        show: Show progress while reading.

    Attributes:
        cached: All frames are in memory.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        letterbox: Letterbox,
        cache_gib: float,
        source_scale: float = 1.0,
        *,
        show: bool = True,
    ) -> None:
        self.dataset = dataset
        self.letterbox = letterbox
        self.source_scale = source_scale
        self.names: Sequence[str] = dataset.names
        self._counts_NC: I64 | None = None
        self._memory = self._fill(cache_gib * _GIB, show=show)
        self.cached = self._memory is not None

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[U8, U8]:
        """uint8 RGB (h, w, 3) and uint8 class ids (h, w), without padding; never change them in place."""
        return self._read(index) if self._memory is None else self._memory[index]

    def class_counts(self, n_classes: int, *, show: bool = True) -> I64:
        """Labelled pixels of each class in each frame, int64 (N, C); counted once."""
        if self._counts_NC is None or self._counts_NC.shape[1] != n_classes:
            self._counts_NC = np.zeros((len(self), n_classes), np.int64)
            rows = range(len(self))
            for i in progress(rows, what="counting classes", unit="image", show=show and not self.cached):
                self._counts_NC[i] = np.bincount(self[i][1].ravel(), minlength=256)[:n_classes]
        return self._counts_NC

    def count_pixels(self, n_classes: int, *, show: bool = True) -> list[int]:
        """Labelled pixels of each class over all frames."""
        return [int(count) for count in self.class_counts(n_classes, show=show).sum(axis=0)]

    def _read(self, index: int) -> tuple[U8, U8]:
        image_HWC, labels_HW = self.dataset.read(index)
        height, width = source_size(self.letterbox, self.source_scale, *labels_HW.shape)
        if (height, width) == labels_HW.shape:
            return image_HWC, labels_HW
        # The same filters as the letterbox: at scale 1 this is what the vehicle sees.
        return (
            cv2.resize(image_HWC, (width, height), interpolation=cv2.INTER_LINEAR),
            cv2.resize(labels_HW, (width, height), interpolation=cv2.INTER_NEAREST_EXACT),
        )

    def _fill(self, limit: float, *, show: bool) -> MemoryStore | None:
        """All frames in memory, or None where they take more than ``limit`` bytes."""
        n = len(self)
        if n == 0 or limit == 0:
            return None
        store = MemoryStore()
        for i in progress(range(n), what="reading images", total=n, unit="image", show=show):
            store.append(*self._read(i))
            # The first frame tells about all of them where they have one size.
            expected = store.nbytes * n if i == 0 else store.nbytes
            if expected > limit:
                log.info(
                    "%d images take more than data.cache_gib (%.3g GiB): they are read anew every epoch",
                    n,
                    limit / _GIB,
                )
                return None
        return store


class MemoryStore:
    """Frames of any size, packed into few large blocks of memory, which worker processes share."""

    def __init__(self) -> None:
        self.nbytes = 0
        self._chunks: list[torch.Tensor] = []
        self._used = 0
        self._places: list[tuple[int, int, int, int]] = []

    def append(self, image_HWC: U8, labels_HW: U8) -> None:
        """Keep a copy of one more frame."""
        height, width = labels_HW.shape
        size = height * width * 4
        if not self._chunks or self._used + size > len(self._chunks[-1]):
            self._chunks.append(torch.empty(max(size, _CHUNK), dtype=torch.uint8))
            self._used = 0
        self._places.append((len(self._chunks) - 1, self._used, height, width))
        self._used += size
        self.nbytes += size
        image, labels = self[len(self._places) - 1]
        image[:], labels[:] = image_HWC, labels_HW

    def __getitem__(self, index: int) -> tuple[U8, U8]:
        """Views of one frame's pixels."""
        chunk, start, height, width = self._places[index]
        return unpack(self._chunks[chunk].numpy()[start : start + height * width * 4], height, width)


def unpack(block: U8, height: int, width: int) -> tuple[U8, U8]:
    """Image (h, w, 3) and labels (h, w) that lie behind each other in a flat block."""
    pixels = height * width
    return block[: 3 * pixels].reshape(height, width, 3), block[3 * pixels :].reshape(height, width)


def source_size(letterbox: Letterbox, source_scale: float, height: int, width: int) -> tuple[int, int]:
    """(height, width) that a file of a size is kept at; see ``Frames``."""
    if source_scale == 0:
        return height, width
    place = letterbox.geometry(height, width)
    return min(height, round(place.height * source_scale)), min(width, round(place.width * source_scale))
