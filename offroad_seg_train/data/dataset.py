# SPDX-License-Identifier: Apache-2.0
"""Labelled images as the network is fed: letterboxed uint8 pixels and class ids.

The letterbox comes from ``offroad_seg``, so that training, evaluation and the vehicle see the same pixels;
normalisation is part of the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from offroad_seg.compile.images import read_image
from offroad_seg.errors import DataError, ImageError
from offroad_seg_train.data.layouts import data_ontology, find_layout, list_pairs
from offroad_seg_train.data.reading import encode_mask, read_mask

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from offroad_seg.image import Letterbox
    from offroad_seg.ontology import Ontology
    from offroad_seg_train.data.layouts import Pair

U8 = NDArray[np.uint8]

# Changes (image_HWC, labels_HW) at network size, both uint8, and keeps their sizes.
Augment = Callable[[U8, U8], tuple[U8, U8]]


class SegmentationDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Images and class ids at network size.

    Item ``i`` is ``(image_CHW uint8 RGB, labels_HW int64)``; 255 in the labels is no class or padding.

    Args:
        pairs: The files.
        ontology: What the mask values mean.
        letterbox: Network size.
        augment: Applied after the letterbox, at network size, to each item anew.
        cache: Keep letterboxed pixels in memory (height × width × 4 bytes each); each worker process keeps its own.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        ontology: Ontology,
        letterbox: Letterbox,
        augment: Augment | None = None,
        cache: bool = False,
    ) -> None:
        self.pairs = list(pairs)
        self.ontology = ontology
        self.letterbox = letterbox
        self.augment = augment
        self._cache: dict[int, tuple[U8, U8]] | None = {} if cache else None

    @property
    def names(self) -> list[str]:
        """Names of the frames, in order."""
        return [pair.name for pair in self.pairs]

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """One frame at network size.

        Raises:
            DataError: Its files cannot be used.
            OntologyError: Its mask holds unknown values.
        """
        image_HWC, labels_HW = self._letterboxed(index)
        if self.augment is not None:
            image_HWC, labels_HW = self.augment(image_HWC, labels_HW)
        image_CHW = torch.from_numpy(np.ascontiguousarray(image_HWC.transpose(2, 0, 1)))
        return image_CHW, torch.from_numpy(labels_HW.astype(np.int64))

    def read(self, index: int) -> tuple[U8, U8]:
        """One frame as it lies on disk: image (H, W, 3) RGB and class ids (H, W), both uint8.

        Raises:
            DataError: A file is missing, damaged, or image and mask differ in size.
            OntologyError: The mask holds unknown values.
        """
        return read_pair(self.pairs[index], self.ontology)

    def _letterboxed(self, index: int) -> tuple[U8, U8]:
        if self._cache is not None and index in self._cache:
            image_HWC, labels_HW = self._cache[index]
            return image_HWC.copy(), labels_HW.copy()
        source_HWC, source_HW = self.read(index)
        pair = self.letterbox.apply(source_HWC), self.letterbox.apply_mask(source_HW)
        if self._cache is not None:
            self._cache[index] = pair[0].copy(), pair[1].copy()
        return pair


def read_pair(pair: Pair, ontology: Ontology) -> tuple[U8, U8]:
    """Image (H, W, 3) RGB and class ids (H, W) of one frame, both uint8.

    Raises:
        DataError: A file is missing, damaged, or image and mask differ in size.
        OntologyError: The mask holds unknown values.
    """
    try:
        image_HWC = read_image(pair.image)
    except ImageError as error:
        raise DataError(error.what, where=error.where, mend=error.mend) from None
    raw = read_mask(pair.mask, colors=ontology.has_palette)
    if raw.shape[:2] != image_HWC.shape[:2]:
        (h, w), (mask_h, mask_w) = image_HWC.shape[:2], raw.shape[:2]
        raise DataError(
            f"image and mask differ in size ({w}×{h} and {mask_w}×{mask_h})",
            where=f"{pair.image} and {pair.mask}",
            mend="mend or remove the pair",
        )
    return image_HWC, encode_mask(raw, ontology, pair.mask)


def build_dataset(
    layout: str,
    root: str | Path,
    ontology: Ontology | str | None,
    letterbox: Letterbox,
    indices: Sequence[int] | None = None,
    augment: Augment | None = None,
    cache: bool = False,
) -> SegmentationDataset:
    """A data set from a folder.

    Args:
        layout: A name from ``LAYOUTS``, or ``auto``.
        root: The data folder.
        ontology: A label set, its name or file; None for the one that the folder or its layout comes with.
        letterbox: Network size.
        indices: Which of ``list_pairs(layout, root)``; None for all.
        augment: See ``SegmentationDataset``.
        cache: See ``SegmentationDataset``.

    Raises:
        DataError: The folder is missing or empty, or files do not pair.
        OntologyError: The ontology cannot be loaded.
    """
    kind = find_layout(layout, root)
    pairs = list_pairs(kind.name, root)
    ontology = data_ontology(kind, root, ontology)
    chosen = pairs if indices is None else [pairs[i] for i in indices]
    return SegmentationDataset(chosen, ontology, letterbox, augment, cache)
