# SPDX-License-Identifier: Apache-2.0
"""Labelled frames at the size that training cuts its views from, and where they are kept."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.errors import InputError
from offroad_seg.progress import progress
from offroad_seg_train.training.frame_store import (
    BYTES_PER_PIXEL,
    DiskStore,
    MemoryStore,
    default_folder,
    open_store,
    store_name,
    write_store,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.image import Letterbox
    from offroad_seg_train.data.dataset import SegmentationDataset

    U8 = NDArray[np.uint8]
    I64 = NDArray[np.int64]

log = logging.getLogger(__name__)

CACHES = ("auto", "none", "memory", "disk")
_GIB = 1 << 30
# Of all memory; the rest is for the network and everybody else.
_MEMORY_SHARE = 0.8


class Frames:
    """Frames at source size, decoded anew each time or once for all.

    Args:
        dataset: The frames on disk.
        letterbox: The network's size.
        cache_gib: With ``auto``, the most that is kept in memory.
        source_scale: Size that frames are kept at, relative to the network's; never larger than the file. 0 keeps the
            file's own size.
        cache: ``none`` decodes each time; ``memory`` reads all frames now and keeps them; ``disk`` keeps the decoded
            pixels in a file, for later runs too; ``auto`` is memory where they fit into ``cache_gib``, else none.
        cache_dir: Where ``disk`` keeps them; None for the user's cache folder.
        show: Show progress while reading.

    Attributes:
        cached: Frames need not be decoded any more.
        nbytes: Size of all frames at source size, from the first one.

    Raises:
        InputError: There is no such cache, or frames do not fit into this machine's memory.
        DataError: A frame cannot be read, or the disk is full.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        letterbox: Letterbox,
        cache_gib: float,
        source_scale: float = 1.0,
        *,
        cache: str = "auto",
        cache_dir: Path | None = None,
        show: bool = True,
    ) -> None:
        if cache not in CACHES:
            raise InputError(f"no cache '{cache}'", where="data.cache", mend=f"one of: {', '.join(CACHES)}")
        self.dataset = dataset
        self.letterbox = letterbox
        self.source_scale = source_scale
        self.names: Sequence[str] = dataset.names
        self.nbytes = 0
        self._show = show
        self._counts_NC: I64 | None = None
        self._store: MemoryStore | DiskStore | None = None
        if len(self) and cache == "disk":
            self._store = self._on_disk(cache_dir or default_folder())
        elif len(self) and (cache == "memory" or (cache == "auto" and cache_gib > 0)):
            self._store = self._in_memory(cache_gib * _GIB if cache == "auto" else None)
        self.cached = self._store is not None

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[U8, U8]:
        """uint8 RGB (h, w, 3) and uint8 class ids (h, w), without padding; never change them in place."""
        return self._read(index) if self._store is None else self._store[index]

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
        self.nbytes = self.nbytes or height * width * BYTES_PER_PIXEL * len(self)
        if (height, width) == labels_HW.shape:
            return image_HWC, labels_HW
        # The same filters as the letterbox: at scale 1 this is what the vehicle sees.
        return (
            cv2.resize(image_HWC, (width, height), interpolation=cv2.INTER_LINEAR),
            cv2.resize(labels_HW, (width, height), interpolation=cv2.INTER_NEAREST_EXACT),
        )

    def _all(self) -> Iterable[tuple[U8, U8]]:
        rows = progress(
            range(len(self)), what="reading images", total=len(self), unit="image", show=self._show
        )
        return (self._read(i) for i in rows)

    def _in_memory(self, limit: float | None) -> MemoryStore | None:
        """All frames; None where they take more than ``limit`` bytes.

        Raises:
            InputError: There is no limit, and they take more than the machine has.
        """
        store = MemoryStore()
        for image_HWC, labels_HW in self._all():
            store.append(image_HWC, labels_HW)
            # The first frame tells about all of them where they have one size.
            expected = max(self.nbytes, store.nbytes)
            if limit is not None and expected > limit:
                log.info(
                    "%d images take %.1f GiB, more than data.cache_gib: they are decoded anew every epoch; "
                    "data.cache=disk or memory keeps them",
                    len(self),
                    expected / _GIB,
                )
                return None
            if limit is None and expected > _MEMORY_SHARE * _all_memory():
                raise InputError(
                    f"{len(self)} images take {expected / _GIB:.1f} GiB of {_all_memory() / _GIB:.1f} GiB of memory",
                    where="data.cache",
                    mend="data.cache=disk, or a smaller data.source_scale",
                )
        return store

    def _on_disk(self, folder: Path) -> DiskStore:
        dataset, box = self.dataset, self.letterbox
        what = {
            "letterbox": [box.height, box.width],
            "source_scale": self.source_scale,
            "ontology": dataset.ontology.to_dict(),
            "opencv": cv2.__version__,
        }
        name = store_name(what, (path for pair in dataset.pairs for path in (pair.image, pair.mask)))
        store = open_store(folder / name) or write_store(folder / name, self._all(), len(self))
        self.nbytes = store.nbytes
        log.info("%d decoded images (%.1f GiB) in %s", len(self), store.nbytes / _GIB, store.folder)
        return store


def source_size(letterbox: Letterbox, source_scale: float, height: int, width: int) -> tuple[int, int]:
    """(height, width) that a file of a size is kept at; see ``Frames``."""
    if source_scale == 0:
        return height, width
    place = letterbox.geometry(height, width)
    return min(height, round(place.height * source_scale)), min(width, round(place.width * source_scale))


def _all_memory() -> float:
    """Bytes of this machine's memory; infinite where the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return float("inf")
