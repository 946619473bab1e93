# SPDX-License-Identifier: Apache-2.0
"""A folder of true masks, one for each labelled image, named by the image's stamp."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import cv2
import numpy as np

from offroad_seg.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from offroad_seg.ontology import Ontology

_SECONDS = re.compile(r"^(\d+)\.(\d{1,9})$")


class TrueMasks:
    """Masks named ``<stamp>.png``: nanoseconds (1700000000123456789) or seconds (1700000000.123456789).

    Args:
        folder: Where they lie.
        ontology: Says what their values or colours mean; where it has neither, they are class ids, 255 unlabelled.

    Raises:
        InputError: Not one file is named so.
    """

    def __init__(self, folder: Path, ontology: Ontology) -> None:
        self._ontology = ontology
        self._files: dict[int, Path] = {}
        for file in sorted(folder.iterdir()):
            stamp = _stamp(file)
            if stamp is not None:
                self._files[stamp] = file
        if not self._files:
            raise InputError(
                "no mask is named by an image's stamp",
                where=f"{folder}, --truth",
                mend="name each <stamp in nanoseconds>.png, as the image's header has it",
            )

    def __len__(self) -> int:
        return len(self._files)

    def at(self, stamp_ns: int, size: tuple[int, int]) -> NDArray[np.uint8] | None:
        """Class ids (H, W) uint8 of the image with that stamp, or None.

        Raises:
            InputError: The mask cannot be read, or is of another size.
            OntologyError: It holds values that the ontology does not know.
        """
        file = self._files.get(stamp_ns)
        if file is None:
            return None
        mask = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if mask is None:
            raise InputError("the mask cannot be read", where=str(file), mend="write it again, as PNG")
        if mask.ndim == 3:
            mask = cv2.cvtColor(mask[:, :, :3], cv2.COLOR_BGR2RGB)
        if mask.shape[:2] != size:
            raise InputError(
                f"the mask is {mask.shape[1]}×{mask.shape[0]}, its image {size[1]}×{size[0]}", where=str(file)
            )
        if self._ontology.has_raw or self._ontology.has_palette:
            return self._ontology.encode(mask, where=str(file))
        ids: NDArray[np.uint8] = mask.astype(np.uint8)
        return ids


def _stamp(file: Path) -> int | None:
    if file.suffix.lower() != ".png":
        return None
    if file.stem.isdigit():
        return int(file.stem)
    found = _SECONDS.match(file.stem)
    return int(found[1]) * 10**9 + int(found[2].ljust(9, "0")) if found else None
