# SPDX-License-Identifier: Apache-2.0
"""Every file is read once, in parallel; what cannot be read is written down and does not stop the rest."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from offroad_seg.errors import OffroadSegError
from offroad_seg.progress import progress
from offroad_seg_train.audit.image_probe import ImageRecord, probe_image
from offroad_seg_train.audit.mask_probe import MaskRecord, probe_mask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from offroad_seg.ontology import Ontology
    from offroad_seg_train.audit.sources import Frame

_AHEAD = 4
_NO_HEAT = np.zeros((0, 0, 0), np.float32)


@dataclass(frozen=True)
class Record:
    """What one frame showed.

    Attributes:
        image: None where the image cannot be read.
        mask: None where the mask cannot be read.
        image_problem: Why the image cannot be read; else empty.
        mask_problem: Why the mask cannot be read; else empty.
    """

    image: ImageRecord | None
    mask: MaskRecord | None
    image_problem: str = ""
    mask_problem: str = ""

    def slim(self) -> Record:
        """Without the heat maps, which are three quarters of it and are needed only until they are summed up."""
        if self.mask is None:
            return self
        return replace(self, mask=replace(self.mask, heat_VRC=_NO_HEAT))


def probe_all(
    frames: Sequence[Frame], ontology: Ontology, workers: int, *, show_progress: bool = True
) -> Iterator[Record]:
    """Probe every frame, in order.

    Args:
        frames: The files.
        ontology: What the mask values mean.
        workers: Threads; decoding releases the interpreter lock.
        show_progress: Show a bar.
    """
    with ThreadPoolExecutor(max_workers=workers) as pool:
        # In portions, so that results of a large set do not pile up.
        portion = workers * _AHEAD * 8
        starts = range(0, len(frames), portion)
        results = (
            record
            for start in starts
            for record in pool.map(lambda f: _probe(f, ontology), frames[start : start + portion])
        )
        yield from progress(results, what="reading", total=len(frames), unit="frame", show=show_progress)


def _probe(frame: Frame, ontology: Ontology) -> Record:
    image, small_HWC, mask = None, None, None
    image_problem = mask_problem = ""
    try:
        image, small_HWC = probe_image(frame.pair.image)
    except Exception as error:  # noqa: BLE001 – whatever a damaged file does to a decoder, the others must be read
        image_problem = _words(error)
    try:
        mask = probe_mask(frame.pair.mask, ontology, small_HWC)
    except Exception as error:  # noqa: BLE001
        mask_problem = _words(error)
    return Record(image, mask, image_problem, mask_problem)


def _words(error: Exception) -> str:
    if isinstance(error, OffroadSegError):
        return error.what
    logging.getLogger(__name__).debug("a file could not be read", exc_info=error)
    return f"{type(error).__name__}: {error}"
